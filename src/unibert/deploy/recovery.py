"""A short distillation of a pruned model from the one that it was cut out of.

What is minimised is a distance of the outputs plus the mean squared error of the hidden states, of the embeddings and
of every layer (TinyBERT, Jiao et al., arXiv 1909.10351, equations 8 and 9). No map between the widths has to be
learned: the pruned model's hidden units are some of the teacher's, and are compared with those. The distance is the KL
divergence on masked pieces (equation 4 of the paper) for a masked language model, and that of the task for a fine-tuned
one. The teacher's answers are all that is learned from; labels are not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor

from unibert.deploy.importance import Measurable
from unibert.deploy.structure import Indices
from unibert.errors import DataError
from unibert.models.precision import resolve_precision
from unibert.progress import StepBar

BATCH_SIZE = 32
"""Samples per step."""
LEARNING_RATE = 5e-4
"""AdamW's, at the end of the warm-up."""
_WARM_UP = 0.1
_CLIP = 1.0
_TOLD_EVERY = 20
"""Steps between losses that are looked at: each look waits for the device."""


class Lessons(Protocol):
    """What a pruned model can be recovered on."""

    def lessons(self, batch_size: int) -> Iterator[list[Any]]:
        """Steps without end, each of one or several batches."""

    def ready(self, student: Any, teacher: Any) -> AbstractContextManager[None]:
        """Whatever both models need to read such batches."""

    def distil(
        self, student: Any, teacher: Any, batch: Any, hidden: Indices, share: float, dtype: torch.dtype
    ) -> Tensor:
        """How far the student is from the teacher on a batch, times `share`: a scalar with gradient."""


def recover(
    student: Any,
    teacher: Any,
    material: Lessons,
    hidden: Indices,
    steps: int,
    learning_rate: float = LEARNING_RATE,
    description: str = "recovering",
) -> list[float]:
    """Train a pruned model in place, without dropout, after the one that it was cut out of.

    Costs a forward pass of the teacher and both passes of the student per step; AdamW keeps two numbers per weight.

    Args:
        student: the pruned model; its weights change.
        teacher: the model before pruning; its weights do not.
        material: what both read.
        hidden: the hidden units of the teacher that the student has.
        steps: of `BATCH_SIZE` samples; the learning rate rises over the first tenth and then falls to 0.
        learning_rate: the highest.
        description: stands in front of the bar.

    Returns:
        The loss at some of the steps, the last one among them.

    Raises:
        DataError: the loss is not a number any more.
    """
    # Without dropout in either: the student is to repeat what the teacher says, of which dropout would be noise.
    student.eval().requires_grad_(True)
    teacher.eval().requires_grad_(False)
    dtype = resolve_precision("auto", student.device)
    optimizer = torch.optim.AdamW(student.parameters(), lr=learning_rate, weight_decay=0.0)
    losses: list[float] = []
    with material.ready(student, teacher), StepBar(steps, description) as bar:
        for step, batches in zip(range(steps), material.lessons(BATCH_SIZE), strict=False):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * _rate(step, steps)
            total = _samples(batches)
            parts = []
            for batch in batches:
                loss = material.distil(student, teacher, batch, hidden, batch.samples / total, dtype)
                loss.backward()
                parts.append(loss.detach())
            norm = torch.nn.utils.clip_grad_norm_(student.parameters(), _CLIP)
            if step % _TOLD_EVERY == 0 or step == steps - 1:
                losses.append(float(torch.stack(parts).sum()))
                if not math.isfinite(losses[-1]) or not math.isfinite(float(norm)):
                    raise DataError(
                        f"recovery: the loss is not a number after {step} steps",
                        "Lower --learning-rate; nothing was written.",
                    )
                bar.tell(f"loss {losses[-1]:.3f}")
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            bar.advance()
    student.requires_grad_(True)
    return losses


def _samples(batches: list[Measurable]) -> int:
    return sum(batch.samples for batch in batches)


def _rate(step: int, steps: int) -> float:
    """The share of the highest learning rate: linear warm-up, then linear decay that would reach 0 at the end."""
    rising = max(1, round(_WARM_UP * steps))
    return min((step + 1) / rising, (steps - step) / max(1, steps - rising))
