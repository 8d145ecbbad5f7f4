"""What changes with the step: pure functions, so that a resumed run needs no state for them."""

from __future__ import annotations

from unibert.recipe import Adversary, Pretrain


def learning_rate(step: int, settings: Pretrain) -> float:
    """Linear warm-up over `warmup_steps`, then linear decay that would reach 0 at step `steps`."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    left = settings.steps - step
    return settings.learning_rate * left / max(1, settings.steps - settings.warmup_steps)


def adversary_weight(step: int, settings: Adversary) -> float:
    """0 before `start`, whole from `full` on, linear between."""
    if step < settings.start:
        return 0.0
    if step >= settings.full:
        return settings.weight
    return settings.weight * (step - settings.start) / (settings.full - settings.start)
