"""How long a text a model can read, and where it begins to count."""

from __future__ import annotations

from typing import Any

from torch import nn


def position_limit(model: Any) -> int | None:
    """The longest sequence, special tokens included, that the model has position embeddings for; None: any length."""
    table = _position_table(model)
    if table is None:
        return getattr(model.config, "max_position_embeddings", None)
    return int(table.weight.shape[0]) - first_position(model)


def first_position(model: Any) -> int:
    """The number of a sequence's first position: 0, but RoBERTa and its kin begin after the padding id."""
    table = _position_table(model)
    return 0 if table is None or table.padding_idx is None else table.padding_idx + 1


def _position_table(model: Any) -> nn.Embedding | None:
    table = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    return table if isinstance(table, nn.Embedding) else None
