"""Where a training stands that is not finished: how far, how fast, how long still, and whether it is going at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from unibert.report.collect import Run
from unibert.report.reading import Gap
from unibert.report.schema import Step
from unibert.report.tables import Cell, Column, Table, words
from unibert.report.trainings import Training
from unibert.report.wording import NOTHING, count, decimal, duration, percent, plural

_RECENT = 0.1
"""Share of the steps so far that the pace is taken from."""
_SILENCE = 600.0
"""Seconds without a line after which a training is called silent, if ten of its usual intervals are not longer."""


@dataclass(frozen=True)
class Standing:
    """Where the models of a group stand that are trained together.

    Args:
        group: their folder.
        trainings: one, or those of a family.
        step: the last that was logged; 0 before that.
        steps: where it ends, if that is known.
        seconds_per_step: in recent steps; None before two are known.
        latest: the last `train` record of the first model.
        age: seconds since a line was written; None without a log.
        silent: that is much longer than usual.
    """

    group: str
    trainings: list[Training]
    step: int
    steps: int | None
    seconds_per_step: float | None
    latest: Step | None
    age: float | None
    silent: bool

    @property
    def seconds_left(self) -> float | None:
        """Of training alone; None where it cannot be told."""
        if self.steps is None or self.seconds_per_step is None:
            return None
        return max(0, self.steps - self.step) * self.seconds_per_step

    @property
    def share(self) -> float | None:
        """Of the steps that are done."""
        return min(1.0, self.step / self.steps) if self.steps else None


def standings(run: Run, now: float | None = None) -> list[Standing]:
    """Those of the run's groups of which a model is not finished and something was written.

    Args:
        run: the run.
        now: seconds since 1970; the clock's when None.
    """
    now = time.time() if now is None else now
    return [
        _standing(group, trainings, now)
        for group, trainings in run.groups.items()
        if any(not training.finished and (training.steps or group in run.stages) for training in trainings)
    ]


def _standing(group: str, trainings: list[Training], now: float) -> Standing:
    first = max(trainings, key=lambda training: training.steps[-1].step if training.steps else 0)
    latest = first.steps[-1] if first.steps else None
    pace = _pace(first.steps)
    written = [training.written for training in trainings if training.written is not None]
    # A clock that was set back makes an age below nothing, which tells nothing.
    age = now - max(written) if written and now >= max(written) else None
    interval = first.steps[-1].step - first.steps[-2].step if len(first.steps) > 1 else 0
    silent = age is not None and age > max(_SILENCE, 10 * interval * (pace or 0.0))
    step = latest.step if latest else 0
    return Standing(group, trainings, step, first.planned_steps, pace, latest, age, silent)


def _pace(steps: Sequence[Step]) -> float | None:
    """Seconds per step since a tenth of the way back."""
    if not steps:
        return None
    last = steps[-1]
    since = [step for step in steps[:-1] if step.step >= last.step * (1 - _RECENT)] or list(steps[-2:-1])
    step, seconds = (since[0].step, since[0].seconds) if since else (0, 0.0)
    passed = last.seconds - seconds
    return passed / (last.step - step) if last.step > step and passed > 0 else None


def standing_sentence(standing: Standing, refresh: int | None) -> str:
    """How far a training is, in words.

    Args:
        standing: of the training.
        refresh: seconds after which the page is written anew; None where it is not.
    """
    of = f" of {count(standing.steps)}" if standing.steps else ""
    text = f"The training of the {standing.group} stands at step {count(standing.step)}{of}"
    text += f" ({percent(standing.share, 1)})" if standing.share is not None else ""
    if standing.share == 1.0:
        text += "; the models are being written" if len(standing.trainings) > 1 else "; the model is being written"
    elif standing.seconds_left is not None and not standing.silent:
        text += f"; at the pace of its recent steps {duration(standing.seconds_left)} of training are left"
        text += ", evaluations not counted"
    text += "."
    if standing.latest is None:
        text += " No step has been logged yet."
    if standing.age is not None:
        text += f" The last line of its log was written {duration(standing.age)} before this page."
    if standing.silent:
        text += " That is much longer than usual: the training has been stopped, or hangs."
    if refresh is not None:
        text += f" This page is written anew every {plural(refresh, 'second')}."
    return text


def silences(going: Sequence[Standing]) -> list[Gap]:
    """Trainings that should be going and write nothing."""
    return [
        Gap(
            f"{standing.group}/",
            "incomplete",
            f"the training is not finished, and nothing was written for {duration(standing.age)}; the command that "
            "started it goes on from its last checkpoint",
        )
        for standing in going
        if standing.silent and standing.age is not None
    ]


def _loss(value: float) -> str:
    return decimal(value, 3)


def _held_out(step: int, loss: float) -> Cell:
    return Cell(_loss(loss), loss, small=f"step {count(step)}", parts={"step": step})


_VALUES: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("Loss", "loss", _loss),
    ("Masked pieces", "mlm", _loss),
    ("Distillation", "distillation", _loss),
    ("Hidden states", "hidden", _loss),
    ("Relations", "relations", _loss),
    ("Adversary", "adversary", _loss),
    ("Discriminator right", "discriminator_accuracy", lambda share: percent(share, 1)),
    ("Gradient norm", "gradient_norm", decimal),
)
"""Headings, keys of the record, and how values are written."""


def latest_table(standing: Standing) -> Table | None:
    """The last record of every model of a group."""
    found = [(training, training.steps[-1]) for training in standing.trainings if training.steps]
    if not found:
        return None
    shown = [heading for heading in _VALUES if any(getattr(step, heading[1]) is not None for _, step in found)]
    rows = []
    for training, step in found:
        evaluation = training.last_held_out
        cells = [Cell(NOTHING, note="not evaluated yet")]
        if evaluation:
            cells = [_held_out(evaluation.step, evaluation.mlm)]
        for _, key, show in shown:
            value = getattr(step, key)
            cells.append(Cell(show(value), value) if value is not None else Cell(NOTHING, note="not in the log"))
        rows.append([words(training.role), Cell(count(step.step), step.step), *cells])
    languages = max((len(training.shares) for training in standing.trainings), default=0)
    notes = ["Means over the steps since the record before."]
    if languages and any(step.discriminator_accuracy is not None for _, step in found):
        notes.append(
            f"A discriminator that guesses is right {percent(1 / languages, 1)} of the time, 1 in {languages}."
        )
    columns = [Column("Model", False), Column("Step"), Column("Held-out loss", unit="nats")]
    columns += [Column(heading) for heading, _, _ in shown]
    return Table(f"latest-{standing.group}", "The latest values", columns, rows, notes)
