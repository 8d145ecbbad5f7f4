"""Time per call in one picture: a row for every backend of every model, a mark for every number of threads."""

from __future__ import annotations

from math import ceil

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from unibert.report.latency_file import TITLES, Cell, Latency
from unibert.report.theme import INK, PAPER, SERIES, SOFT, WIDTH, Picture, canvas, legend_columns, shortened, to_picture
from unibert.report.wording import milliseconds, plain_number, plural

_ROW, _FOOT, _LEGEND = 17.0, 38.0, 17.0
"""Heights in SVG units: of a row, of the axis, of a line of the legend."""
_LEFT, _RIGHT = 104.0, 44.0
_MARKERS = ("o", "D", "s", "^", "v")
_BESIDE = 22.0
_SHORTEST = 1e-6
"""Milliseconds; a logarithmic scale has no 0."""
_NAME = 44
"""Letters of a model's name."""


def latency_figure(found: Latency) -> Picture | None:
    """The time per call at `Latency.reference` on a logarithmic scale; None where nothing was measured.

    Numbers of threads differ by colour and by shape; the number beside a row is its fastest one's.
    """
    if found.reference is None:
        return None
    rows = _rows(found)
    threads = sorted({number for _, cells in rows for number in cells})
    labels = [plural(number, "thread") for number in threads]
    columns = legend_columns(labels, beside=_BESIDE)
    head = 6 + _LEGEND * ceil(len(labels) / columns)
    body = _ROW * len(rows)
    height = head + body + _FOOT
    with canvas(height, constrained=False) as (figure, axes):
        axes.set_position((_LEFT / WIDTH, _FOOT / height, 1 - (_LEFT + _RIGHT) / WIDTH, body / height))
        axes.set_xscale("log")
        for row, (_, cells) in enumerate(rows):
            _draw(axes, row, cells, threads)
        _scale(axes, [cell for _, cells in rows for cell in cells.values()])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_yticks([row for row, (_, cells) in enumerate(rows) if cells], [t for t, cells in rows if cells])
        for row, (title, cells) in enumerate(rows):
            if not cells:  # the heading of a model
                axes.annotate(
                    shortened(title, _NAME), (0, row), xycoords=("figure points", "data"), textcoords="offset points",
                    xytext=(2, 0), va="center_baseline", fontsize=10.5, fontweight="bold", color=INK,
                    annotation_clip=False,
                    bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1},
                )  # fmt: skip
        axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=10)
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("milliseconds per call")
        handles = [
            axes.plot([], [], linestyle="none", marker=_MARKERS[n % len(_MARKERS)], color=SERIES[n % len(SERIES)],
                      markerfacecolor=PAPER if n else SERIES[0], markersize=6, markeredgewidth=1.3)[0]
            for n in range(len(threads))
        ]  # fmt: skip
        figure.legend(
            handles, labels, loc="upper left", bbox_to_anchor=(0, 1), ncols=columns, handletextpad=0.1,
            columnspacing=1.0, borderaxespad=0.0, borderpad=0.1, labelspacing=0.2,
        )  # fmt: skip
        return to_picture(figure, "latency", _words(found))


def _rows(found: Latency) -> list[tuple[str, dict[int, Cell]]]:
    """From top to bottom: a model's heading, which has no cells, and a row for each of its backends by threads."""
    assert found.reference
    rows: list[tuple[str, dict[int, Cell]]] = []
    for model in found.models:
        backends: dict[str, dict[int, Cell]] = {}
        for part, cell in found.at(*found.reference):
            if part.model == model.name:
                backends.setdefault(part.backend, {})[part.threads] = cell
        if backends:
            rows.append((model.name + (" (random weights)" if model.random_weights else ""), {}))
            rows += [(title, backends[name]) for name, title in TITLES.items() if name in backends]
    return rows


def _draw(axes: Axes, row: int, cells: dict[int, Cell], threads: list[int]) -> None:
    for position, number in enumerate(threads):
        cell = cells.get(number)
        if cell is None:
            continue
        colour = SERIES[position % len(SERIES)]
        middle = row + (position - (len(threads) - 1) / 2) * min(0.3, 0.6 / len(threads))
        left, right = (max(seconds * 1000, _SHORTEST) for seconds in (cell.p50, cell.p95))
        axes.hlines(middle, left, right, color=colour, linewidth=1.2)
        axes.plot(
            [left], [middle], linestyle="none", marker=_MARKERS[position % len(_MARKERS)], color=colour,
            markerfacecolor=PAPER if position else colour, markersize=6, markeredgewidth=1.3,
        )  # fmt: skip
    if cells:
        best = min(cell.p50 for cell in cells.values())
        axes.annotate(
            milliseconds(best), (1, row), xycoords=axes.get_yaxis_transform(), textcoords="offset points",
            xytext=(_RIGHT - 4, 0), ha="right", va="center_baseline", fontsize=10, color=SOFT, annotation_clip=False,
        )  # fmt: skip


def _scale(axes: Axes, cells: list[Cell]) -> None:
    low, high = min(cell.p50 for cell in cells) * 1000, max(cell.p95 for cell in cells) * 1000
    low, high = max(low, _SHORTEST), max(high, _SHORTEST)
    axes.set_xlim(low / 1.3, high * 1.2)
    axes.xaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0) if high / low < 60 else (1.0,), numticks=8))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(plain_number))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _words(found: Latency) -> str:
    assert found.reference
    batch, length = found.reference
    told = "; ".join(
        f"{part.model}, {TITLES[part.backend]}, {plural(part.threads, 'thread')}, {milliseconds(cell.p50)} ms"
        for part, cell in found.at(batch, length)
    )
    return f"Time per call at {batch} × {length} tokens on a logarithmic scale: {told}."
