"""Held-out masked language modelling loss per language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from unibert.models.masked_rows import head_features, vocabulary_projection
from unibert.models.packed import encode
from unibert.models.precision import autocast
from unibert.pretrain.distributed import Team, spread
from unibert.pretrain.vocabulary_losses import VocabularyObjective, vocabulary_losses
from unibert.tokens.batches import MicroBatch


@torch.no_grad()
def held_out_losses(
    student: Any, batches: Mapping[str, list[MicroBatch]], dtype: torch.dtype, team: Team, compiled: bool = False
) -> dict[str, float]:
    """Mean cross-entropy in nats (no smoothing) on each language's held-out masked tokens.

    The languages are dealt out over the processes; every process returns the whole answer.
    """
    was_training = student.training
    student.eval()
    names = sorted(batches)
    sums, rows = [0.0] * len(names), [0.0] * len(names)
    objective = VocabularyObjective(compiled=compiled)
    with autocast(dtype, team.device):
        for position, name in enumerate(names):
            if position % team.size != team.rank:
                continue
            for batch in batches[name]:
                batch = batch.to(team.device)
                hidden_TD = encode(student, batch).hidden_TD
                features_MD = head_features(student, hidden_TD.index_select(0, batch.rows))
                nothing_M = torch.zeros(len(batch.rows), device=team.device)
                _, losses = vocabulary_losses(
                    features_MD,
                    *vocabulary_projection(student),
                    batch.labels,
                    nothing_M,
                    None,
                    nothing_M,
                    objective,
                    dtype,
                )
                sums[position] += float(losses.mlm_M.sum())
                rows[position] += len(batch.labels)
    student.train(was_training)
    if team.size > 1:
        sums, rows = spread(sums, team), spread(rows, team)
    return {name: total / count for name, total, count in zip(names, sums, rows, strict=True) if count}
