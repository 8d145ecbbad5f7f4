"""Features in batches: padded to the longest, and through a model without gradient.

Shapes: B features in a batch, L word pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from unibert.recipe import FineTune

BATCH_TOKENS = 4096
"""A batch of predictions holds at most so many pieces with padding (but one feature at least)."""
IGNORED = -100
"""The label that torch's cross-entropy leaves out; it fills up labels of pieces."""


def padded(features: Sequence[Mapping[str, Any]], tokenizer: Any) -> dict[str, Any]:
    """Features as tensors with `attention_mask`: what has a value for every piece is [B, L], all else [B].

    Args:
        features: each with `input_ids`; lists or arrays of one length in a feature, and numbers.
        tokenizer: its padding piece fills up `input_ids`.
    """
    import numpy as np
    import torch

    fill = {"input_ids": tokenizer.pad_token_id, "labels": IGNORED}
    lengths = np.array([len(feature["input_ids"]) for feature in features])
    batch: dict[str, Any] = {}
    for key, value in features[0].items():
        if not hasattr(value, "__len__"):
            batch[key] = torch.tensor([feature[key] for feature in features])
            continue
        rows = np.full((len(features), lengths.max()), fill.get(key, 0), np.int64)
        for row, feature in zip(rows, features, strict=True):
            row[: len(feature[key])] = feature[key]
        batch[key] = torch.from_numpy(rows)
    batch["attention_mask"] = torch.from_numpy((np.arange(lengths.max()) < lengths[:, None]).astype(np.int64))
    return batch


def run_batches(
    model: Any,
    features: Sequence[Mapping[str, Any]],
    collate: Callable[[Sequence[Any]], dict[str, Any]],
    settings: FineTune,
    take: Callable[[list[int], Any], object],
) -> None:
    """The model over features without gradient, long ones first, in batches of at most `BATCH_TOKENS`.

    Args:
        model: left in the mode it was in.
        features: without targets; the lengths of their `input_ids` decide the batches.
        collate: makes a batch of some of them.
        settings: precision.
        take: called with the places of a batch's features and the model's output.
    """
    import torch

    from unibert.models.precision import autocast, resolve_precision

    order = sorted(range(len(features)), key=lambda number: -len(features[number]["input_ids"]))
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode(), autocast(resolve_precision(settings.precision, model.device), model.device):
            while order:
                size = max(1, BATCH_TOKENS // len(features[order[0]]["input_ids"]))
                chosen, order = order[:size], order[size:]
                batch = collate([features[number] for number in chosen])
                take(chosen, model(**{key: value.to(model.device) for key, value in batch.items()}))
    finally:
        model.train(was_training)
