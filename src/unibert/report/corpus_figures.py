"""What the corpus is made of, as figures: how much text each language has, and how long the samples are."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from itertools import pairwise

from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from unibert.corpus.statistics import length_summary
from unibert.report import dots
from unibert.report.theme import INK, SERIES, SOFT, Picture, canvas, to_picture
from unibert.report.wording import count, decimal, percent, plural, size

_COLUMN = 9.6
"""SVG units between two languages; a code of 9 units in height stands upright in it."""
_LEFT, _RIGHT, _FOOT, _HEAD, _PLOT = 54.0, 64.0, 52.0, 22.0, 270.0


def corpus_sizes(sizes: Mapping[str, int]) -> Picture | None:
    """Figure 1 of the paper: bytes of clean text per language on a log scale, the largest first, all in one figure.

    Up to 40 languages have a row each with name and number, which a telephone can show; more have a column each with
    their code. None if there is no text.
    """
    there = {code: value for code, value in sizes.items() if value > 0}
    if len(there) <= dots.ROWS_PER_PANEL:
        return dots.corpus_sizes(there)
    codes = sorted(there, key=lambda code: (-there[code], code))
    values = [there[code] for code in codes]
    low, high = math.floor(math.log10(values[-1])), math.floor(math.log10(values[0])) + 1
    width, height = _LEFT + _COLUMN * len(codes) + _RIGHT, _HEAD + _PLOT + _FOOT
    with canvas(height, constrained=False, width=width) as (figure, axes):
        axes.set_position((_LEFT / width, _FOOT / height, 1 - (_LEFT + _RIGHT) / width, _PLOT / height))
        axes.set_yscale("log")
        axes.set_ylim(10.0 ** (low - 0.02 * (high - low)), 10.0**high)
        axes.yaxis.set_major_locator(LogLocator(10, numticks=14))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: dots.power_of_ten(value)))
        # A column's foot means nothing on a logarithmic scale: the line only leads the eye from the dot to the code.
        axes.vlines(range(len(codes)), axes.get_ylim()[0], values, color=SOFT, linewidth=0.5, alpha=0.45)
        axes.plot(values, linestyle="none", marker="o", markersize=5, color=SERIES[0])
        axes.set_xlim(-0.7, len(codes) - 0.3)
        axes.set_xticks(range(len(codes)), codes, rotation=90)
        axes.tick_params(axis="x", length=0, labelsize=9, labelcolor=INK, pad=3)
        axes.grid(axis="x", visible=False)
        middle = len(codes) // 2
        for position in (0, middle, len(codes) - 1):
            axes.annotate(
                f"{codes[position]} {size(values[position])}", (position, values[position]), (3, 6),
                textcoords="offset points", fontsize=10, color=SOFT,
            )  # fmt: skip
        told = ", ".join(f"{codes[place]} {size(values[place])}" for place in (0, middle, len(codes) - 1))
        label = (
            f"Clean text per language on a logarithmic scale, {len(codes)} languages, the largest first. The largest, "
            f"the middle one and the smallest: {told}. The table of languages has every value."
        )
        return to_picture(figure, "corpus-size", label, wide=True)


def sample_lengths(lengths: Mapping[str, int]) -> Picture | None:
    """How long the samples are, in tokens, on a log scale, with mean and median; None without a sample.

    Args:
        lengths: the number of samples by length, as the statistics have it.
    """
    found = length_summary(lengths)
    if found is None:
        return None
    edges = _edges(max(found.longest, 1))
    total = sum(lengths.values())
    heights = [0.0] * (len(edges) - 1)
    for length, number in lengths.items():
        heights[bisect_right(edges, max(int(length), 1)) - 1] += number / total
    # A bin that holds the lengths a to b - 1 reaches from a - 1/2 to b - 1/2: each length in the middle of its own.
    ends = [edge - 0.5 for edge in edges]
    heights = [height / math.log2(b / a) for height, (a, b) in zip(heights, pairwise(ends), strict=True)]
    with canvas(235) as (figure, axes):
        axes.stairs(heights, ends, fill=True, color=SERIES[0], alpha=0.35, linewidth=0)
        axes.stairs(heights, ends, color=SERIES[0], linewidth=1.6)
        shortest = next(position for position, height in enumerate(heights) if height)
        axes.set_xscale("log")
        axes.set_xlim(ends[shortest] / 1.15, ends[-1] * 1.05)
        axes.set_ylim(0, max(heights) * 1.1)
        axes.axvline(max(found.mean, ends[0]), color=SERIES[1], linewidth=1.8, label=f"mean {decimal(found.mean, 1)}")
        axes.axvline(
            max(found.median, ends[0]),
            color=INK,
            linestyle=(0, (4, 2)),
            linewidth=1.6,
            label=f"median {found.median:,}",
        )
        axes.set_title("Length of the samples")
        axes.set_xlabel("tokens")
        axes.set_ylabel("share of samples per doubling")
        axes.xaxis.set_major_locator(
            LogLocator(10, subs=(1.0,) if found.longest > 99 else (1.0, 2.0, 5.0), numticks=12)
        )
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:g} %"))
        figure.legend(loc="outside lower left", ncols=2, handlelength=1.8, columnspacing=1.2)
        share = sum(number for length, number in lengths.items() if int(length) > 512) / total
        label = (
            f"Length of {plural(total, 'sample')} in tokens on a logarithmic scale: mean {decimal(found.mean, 1)}, "
            f"median {count(found.median)}, 95 % have at most {count(found.quantiles[95])}, the longest "
            f"{count(found.longest)}; {percent(share)} have more than 512."
        )
        return to_picture(figure, "lengths", label)


def _edges(longest: int) -> list[int]:
    """First lengths of bins, eight to a factor of ten or one per length, and one more after the last bin."""
    edges = [1]
    while edges[-1] <= longest:
        edges.append(max(edges[-1] + 1, math.floor(edges[-1] * 10 ** (1 / 8))))
    return edges
