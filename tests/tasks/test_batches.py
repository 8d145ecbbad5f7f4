"""Padding, and reading in batches: no sample may depend on its neighbours."""

from types import SimpleNamespace

import numpy as np
import pytest

from unibert.task_settings import FineTune
from unibert.tasks.batches import padded
from unibert.tasks.pairs import outputs_of

TOKENIZER = SimpleNamespace(pad_token_id=9)


@pytest.mark.parametrize("kind", [list, np.array])
def test_padding(kind):
    batch = padded(
        [
            {"input_ids": kind([2, 7, 3]), "token_type_ids": kind([0, 1, 1]), "labels": kind([-100, 1, -100])},
            {"input_ids": kind([2, 3]), "token_type_ids": kind([0, 1]), "labels": kind([-100, -100])},
        ],
        TOKENIZER,
    )
    assert {key: value.tolist() for key, value in batch.items()} == {
        "input_ids": [[2, 7, 3], [2, 3, 9]],
        "token_type_ids": [[0, 1, 1], [0, 1, 0]],
        "labels": [[-100, 1, -100], [-100, -100, -100]],
        "attention_mask": [[1, 1, 1], [1, 1, 0]],
    }


@pytest.mark.parametrize("labels", [[1, 0], [0.25, 1.0]])
def test_one_label_a_sample(labels):
    batch = padded(
        [{"input_ids": [2] * length, "labels": label} for length, label in zip((2, 4), labels, strict=True)], TOKENIZER
    )
    assert batch["labels"].tolist() == labels


def test_long_ones_are_read_first_and_given_back_in_order(monkeypatch):
    import torch

    class Lengths(torch.nn.Module):
        """Answers with the length of each row, and the batch's."""

        device = torch.device("cpu")

        def forward(self, rows, longest):
            return SimpleNamespace(logits=torch.stack([rows, longest], dim=-1).float())

    def collate(chosen):
        lengths = [len(feature["input_ids"]) for feature in chosen]
        return {"rows": torch.tensor(lengths), "longest": torch.tensor([max(lengths)] * len(lengths))}

    monkeypatch.setattr("unibert.tasks.batches.BATCH_TOKENS", 10)
    features = [{"input_ids": [0] * length} for length in (2, 20, 3, 4, 5)]
    done = []
    model = Lengths().train()
    found = outputs_of(model, features, collate, FineTune(precision="float32"), done.append)
    assert found == [[2, 3], [20, 20], [3, 3], [4, 5], [5, 5]]
    assert done == [1, 2, 2]
    assert model.training, "prediction must leave the model in the mode it was in"
