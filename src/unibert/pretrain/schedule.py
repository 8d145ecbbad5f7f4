"""What changes with the step: pure functions, so that a resumed run needs no state for them."""

from __future__ import annotations

from unibert.recipe import Pretrain


def learning_rate(step: int, settings: Pretrain) -> float:
    """Linear warm-up over `warmup_steps`, then linear decay that would reach 0 at step `steps`."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    left = settings.steps - step
    return settings.learning_rate * left / max(1, settings.steps - settings.warmup_steps)


def adversary_weight(step: int, settings: Pretrain) -> float:
    """0 before `adversary.start`, whole from `adversary.full` on, linear between."""
    weight = settings.adversary.weight
    start, full = settings.adversary.ramp(settings.steps)
    if step < start:
        return 0.0
    if step >= full:
        return weight
    return weight * (step - start) / (full - start)
