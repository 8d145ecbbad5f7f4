"""From each to all, language by language: who gains when one model learns every language at once, and who loses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from unibert.benchmark.scores import Board
from unibert.report.dots import ROW, ROWS_PER_PANEL, language_label
from unibert.report.theme import INK, PAPER, SERIES, SOFT, WIDTH, Picture, canvas, shortened, to_picture
from unibert.report.wording import decimal, plain_number, signed

_FOOT = 38.0
_GAIN, _LOSS = SERIES[0], SERIES[1]


@dataclass(frozen=True)
class Move:
    """The scores of one language in both settings, each the mean over the seeds that both have."""

    each: float
    all: float

    @property
    def difference(self) -> float:
        """In the metric's own unit: points, or a difference of correlations."""
        return self.all - self.each


def moves(board: Board) -> dict[str, dict[str, Move]]:
    """For every model that was run in both settings, its languages that have a seed in common."""
    found: dict[str, dict[str, Move]] = {}
    for pair in board.each_and_all:
        for code in board.languages:
            each, joint = (row.scores.get(code, {}) for row in pair)
            common = each.keys() & joint.keys()
            if common:
                mean = Move(*(fmean(scores[seed] for seed in sorted(common)) for scores in (each, joint)))
                found.setdefault(pair[0].name, {})[code] = mean
    return found


def language_slopes(board: Board) -> list[Picture]:
    """A panel per model: every language's way from its score in `each` to that in `all`.

    All panels have one scale and one order: the language that gains most on average over the models first. Panels of
    more than `ROWS_PER_PANEL` languages are cut in parts.
    """
    found = moves(board)
    if not found:
        return []
    gained: dict[str, list[float]] = defaultdict(list)
    for its in found.values():
        for code, move in its.items():
            gained[code].append(move.difference)
    order = sorted(gained, key=lambda code: (-fmean(gained[code]), code))
    values = [value for its in found.values() for move in its.values() for value in (move.each, move.all)]
    span = max(values) - min(values) or abs(max(values)) * 0.1 or 1.0
    ends = (min(values) - 0.06 * span, max(values) + 0.34 * span)
    pictures = []
    for number, (model, its) in enumerate(found.items(), start=1):
        codes = [code for code in order if code in its]
        parts = ceil(len(codes) / ROWS_PER_PANEL)
        length = ceil(len(codes) / parts)
        for part in range(parts):
            shown = {code: its[code] for code in codes[part * length : (part + 1) * length]}
            name = f"{board.name}-slopes-{number}" + (f"-{part + 1}" if parts > 1 else "")
            which = f" (part {part + 1} of {parts})" if parts > 1 else ""
            pictures.append(_panel(board, name, f"{model}{which}", shown, length, ends))
    return pictures


def _panel(
    board: Board, name: str, model: str, its: Mapping[str, Move], length: int, ends: tuple[float, float]
) -> Picture:
    head = 42.0
    height = head + ROW * length + _FOOT
    margin = max(len(language_label(code)) for code in its) * 6.2 + 10
    places = 2 if board.per_cent else 3
    with canvas(height, constrained=False) as (figure, axes):
        axes.set_position((margin / WIDTH, _FOOT / height, 1 - (margin + 4) / WIDTH, ROW * length / height))
        for row, move in enumerate(its.values()):
            _way(axes, row, move)
            axes.annotate(
                signed(move.difference, places), (max(move.each, move.all), row), (8, 0),
                textcoords="offset points", va="center_baseline", fontsize=10, color=SOFT,
            )  # fmt: skip
        axes.set_xlim(*ends)
        axes.set_ylim(length - 0.4, -0.6)
        # Beyond the last possible score there are only the numbers.
        top = 100.0 if board.per_cent else 1.0
        axes.set_xticks([tick for tick in MaxNLocator(5).tick_values(*ends) if ends[0] <= tick <= min(ends[1], top)])
        axes.xaxis.set_major_formatter(FuncFormatter(plain_number))
        axes.set_xlabel(board.metric_name, labelpad=2)
        axes.set_yticks(range(len(its)), [language_label(code) for code in its])
        axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=11)
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        figure.text(4 / WIDTH, 1 - 13 / height, shortened(model, 44), weight="bold", fontsize=11)
        _legend(axes, margin, height)
        told = ", ".join(
            f"{language_label(code)} {decimal(its[code].each, places)} to {decimal(its[code].all, places)}"
            for code in dict.fromkeys((next(iter(its)), list(its)[-1]))
        )
        up = sum(move.difference > 0 for move in its.values())
        label = (
            f"{board.title}, {model}: {board.metric_name} of {len(its)} languages in each and in all; {up} of them are "
            f"higher in all. From the top to the foot: {told}."
        )
        return to_picture(figure, name, label)


def _way(axes: Axes, row: int, move: Move) -> None:
    """A hollow dot where a language was, a head that points to where it is; colour and direction say the same."""
    colour = _GAIN if move.difference >= 0 else _LOSS
    axes.hlines(row, min(move.each, move.all), max(move.each, move.all), color=colour, linewidth=2)
    axes.plot(move.each, row, marker="o", markersize=6, color=SOFT, markerfacecolor=PAPER, markeredgewidth=1.3)
    axes.plot(move.all, row, marker=">" if move.difference >= 0 else "<", markersize=6.5, color=colour)


def _legend(axes: Axes, margin: float, height: float) -> None:
    marks = {
        "each": Line2D([], [], linestyle="none", marker="o", markersize=6, color=SOFT, markerfacecolor=PAPER),
        "all, higher": Line2D([], [], linestyle="none", marker=">", markersize=6.5, color=_GAIN),
        "all, lower": Line2D([], [], linestyle="none", marker="<", markersize=6.5, color=_LOSS),
    }
    assert axes.figure is not None
    axes.figure.legend(
        list(marks.values()), list(marks), loc="upper left", bbox_to_anchor=(0, 1 - 18 / height), ncols=3,
        handletextpad=0.1, columnspacing=1.0, borderaxespad=0.0,
    )  # fmt: skip
