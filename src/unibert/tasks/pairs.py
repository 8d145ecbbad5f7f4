"""Pairs of texts: in word pieces, and through a model; what nli and sts have in common.

Shapes: N features, C outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from unibert.recipe import FineTune
from unibert.tasks.batches import run_batches

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


def outputs_of(
    model: Any,
    features: Sequence[dict[str, Any]],
    collate: Callable[[Sequence[dict[str, Any]]], dict[str, Any]],
    settings: FineTune,
    advance: Callable[[int], object],
) -> list[list[float]]:
    """The model's outputs for features without labels, [N, C], in their order.

    Args:
        model: left in the mode it was in.
        features: with `input_ids`, whose lengths decide the batches.
        collate: makes a batch of them.
        settings: precision.
        advance: called with the number of features done.
    """
    found: list[list[float]] = [[] for _ in features]

    def take(numbers: list[int], output: Any) -> None:
        for number, row in zip(numbers, output.logits.float().tolist(), strict=True):
            found[number] = row
        advance(len(numbers))

    run_batches(model, features, collate, settings, take)
    return found
