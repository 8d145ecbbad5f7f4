"""Dot plots with a row per language, readable with a dozen languages and with more than a hundred."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isfinite

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from unibert.languages import language
from unibert.report.theme import GRID, INK, SERIES, SOFT, WIDTH, Picture, canvas, legend_columns, to_picture
from unibert.report.wording import decimal, percent, size

ROWS_PER_PANEL = 40
ROW, FOOT, HEAD = 16.0, 24.0, 24.0
"""Heights in SVG units: of a language, of the axis, of the legend."""
_MARKERS = ("o", "D", "s", "^", "v")
_BESIDE = 20.0
"""Width of a mark and its gaps in the legend."""


@dataclass(frozen=True)
class Scale:
    """The horizontal axis of all panels: its ends, how values and ticks are written, whether it is logarithmic."""

    low: float
    high: float
    show: Callable[[float], str]
    tick: Callable[[float], str]
    logarithmic: bool = False


def corpus_sizes(sizes: Mapping[str, int]) -> Picture | None:
    """Bytes of clean text of up to `ROWS_PER_PANEL` languages on a log scale, the largest first."""
    there = {code: float(value) for code, value in sizes.items() if value > 0}
    if not there:
        return None
    codes = sorted(there, key=lambda code: (-there[code], code))
    low, high = math.log10(min(there.values())), math.log10(max(there.values()))
    # Room on the left so that the smallest is not on the edge, on the right for the numbers.
    span = max(high - low, 1.0)
    scale = Scale(10 ** (low - 0.12 * span), 10 ** (high + 0.5 * span), size, power_of_ten, logarithmic=True)
    label = "Clean text per language on a logarithmic scale"
    (picture,) = panels("corpus-size", label, codes, {"text": there}, scale)
    return picture


def held_out_losses(losses: Mapping[str, Mapping[str, float]]) -> list[Picture]:
    """Held-out loss per language and model; `losses[model][language]`, the lowest of the first model first."""
    finite = {model: {code: x for code, x in found.items() if isfinite(x)} for model, found in losses.items()}
    series = {model: found for model, found in finite.items() if found}
    if not series:
        return []
    first = next(iter(series.values()))
    codes = sorted({code for found in series.values() for code in found}, key=lambda c: (first.get(c, math.inf), c))
    values = [value for found in series.values() for value in found.values()]
    span = (max(values) - min(values)) or abs(max(values)) * 0.1 or 1.0
    scale = Scale(min(values) - 0.08 * span, max(values) + 0.3 * span, decimal, lambda value: f"{value:g}")
    return panels("held-out", "Held-out masked language modelling loss per language, nats", codes, series, scale)


def language_shares(role: str, mixture: Mapping[str, float], drawn: Mapping[str, float]) -> list[Picture]:
    """The share of the samples that every language should have had, where it is known, and has had."""
    codes = sorted(set(mixture) | set(drawn), key=lambda code: (-mixture.get(code, 0), -drawn.get(code, 0), code))
    series = {name: found for name, found in (("mixture", mixture), ("drawn", drawn)) if found}
    highest = max((value for found in series.values() for value in found.values()), default=0.0)
    if not highest:
        return []
    scale = Scale(0.0, highest * 1.3, lambda share: percent(share, 1), lambda share: f"{share * 100:g} %")
    return panels(f"{role}-shares", f"Share of the samples per language, {role}", codes, series, scale)


def power_of_ten(value: float) -> str:
    """A power of ten in bytes without decimals: 10 kB."""
    return size(value).replace(".00", "").replace(".0", "")


def panels(
    name: str, label: str, codes: list[str], series: Mapping[str, Mapping[str, float]], scale: Scale
) -> list[Picture]:
    """A row per language and a dot per series; the number beside a row is that of the first series.

    Languages that do not fit into one panel are dealt out over several of the same size and scale.

    Args:
        name: of the pictures' files.
        label: what they show.
        codes: the rows from top to bottom.
        series: values by language, by name.
        scale: of the axis.
    """
    number = ceil(len(codes) / ROWS_PER_PANEL)
    length = ceil(len(codes) / number)
    labels = _legend(series)
    columns = legend_columns(labels, beside=_BESIDE)
    head = HEAD + 15.0 * (ceil(len(labels) / columns) - 1) if len(series) > 1 else 6.0
    height = head + ROW * length + FOOT
    # Letters are about half as wide as high (11 units); equal margins make the panels' dots comparable.
    margin = max(len(language_label(code)) for code in codes) * 6.2 + 10
    pictures = []
    for position in range(number):
        part = codes[position * length : (position + 1) * length]
        with canvas(height, constrained=False) as (figure, axes):
            axes.set_position((margin / WIDTH, FOOT / height, 1 - (margin + 4) / WIDTH, ROW * length / height))
            _rows(axes, part, length, series, scale)
            if len(series) > 1:
                # Above the dots, if there is room for it.
                above = legend_columns(labels, WIDTH - margin, _BESIDE) >= columns
                figure.legend(
                    loc="upper left",
                    bbox_to_anchor=(margin / WIDTH - 0.03 if above else 0.0, 1.0),
                    ncols=columns,
                    handletextpad=0.1,
                    columnspacing=1.0,
                    borderaxespad=0.0,
                )
            text = _words(label, part, series, scale, f" (part {position + 1} of {number})" if number > 1 else "")
            pictures.append(to_picture(figure, f"{name}-{position + 1}" if number > 1 else name, text))
    return pictures


def _legend(series: Mapping[str, object]) -> list[str]:
    """The names of the series; the numbers beside the dots are the first one's."""
    return [f"{name} (number)" if position == 0 else name for position, name in enumerate(series)]


