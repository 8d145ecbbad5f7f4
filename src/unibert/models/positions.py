"""How long a text a model can read."""

from __future__ import annotations

from typing import Any


def position_limit(model: Any) -> int | None:
    """The longest sequence, special tokens included, that the model has position embeddings for; None: any length."""
    table = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    if table is None:
        return getattr(model.config, "max_position_embeddings", None)
    # RoBERTa and its kin begin counting after the padding id.
    offset = 0 if table.padding_idx is None else table.padding_idx + 1
    return int(table.weight.shape[0]) - offset
