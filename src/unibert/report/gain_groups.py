"""The paper's t-test on a run's own scores: do its models gain more from training on all languages than others do?"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from unibert.benchmark.gains import gains
from unibert.benchmark.models import BASELINES
from unibert.benchmark.scores import Board
from unibert.report.statistics import Welch, welch

_FEWEST = 3


@dataclass(frozen=True)
class ModelGain:
    """What training on all languages brought one model on one benchmark, in per cent of *each*."""

    model: str
    board: str
    percent: float


@dataclass(frozen=True)
class GainGroups:
    """The relative gains of the run's own models and of the others, and Welch's t-test between them."""

    own: list[ModelGain]
    others: list[ModelGain]
    test: Welch


def gain_groups(boards: Sequence[Board], own: Collection[str] | None = None) -> GainGroups | None:
    """Welch's t-test of the relative gains each -> all, one entry for a model and benchmark, as in the paper.

    Correlations are mapped to (r + 1) / 2 before the ratio is taken, as the paper's footnote 7 has it: a share of a
    number that may be negative says nothing.

    Args:
        boards: the benchmark's results, grouped.
        own: the models of the first group; when not given, all but the teacher and those of the hub.

    Returns:
        The test; None where a group has fewer than three entries, which tell nothing of its spread, or where all
        entries of both groups are the same.
    """
    found: dict[bool, list[ModelGain]] = {True: [], False: []}
    for board in boards:
        models = {row.name: row.model for row in board.rows}
        for gain in gains(board, mapped=True):
            model = models[gain.model]
            mine = model in own if own is not None else is_own(model)
            found[mine].append(ModelGain(gain.model, board.title, gain.percent))
    if min(len(group) for group in found.values()) < _FEWEST:
        return None
    try:
        test = welch([gain.percent for gain in found[True]], [gain.percent for gain in found[False]])
    except ValueError:  # no spread
        return None
    return GainGroups(found[True], found[False], test)


def is_own(model: str) -> bool:
    """Whether a model, by its name in the results, is one of the run's own students."""
    return model != "teacher" and model not in BASELINES and "/" not in model