def _rows(
    axes: Axes, part: Sequence[str], length: int, series: Mapping[str, Mapping[str, float]], scale: Scale
) -> None:
    if scale.logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(10, numticks=4))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: scale.tick(value)))
    axes.set_xlim(scale.low, scale.high)
    axes.set_ylim(length - 0.4, -0.6)
    labels = _legend(series)
    for position, found in enumerate(series.values()):
        rows = [row for row, code in enumerate(part) if code in found]
        values = [found[part[row]] for row in rows]
        if position == 0:
            # A stem's length means something only where it starts at zero; elsewhere it is a guide for the eye.
            honest = scale.low == 0
            axes.hlines(rows, scale.low, values, color=SERIES[0] if honest else GRID, linewidth=1.2 if honest else 1.0)
        axes.plot(
            values,
            rows,
            linestyle="none",
            marker=_MARKERS[position % len(_MARKERS)],
            color=SERIES[position % len(SERIES)],
            markersize=6,
            # All series but the first are hollow, so that it shows through where they agree.
            markerfacecolor=SERIES[0] if position == 0 else "none",
            markeredgewidth=1.3,
            label=labels[position],
        )
    for row, code in enumerate(part):
        values = [found[code] for found in series.values() if code in found]
        first = next(iter(series.values())).get(code)
        if first is not None:
            place = {"textcoords": "offset points", "va": "center_baseline", "fontsize": 10, "color": SOFT}
            axes.annotate(scale.show(first), (max(values), row), (7, 0), **place)  # type: ignore[arg-type]
    axes.set_yticks(range(len(part)), [language_label(code) for code in part])
    axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=11)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)


def _words(label: str, part: Sequence[str], series: Mapping[str, Mapping[str, float]], scale: Scale, which: str) -> str:
    """What a panel shows, for those who cannot see it: its first and last language; the tables have the rest."""
    name, first = next(iter(series.items()))
    ends = [f"{language_label(code)} {scale.show(first[code])}" for code in (part[0], part[-1]) if code in first]
    told = f" From first to last, {name}: {' to '.join(ends)}." if ends else ""
    return f"{label}{which}, {len(part)} languages.{told} The table of languages has every value."


def language_label(code: str) -> str:
    """Latin letters, which every system's font has: `German (de)`."""
    name = language(code).name
    if name == code:
        return code
    return f"{name if len(name) <= 20 else name[:19] + '…'} ({code})"
