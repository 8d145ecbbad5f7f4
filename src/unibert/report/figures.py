"""The paper's Figure 3. A panel is as wide as a telephone's screen; wide screens set several side by side."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from unibert.benchmark.scores import Gain
from unibert.report.theme import INK, PAPER, SERIES, Picture, canvas, to_picture
from unibert.report.wording import plain_number, signed


def relative_gains(name: str, title: str, gains: Sequence[Gain]) -> Picture | None:
    """Figure 3 of the paper: the relative gain of `all` over `each`, with 95 % intervals where there are seeds."""
    if not gains:
        return None
    ends = [0.0, *(value for gain in gains for value in (gain.percent, gain.low, gain.high) if value is not None)]
    # One wild interval (two seeds give a factor of 12.7) must not squeeze all others into a line.
    reach = max(abs(gain.percent) for gain in gains) or 1.0
    low, high = max(min(ends), -6 * reach), min(max(ends), 6 * reach)
    room = (high - low) * 0.08 or 1.0
    with canvas(74 + 46.0 * len(gains)) as (figure, axes):
        for row, gain in enumerate(gains):
            axes.barh(row + 0.12, gain.percent, height=0.34, color=SERIES[0])
            if gain.low is not None and gain.high is not None:
                axes.hlines(row + 0.12, gain.low, gain.high, color=INK, linewidth=1.4)
                axes.plot(
                    [gain.low, gain.high], [row + 0.12] * 2, linestyle="none", marker="|", markersize=8, color=INK
                )
            axes.annotate(
                f"{_short(gain.model)}  {signed(gain.percent)} %", (0, row - 0.28), xycoords=axes.get_yaxis_transform(),
                va="center", fontsize=10, bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1},
            )  # fmt: skip
        axes.axvline(0, color=INK, linewidth=1)
        axes.set_yticks([])
        axes.set_ylim(len(gains) - 0.4, -0.6)
        axes.set_xlim(low - room, high + room)
        axes.set_xlabel("relative gain of all over each, %")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(FuncFormatter(plain_number))
        axes.spines["left"].set_visible(False)
        axes.grid(axis="y", visible=False)
        _clip_marks(axes, low - room, high + room, gains)
        told = "; ".join(f"{gain.model} {signed(gain.percent)} %, {gain.verdict}" for gain in gains)
        return to_picture(figure, name, f"{title}: relative gain of all over each. {told}.")


def _clip_marks(axes: Axes, low: float, high: float, gains: Sequence[Gain]) -> None:
    """An arrow head where an interval goes on beyond the axes."""
    for row, gain in enumerate(gains):
        if gain.low is not None and gain.low < low:
            axes.plot([low], [row + 0.12], marker="<", color=INK, markersize=5, clip_on=False)
        if gain.high is not None and gain.high > high:
            axes.plot([high], [row + 0.12], marker=">", color=INK, markersize=5, clip_on=False)


def _short(text: str) -> str:
    return text if len(text) <= 34 else "…" + text[-33:]
