"""The count on paper against PyTorch's own counter, on stock models of every layout."""

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    AutoModelForMaskedLM,
    BertConfig,
    DistilBertConfig,
    ModernBertConfig,
    XLMRobertaConfig,
)

from unibert.errors import DataError
from unibert.models.flops import TRAINING, EncoderShape, encoder_shape, forward_flops, step_flops
from unibert.models.student import build_student
from unibert.recipe import Architecture

VOCABULARY = 211
CONFIGS = {
    "bert": BertConfig(
        vocab_size=VOCABULARY, hidden_size=24, num_hidden_layers=3, num_attention_heads=4, intermediate_size=52
    ),
    "xlm-r": XLMRobertaConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=40
    ),
    "distilbert": DistilBertConfig(vocab_size=VOCABULARY, dim=36, n_layers=2, n_heads=3, hidden_dim=60),
    "modernbert": ModernBertConfig(
        vocab_size=VOCABULARY,
        hidden_size=24,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=28,
        local_attention=64,  # wider than the samples below, so that PyTorch, which computes all pairs, agrees
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        cls_token_id=1,
        sep_token_id=2,
    ),
}


def stock_model(config: Any) -> Any:
    return AutoModelForMaskedLM.from_config(config, attn_implementation="eager")


def counted(run: Any) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())


@pytest.mark.parametrize("name", CONFIGS)
def test_forward_is_what_pytorch_counts(name: str) -> None:
    config, batch, length = CONFIGS[name], 3, 17
    model = stock_model(config).eval()
    ids = torch.randint(5, VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(1))
    total = counted(lambda: model(input_ids=ids, attention_mask=torch.ones_like(ids)))
    ours = forward_flops(config, [length] * batch, head_rows=batch * length, vocabulary=VOCABULARY)
    assert ours == total


@pytest.mark.parametrize("name", ["bert", "distilbert"])
def test_training_is_three_times_forward(name: str) -> None:
    config = CONFIGS[name]
    model = stock_model(config)
    ids = torch.randint(5, VOCABULARY, (2, 13), generator=torch.Generator().manual_seed(1))
    total = counted(lambda: model(input_ids=ids, labels=ids).loss.backward())
    ours = step_flops([config], None, [13, 13], head_rows=26, vocabulary=VOCABULARY)
    assert ours == TRAINING * forward_flops(config, [13, 13], 26, VOCABULARY)
    assert ours == total


def test_architecture_counts_as_the_student_that_is_built_from_it() -> None:
    shape = Architecture(layers=2, hidden=24, heads=2, feed_forward=40, max_positions=32)
    student = build_student(shape, VOCABULARY, pad_id=0, seed=1)
    assert encoder_shape(shape) == encoder_shape(student.config)
    assert forward_flops(shape, [9, 4], 3, 50) == forward_flops(student.config, [9, 4], 3, 50)


def test_padding_and_rows_that_are_not_predicted_cost_nothing() -> None:
    config = CONFIGS["bert"]
    alone = forward_flops(config, [20], 3, VOCABULARY) + forward_flops(config, [4], 1, VOCABULARY)
    assert forward_flops(config, [20, 4], 4, VOCABULARY) == alone
    assert alone < forward_flops(config, [20, 20], 4, VOCABULARY)
    row = 2 * (24 * 24 + 24 * VOCABULARY)
    assert forward_flops(config, [20, 4], 24, VOCABULARY) - alone == 20 * row


@pytest.mark.parametrize("window", [0, 1, 3, 10, 11, 12])
def test_window_counts_the_pairs_within_it(window: int) -> None:
    lengths = [1, 2, 5, 11]
    plain = sum(1 for length in lengths for i in range(length) for j in range(length) if abs(i - j) <= window)
    shape = EncoderShape(hidden=8, attention=6, feed_forward=10, gated=False, windows=(window,))
    nothing_else = 2 * sum(lengths) * (4 * 8 * 6 + 2 * 8 * 10)
    assert forward_flops(shape, lengths, 0, 100) - nothing_else == 4 * 6 * plain


def test_modernbert_sees_its_window_on_local_layers_alone() -> None:
    assert encoder_shape(CONFIGS["modernbert"]).windows == (None, 32, 32, None)
    assert encoder_shape(CONFIGS["modernbert"]).gated


def test_step_of_a_family_adds_up() -> None:
    first, second, teacher = (CONFIGS[name] for name in ("bert", "distilbert", "xlm-r"))
    each = [forward_flops(config, [7, 5], 2, VOCABULARY) for config in (first, second, teacher)]
    family = step_flops([first, second], teacher, [7, 5], 2, VOCABULARY)
    assert family == 3 * each[0] + 3 * each[1] + each[2]
    body = forward_flops(teacher, [7, 5], 0, VOCABULARY)
    assert step_flops([first, second], teacher, [7, 5], 2, VOCABULARY, 0) == 3 * each[0] + 3 * each[1] + body


def test_paper_s_size_by_hand() -> None:
    """XXSmall: 4 layers of 128 and 3,072, one sample of 100 tokens, 15 rows of 119,547 pieces."""
    layer = 2 * 100 * (4 * 128 * 128 + 2 * 128 * 3072) + 4 * 128 * 100 * 100
    head = 2 * 15 * (128 * 128 + 128 * 119_547)
    shape = Architecture(layers=4, hidden=128, heads=4)
    assert forward_flops(shape, [100], 15, 119_547) == 4 * layer + head


def test_unknown_layout_is_refused() -> None:
    class OddConfig:
        width = 3

    with pytest.raises(DataError, match="OddConfig"):
        forward_flops(OddConfig(), [3], 1, 10)
