"""Size against score: which models are not beaten by a smaller or equal one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from unibert.benchmark.scores import Board
from unibert.report.theme import (
    INK,
    PAPER,
    SERIES,
    SOFT,
    WIDTH,
    Picture,
    canvas,
    legend_columns,
    shortened,
    to_picture,
)
from unibert.report.wording import decimal, listing, millions, plain_number

_HEIGHT, _LEFT, _RIGHT, _FOOT, _HEAD = 320.0, 46.0, 10.0, 44.0, 26.0
_MARKERS = ("o", "D", "s", "^", "v")
_LETTER, _LINE = 5.4, 11.0
"""Width and height of a letter of a label, in SVG units."""


@dataclass(frozen=True)
class Point:
    """A model in a setting: its size and its average score."""

    model: str
    setting: str
    parameters: int
    score: float
    margin: float | None = None
    """Half the width of the 95 % interval over seeds."""


def points(board: Board, sizes: Mapping[str, int] | None = None) -> list[Point]:
    """Every row that has an average over all languages of the benchmark; others could not be compared.

    Args:
        board: the rows.
        sizes: parameters by model, for rows that are quoted; those of the results when not given.
    """
    sizes = sizes or {result.model: result.parameters for result in board.results}
    found = []
    for row in board.rows:
        average = row.average(board.languages)
        if average is not None and sizes.get(row.model):
            found.append(Point(row.name, row.setting, sizes[row.model], average.value, average.margin))
    return found


def front(found: Sequence[Point]) -> list[Point]:
    """The points that no other one of at most their size passes in score, the smallest first.

    Of points alike in size and score the first one stands for all.
    """
    best: list[Point] = []
    for point in sorted(found, key=lambda point: (point.parameters, -point.score)):
        if not best or point.score > best[-1].score:
            best.append(point)
    return best


def size_against_score(name: str, title: str, metric: str, found: Sequence[Point], places: int = 2) -> Picture | None:
    """Parameters on a logarithmic scale against the average over languages, with the front of the best.

    Args:
        name: of the picture's file.
        title: of the task.
        metric: what is averaged, in words.
        found: see `points`.
        places: decimals of a score.

    Returns:
        The picture; None with models of fewer than two sizes, of which there is nothing to compare.
    """
    if len({point.parameters for point in found}) < 2:
        return None
    settings = list(dict.fromkeys(point.setting for point in found))
    best = front(found)
    with canvas(_HEIGHT, constrained=False) as (figure, axes):
        width, height = WIDTH - _LEFT - _RIGHT, _HEIGHT - _FOOT - _HEAD
        axes.set_position((_LEFT / WIDTH, _FOOT / _HEIGHT, width / WIDTH, height / _HEIGHT))
        _scales(axes, found)
        steps = [*best, best[-1]]
        axes.step(
            [*(point.parameters for point in best), axes.get_xlim()[1]], [point.score for point in steps],
            where="post", color=SOFT, linewidth=1.2, linestyle=(0, (4, 2)), label="best for its size", zorder=1.8,
        )  # fmt: skip
        for number, setting in enumerate(settings):
            its = [point for point in found if point.setting == setting]
            colour = SERIES[number % len(SERIES)]
            for point in its:
                if point.margin is not None:
                    axes.vlines(
                        point.parameters, point.score - point.margin, point.score + point.margin, color=colour,
                        linewidth=1, alpha=0.6,
                    )  # fmt: skip
            axes.plot(
                [point.parameters for point in its], [point.score for point in its], linestyle="none",
                marker=_MARKERS[number % len(_MARKERS)], markersize=6.5, color=colour,
                markerfacecolor=PAPER if number else colour, markeredgewidth=1.4, label=setting,
            )  # fmt: skip
        _names(axes, found, (width, height))
        axes.set_xlabel("parameters")
        axes.set_ylabel(f"{metric}, average")
        labels = [*settings, "best for its size"]
        handles = {str(handle.get_label()): handle for handle in axes.get_lines()}
        figure.legend(
            [handles[label] for label in labels], labels, loc="upper left", bbox_to_anchor=(0, 1),
            ncols=legend_columns(labels), handlelength=1.4, handletextpad=0.4, columnspacing=1.2, borderaxespad=0.0,
        )  # fmt: skip
        told = listing([f"{point.model} ({millions(point.parameters)}, {point.setting}) {decimal(point.score, places)}"
                        for point in best])  # fmt: skip
        label = (
            f"{title}: size of {len({point.model for point in found})} models on a logarithmic scale against the "
            f"average {metric}. Not passed by a model of at most their size: {told}."
        )
        return to_picture(figure, name, label)


def _scales(axes: Axes, found: Sequence[Point]) -> None:
    sizes, scores = [point.parameters for point in found], [point.score for point in found]
    axes.set_xscale("log")
    axes.set_xlim(min(sizes) / 1.6, max(sizes) * 1.6)
    span = max(scores) - min(scores) or abs(max(scores)) * 0.1 or 1.0
    axes.set_ylim(min(scores) - 0.16 * span, max(scores) + 0.16 * span)
    decades = max(sizes) / min(sizes)
    axes.xaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0) if decades < 100 else (1.0,), numticks=8))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _size(value)))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(plain_number))


def _size(parameters: float) -> str:
    for unit, factor in (("B", 1e9), ("M", 1e6), ("K", 1e3)):
        if parameters >= factor:
            return f"{parameters / factor:g} {unit}"
    return f"{parameters:g}"


_PLACES = (
    (1, 8, -4), (-1, 8, -4), (0, 0, 8), (0, 0, -18), (1, 6, 8), (-1, 6, 8), (1, 6, -18), (-1, 6, -18), (0, 0, 20),
    (0, 0, -30), (1, 8, -26), (-1, 8, 20), (1, -20, -44), (-1, -20, 32),
)  # fmt: skip
"""Where a name may stand, the best first: right (1), left (-1) or in the middle of its point, and how far off."""
Box = tuple[float, float, float, float]


def _names(axes: Axes, found: Sequence[Point], room: tuple[float, float]) -> None:
    """A model's name once, beside its best point, where it covers no other point or name if there is such a place."""
    width, height = room
    spots = {point: axes.transAxes.inverted().transform(axes.transData.transform((point.parameters, point.score)))
             for point in found}  # fmt: skip
    dots: list[Box] = [(x * width - 4, y * height - 4, x * width + 4, y * height + 4) for x, y in spots.values()]
    taken = _line(axes, front(found), room)
    for model in dict.fromkeys(point.model for point in found):
        point = max((point for point in found if point.model == model), key=lambda point: point.score)
        x, y = spots[point][0] * width, spots[point][1] * height
        text = shortened(model, 22)
        long = _LETTER * len(text)
        places = [
            (x + dx if side > 0 else x - dx - long if side < 0 else x - long / 2, y + dy) for side, dx, dy in _PLACES
        ]
        boxes = [(left, foot, left + long, foot + _LINE) for left, foot in places]
        chosen = min(boxes, key=lambda box: _cost(box, dots, taken, room))
        dots.append(chosen)
        axes.text(
            chosen[0] / width, (chosen[1] + 2) / height, text, transform=axes.transAxes, fontsize=9, color=INK,
            va="baseline", zorder=1.9, bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.6},
        )  # fmt: skip


