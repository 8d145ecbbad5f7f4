"""Packed samples and heads on chosen rows give what padded batches and full heads give: logits and every gradient."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    DebertaV2Config,
    DebertaV2ForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)

from unibert.errors import DataError
from unibert.models.masked_rows import head_features, vocabulary_projection
from unibert.models.packed import ATTENTION, encode, mean_pool, pack, similar, unpack, unpacked
from unibert.tokens.batches import MicroBatch

SMALL = {"vocab_size": 61, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24}
MODELS: dict[str, Callable[[], Any]] = {
    "bert": lambda: BertForMaskedLM(BertConfig(**SMALL)),
    "xlm-r": lambda: XLMRobertaForMaskedLM(XLMRobertaConfig(**SMALL)),
    # A window shorter than the samples: the second layer looks only four tokens far.
    "modernbert": lambda: ModernBertForMaskedLM(
        ModernBertConfig(**SMALL, pad_token_id=0, local_attention=8, global_attn_every_n_layers=2)
    ),
    "distilbert": lambda: DistilBertForMaskedLM(
        DistilBertConfig(vocab_size=61, dim=16, n_layers=3, n_heads=2, hidden_dim=24)
    ),
}
UNKNOWN_TO_THE_REGISTRY = {"deberta": lambda: DebertaV2ForMaskedLM(DebertaV2Config(**SMALL))}
LENGTHS = [19, 12, 12, 7, 7, 7, 1]
ROWS = torch.tensor([1, 3, 18, 19, 33, 50, 64])


def make(name: str) -> Any:
    torch.manual_seed(0)
    model = {**MODELS, **UNKNOWN_TO_THE_REGISTRY}[name]().eval()
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.data.normal_(0, 0.3)  # far from the all-alike answers of initial weights
    return model


def make_batch(lengths: list[int] = LENGTHS) -> MicroBatch:
    generator = np.random.default_rng(0)
    return MicroBatch.of([generator.integers(5, 61, length) for length in lengths])


def naive_logits(model: Any, batch: MicroBatch) -> torch.Tensor:
    """Every sample by itself, through the model's own forward."""
    samples = batch.input_ids.split(batch.lengths)
    return torch.cat([model(input_ids=sample.unsqueeze(0)).logits[0] for sample in samples])


def gradients(model: Any, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", [*MODELS, *UNKNOWN_TO_THE_REGISTRY])
def test_packed_rows_equal_the_full_model_in_logits_and_gradients(name: str) -> None:
    model, batch = make(name), make_batch()
    expected = naive_logits(model, batch)[ROWS]
    weights = torch.randn(expected.shape)
    expected_gradients = gradients(model, (expected * weights).sum())

    assert pack(model) == (name in MODELS)
    features_MD = head_features(model, encode(model, batch).hidden_TD[ROWS])
    weight_VD, bias_V = vocabulary_projection(model)
    logits_MV = torch.nn.functional.linear(features_MD, weight_VD, bias_V)
    torch.testing.assert_close(logits_MV, expected, rtol=1e-4, atol=1e-4)
    found = gradients(model, (logits_MV * weights).sum())
    assert found.keys() == expected_gradients.keys()
    for key, gradient in expected_gradients.items():
        torch.testing.assert_close(found[key], gradient, rtol=1e-3, atol=1e-3, msg=key)

    # Nothing is left behind: the model answers in full again.
    unpack(model)
    torch.testing.assert_close(naive_logits(model, batch)[ROWS], expected)


@pytest.mark.parametrize("name", MODELS)
def test_states_and_projections_are_those_of_the_layers(name: str) -> None:
    model, batch = make(name), make_batch()
    samples = batch.input_ids.split(batch.lengths)
    expected = [model(input_ids=sample.unsqueeze(0), output_hidden_states=True).hidden_states for sample in samples]
    assert pack(model)
    encoded = encode(model, batch, states=True, relations_of=(1, 3))
    assert len(encoded.states) == 4
    for layer, state_TD in enumerate(encoded.states):
        torch.testing.assert_close(state_TD, torch.cat([states[layer][0] for states in expected]), rtol=1e-4, atol=1e-4)
    assert sorted(encoded.projections) == [1, 3]
    if name == "bert":
        layer = model.bert.encoder.layer[2].attention.self
        for projection, found in zip((layer.query, layer.key, layer.value), encoded.projections[3], strict=True):
            torch.testing.assert_close(found, projection(encoded.states[2]), rtol=1e-4, atol=1e-4)


def test_relations_of_a_model_that_cannot_be_packed_are_refused() -> None:
    model = make("deberta")
    with pytest.raises(DataError, match="queries, keys and values cannot be read"):
        encode(model, make_batch(), relations_of=(1,))


def test_samples_do_not_see_each_other() -> None:
    model, batch = make("bert"), make_batch([5, 5, 4])
    assert pack(model)
    before = encode(model, batch).hidden_TD
    batch.input_ids[5:] = 7
    torch.testing.assert_close(encode(model, batch).hidden_TD[:5], before[:5])


def test_dropout_reaches_the_attention() -> None:
    model, batch = make("bert"), make_batch([9, 9])
    assert pack(model)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for layer in model.bert.encoder.layer:
        layer.attention.self.dropout.p = 0.5
    plain = encode(model, batch).hidden_TD
    model.train()
    assert not torch.allclose(encode(model, batch).hidden_TD, plain, atol=1e-3)


def test_mean_pooling_is_over_a_samples_own_tokens() -> None:
    batch = make_batch([3, 2])
    hidden_TD = torch.arange(10.0).reshape(5, 2)
    expected = torch.stack([hidden_TD[:3].mean(0), hidden_TD[3:].mean(0)])
    torch.testing.assert_close(mean_pool(hidden_TD, batch), expected)


def test_what_is_saved_has_the_ordinary_attention() -> None:
    model = make("bert")
    assert pack(model)
    with unpacked(model):
        assert model.config._attn_implementation == "sdpa"
    assert model.config._attn_implementation == ATTENTION


def test_groups_of_similar_length() -> None:
    assert similar([100, 95, 90, 89, 50, 10, 10]) == [[100, 95, 90], [89], [50], [10, 10]]


def test_rows_that_pad_a_vocabulary_are_left_out() -> None:
    weight_VD, bias_V = vocabulary_projection(make("bert"), 50)
    assert weight_VD.shape == (50, 16)
    assert bias_V is not None
    assert bias_V.shape == (50,)


def test_a_model_without_a_head_is_refused() -> None:
    with pytest.raises(DataError, match="BertModel"):
        head_features(BertModel(BertConfig(**SMALL)), torch.ones(1, 16))


@pytest.mark.parametrize("rows", [[], [2]])
def test_few_or_no_masked_rows_are_no_special_case(rows: list[int]) -> None:
    model, batch = make("bert"), make_batch([4, 4])
    pack(model)
    features_MD = head_features(model, encode(model, batch).hidden_TD[torch.tensor(rows, dtype=torch.long)])
    assert features_MD.shape == (len(rows), 16)
