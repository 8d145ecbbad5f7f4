"""Pairs of texts: in word pieces, padded, and through a model; what nli and sts have in common.

Shapes: B pairs in a batch, L word pieces, C outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from unibert.recipe import FineTune

BATCH_TOKENS = 4096
"""A batch of predictions holds at most so many pieces with padding (but one pair at least)."""
_CHUNK = 1000  # texts that are cut into pieces at a time


def settle_token_types(model: Any, tokenizer: Any) -> None:
    """Make the tokenizer number the two texts of a pair only for a model that tells them apart by it.

    BERT has two token types; RoBERTa has one, DistilBERT none, and both fail on a second. The tokenizer keeps it when
    it is saved: who loads model and tokenizer with transformers alone gets the same outputs.
    """
    names = [name for name in tokenizer.model_input_names if name != "token_type_ids"]
    if (getattr(model.config, "type_vocab_size", 0) or 0) > 1:
        names.insert(1, "token_type_ids")
    tokenizer.model_input_names = tokenizer.init_kwargs["model_input_names"] = names


def encode_pairs(pairs: Sequence[tuple[str, str]], tokenizer: Any, max_length: int) -> list[dict[str, Any]]:
    """Both texts of each pair in one sequence of at most `max_length` pieces, the longer text cut first.

    Returns:
        `input_ids` and, if the tokenizer gives them, `token_type_ids` of every pair.
    """
    found: list[dict[str, Any]] = []
    for start in range(0, len(pairs), _CHUNK):
        chunk = pairs[start : start + _CHUNK]
        batch = tokenizer(
            [first for first, _ in chunk],
            [second for _, second in chunk],
            truncation="longest_first",
            max_length=max_length,
            return_attention_mask=False,
            verbose=False,
        )
        found += [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
    return found


def encode_texts(texts: Sequence[str], tokenizer: Any, max_length: int) -> list[list[int]]:
    """Each text for itself, in at most `max_length` pieces."""
    found: list[list[int]] = []
    for start in range(0, len(texts), _CHUNK):
        chunk = list(texts[start : start + _CHUNK])
        batch = tokenizer(chunk, truncation=True, max_length=max_length, return_attention_mask=False, verbose=False)
        found += batch["input_ids"]
    return found


def pad_pairs(features: Sequence[Mapping[str, Any]], tokenizer: Any) -> dict[str, Any]:
    """Features as tensors, [B, L], as long as the longest of them; with `attention_mask`; labels are [B]."""
    import torch

    longest = max(len(feature["input_ids"]) for feature in features)
    fill = {"input_ids": tokenizer.pad_token_id, "token_type_ids": 0}
    batch = {
        key: torch.tensor([feature[key] + [fill[key]] * (longest - len(feature[key])) for feature in features])
        for key in features[0]
        if key in fill
    }
    lengths = [len(feature["input_ids"]) for feature in features]
    batch["attention_mask"] = torch.tensor([[1] * length + [0] * (longest - length) for length in lengths])
    if "labels" in features[0]:
        batch["labels"] = torch.tensor([feature["labels"] for feature in features])
    return batch


def outputs_of(
    model: Any,
    features: Sequence[dict[str, Any]],
    collate: Callable[[Sequence[dict[str, Any]]], dict[str, Any]],
    settings: FineTune,
    advance: Callable[[int], object],
) -> list[list[float]]:
    """The model's outputs for features without labels, [N, C], in their order; long ones are read first.

    Args:
        model: left in the mode it was in.
        features: with `input_ids`, whose lengths decide the batches.
        collate: makes a batch of them.
        settings: precision.
        advance: called with the number of features done.
    """
    import torch

    from unibert.models.precision import autocast, resolve_precision

    order = sorted(range(len(features)), key=lambda number: -len(features[number]["input_ids"]))
    found: list[list[float]] = [[] for _ in features]
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode(), autocast(resolve_precision(settings.precision, model.device), model.device):
            start = 0
            while start < len(order):
                longest = len(features[order[start]]["input_ids"])
                chosen = order[start : start + max(1, BATCH_TOKENS // longest)]
                start += len(chosen)
                batch = collate([features[number] for number in chosen])
                logits_BC = model(**{key: value.to(model.device) for key, value in batch.items()}).logits
                for number, row in zip(chosen, logits_BC.float().tolist(), strict=True):
                    found[number] = row
                advance(len(chosen))
    finally:
        model.train(was_training)
    return found