def _line(axes: Axes, best: Sequence[Point], room: tuple[float, float]) -> list[Box]:
    """The steps of the front as thin boxes, which names keep off."""
    width, height = room
    at = [axes.transAxes.inverted().transform(axes.transData.transform((p.parameters, p.score))) for p in best]
    corners = [(x * width, y * height) for x, y in at]
    ends = [x for x, _ in corners[1:]] + [width]
    flat = [(x, y - 1.5, end, y + 1.5) for (x, y), end in zip(corners, ends, strict=True)]
    upright = [(x - 1.5, low, x + 1.5, y) for (_, low), (x, y) in pairwise(corners)]
    return flat + upright


def _overlap(first: Box, second: Box) -> float:
    across = min(first[2], second[2]) - max(first[0], second[0])
    up = min(first[3], second[3]) - max(first[1], second[1])
    return max(across, 0) * max(up, 0)


def _cost(box: Box, dots: Sequence[Box], line: Sequence[Box], room: tuple[float, float]) -> float:
    """How much a place covers: points and names are worse than the front's line, and beyond the axes is worst."""
    outside = (box[2] - box[0]) * (box[3] - box[1]) - _overlap(box, (0, 0, *room))
    return 40 * outside + 10 * sum(_overlap(box, dot) for dot in dots) + sum(_overlap(box, part) for part in line)
