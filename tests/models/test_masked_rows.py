"""The heads on masked rows only give what the full heads give: logits, loss and every gradient."""

import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    DistilBertConfig,
    DistilBertForMaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)

from unibert.errors import DataError
from unibert.models.masked_rows import masked_row_logits

SMALL = {"vocab_size": 61, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
MODELS = {
    "bert": lambda: BertForMaskedLM(BertConfig(**SMALL)),
    "xlm-r": lambda: XLMRobertaForMaskedLM(XLMRobertaConfig(**SMALL)),
    "modernbert": lambda: ModernBertForMaskedLM(ModernBertConfig(**SMALL, pad_token_id=0, attn_implementation="sdpa")),
    "distilbert": lambda: DistilBertForMaskedLM(
        DistilBertConfig(vocab_size=61, dim=16, n_layers=2, n_heads=2, hidden_dim=24)
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_masked_rows_equal_the_full_head_in_logits_loss_and_gradients(name: str) -> None:
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    ids_BL = torch.randint(5, 61, (3, 7))
    mask_BL = torch.ones_like(ids_BL)
    mask_BL[1, 4:] = 0
    rows_M = torch.tensor([1, 3, 8, 20])
    labels_M = torch.tensor([7, 8, 9, 10])

    full = model(input_ids=ids_BL, attention_mask=mask_BL).logits.reshape(-1, 61)[rows_M]
    naive = torch.nn.functional.cross_entropy(full, labels_M)
    naive.backward()
    expected = {
        key: parameter.grad.clone() for key, parameter in model.named_parameters() if parameter.grad is not None
    }
    model.zero_grad()

    hidden_BLD, logits_MV = masked_row_logits(model, ids_BL, mask_BL, rows_M)
    loss = torch.nn.functional.cross_entropy(logits_MV, labels_M)
    loss.backward()
    torch.testing.assert_close(logits_MV, full)
    torch.testing.assert_close(loss, naive)
    assert hidden_BLD.shape == (3, 7, 16)
    actual = {key: parameter.grad for key, parameter in model.named_parameters() if parameter.grad is not None}
    assert actual.keys() == expected.keys()
    for key in expected:
        torch.testing.assert_close(actual[key], expected[key], msg=key)

    # The hook is gone: the model answers in full again.
    assert model(input_ids=ids_BL, attention_mask=mask_BL).logits.shape == (3, 7, 61)


def test_padding_does_not_change_the_answer() -> None:
    torch.manual_seed(0)
    model = MODELS["bert"]().eval()
    ids_BL = torch.randint(5, 61, (1, 6))
    padded_BL = torch.cat([ids_BL, torch.zeros(1, 5, dtype=torch.long)], dim=1)
    mask_BL = (torch.arange(11) < 6).long().unsqueeze(0)
    rows_M = torch.tensor([0, 2, 5])
    plain = masked_row_logits(model, ids_BL, torch.ones_like(ids_BL), rows_M)[1]
    padded = masked_row_logits(model, padded_BL, mask_BL, rows_M)[1]
    torch.testing.assert_close(padded, plain)


def test_a_model_without_a_head_is_refused() -> None:
    with pytest.raises(DataError, match="BertModel"):
        masked_row_logits(
            BertModel(BertConfig(**SMALL)), torch.ones(1, 3).long(), torch.ones(1, 3).long(), torch.tensor([0])
        )


@pytest.mark.parametrize("rows", [[], [2]])
def test_few_or_no_masked_rows_are_no_special_case(rows: list[int]) -> None:
    model = MODELS["bert"]()
    ids_BL = torch.randint(5, 61, (2, 4))
    rows_M = torch.tensor(rows, dtype=torch.long)
    _, logits_MV = masked_row_logits(model, ids_BL, torch.ones_like(ids_BL), rows_M)
    assert logits_MV.shape == (len(rows), 61)
    logits_MV.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
