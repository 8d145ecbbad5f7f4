"""Held-out masked language modelling loss per language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from unibert.models.masked_rows import masked_row_logits
from unibert.models.precision import autocast
from unibert.pretrain.distributed import Team, spread
from unibert.pretrain.objectives import mlm_loss
from unibert.tokens.batches import MicroBatch


def held_out_losses(
    student: Any, batches: Mapping[str, list[MicroBatch]], dtype: torch.dtype, team: Team
) -> dict[str, float]:
    """Mean cross-entropy in nats (no smoothing) on each language's held-out masked tokens.

    The languages are dealt out over the processes; every process returns the whole answer.
    """
    was_training = student.training
    student.eval()
    names = sorted(batches)
    sums, rows = [0.0] * len(names), [0.0] * len(names)
    with torch.inference_mode():
        for position, name in enumerate(names):
            if position % team.size != team.rank:
                continue
            for batch in batches[name]:
                batch = batch.to(team.device)
                with autocast(dtype, team.device):
                    _, logits_MV = masked_row_logits(student, batch.input_ids, batch.attention_mask, batch.rows)
                sums[position] += float(mlm_loss(logits_MV, batch.labels).sum())
                rows[position] += len(batch.labels)
    student.train(was_training)
    if team.size > 1:
        sums, rows = spread(sums, team), spread(rows, team)
    return {name: total / count for name, total, count in zip(names, sums, rows, strict=True) if count}
