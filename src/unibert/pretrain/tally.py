"""What a run has counted: since its beginning, for the checkpoints, and since the last line, for the log."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from unibert.models.flops import step_flops
from unibert.models.peak import matrix_peak
from unibert.models.sizes import architecture
from unibert.pretrain.checkpoint import Progress
from unibert.pretrain.distributed import spread
from unibert.pretrain.family import Family, Update
from unibert.pretrain.step import MEASURES, Totals
from unibert.recipe import Pretrain
from unibert.tokens.batches import MicroBatch


class Tally:
    """Counts of a run.

    Args:
        progress: where it stands; the counts go on from there.
        family: who learns.
        languages: codes, in the store's order.
        vocabulary_size: width of the predictions.
    """

    def __init__(self, progress: Progress, family: Family, languages: Sequence[str], vocabulary_size: int) -> None:
        self._family, self._team, self._languages = family, family.team, languages
        self._vocabulary_size = vocabulary_size
        self._shapes = [architecture(member.settings.student) for member in family.members.values()]
        self._peak = matrix_peak(family.team.device, family.dtype)
        self.tokens, self.seconds = progress.tokens, progress.seconds
        self._samples = np.asarray(progress.language_samples, dtype=np.int64)
        self._unlogged = progress.unlogged_steps
        self._measures = {member: torch.zeros(len(MEASURES), device=self._team.device) for member in family.members}
        if self._unlogged and self._team.is_first:
            for member, sums in progress.unlogged_measures.items():
                self._measures[member] += torch.tensor(sums, device=self._team.device)
        self._recent_flops, self._recent_tokens, self._recent_seconds = 0.0, 0, 0.0

    def add(
        self,
        micro_batches: Sequence[MicroBatch],
        totals: Totals,
        language_samples: npt.NDArray[np.int64],
        updates: Mapping[str, Update],
        seconds: float,
    ) -> None:
        """One step is done.

        Args:
            micro_batches: this process's.
            totals: of the whole step.
            language_samples: of the whole step, int64[K].
            updates: what it did to each member.
            seconds: it took.
        """
        self.tokens += totals.tokens
        self.seconds += seconds
        self._samples += language_samples
        self._unlogged += 1
        for member, update in updates.items():
            self._measures[member] += update.measures
        distillation = self._family.settings.distillation
        compared = distillation.weight > 0  # else the teacher's head is not run, and no row but the masked ones
        teacher = self._family.teacher.config if self._family.teacher_ran else None
        for batch in micro_batches:
            rows = batch.tokens if compared and distillation.positions == "all" else len(batch.rows)
            self._recent_flops += step_flops(
                self._shapes, teacher, batch.lengths, rows, self._vocabulary_size, rows if compared else 0
            )
        self._recent_tokens += totals.tokens
        self._recent_seconds += seconds

    def progress(self, step: int) -> Progress:
        """For a checkpoint. What the processes have measured goes to the first: nothing is counted twice later."""
        self._measures = {member: self._team.gather_in_first(sums) for member, sums in self._measures.items()}
        unlogged = {member: sums.tolist() for member, sums in self._measures.items()}
        return Progress(step, self.tokens, self.seconds, self._samples.tolist(), self._unlogged, unlogged)

    def records(self, step: int, rate: float, updates: Mapping[str, Update]) -> dict[str, dict[str, Any]]:
        """A line of the log for every member, with the means since the one before; the next counts anew."""
        flops, peak = spread([self._recent_flops, self._peak], self._team)
        seconds = max(self._recent_seconds, 1e-9)
        shared = {
            "learning_rate": rate,
            "tokens": self.tokens,
            "tokens_per_second": self._recent_tokens / seconds,
            # Of all processes together; only what is needed counts: real tokens, the rows that are predicted.
            "peak_fraction": flops / seconds / peak if peak > 0 and math.isfinite(peak) else None,
            "seconds": self.seconds,
            "shares": dict(zip(self._languages, (self._samples / max(1, self._samples.sum())).tolist(), strict=True)),
        }
        records = {}
        for member, update in updates.items():
            means = dict(zip(MEASURES, (self._team.sum(self._measures[member]) / self._unlogged).tolist(), strict=True))
            parts = {key: mean if _is_on(key, self._family.settings) else None for key, mean in means.items()}
            norm = float(update.gradient_norm)
            records[member] = {"kind": "train", "step": step, **parts, "gradient_norm": norm, **shared}
            self._measures[member] = torch.zeros_like(self._measures[member])
        self._unlogged, self._recent_flops, self._recent_tokens, self._recent_seconds = 0, 0.0, 0, 0.0
        return records


def _is_on(measure: str, settings: Pretrain) -> bool:
    """Whether a measure is a part of this run's objective."""
    distillation = settings.distillation
    return {
        "adversary": settings.adversary.mode != "none",
        "discriminator_accuracy": settings.adversary.mode != "none",
        "distillation": distillation.weight > 0,
        "hidden": distillation.hidden.weight > 0,
        "relations": distillation.relations.weight > 0,
    }.get(measure, True)
