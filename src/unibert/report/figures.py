"""The paper's Figure 3, of one task and of all. A panel is as wide as a telephone's screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from unibert.benchmark.gains import Gain
from unibert.report.theme import INK, PAPER, SERIES, SOFT, WIDTH, Picture, canvas, shortened, to_picture
from unibert.report.wording import NOTHING, plain_number, signed


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
                f"{shortened(gain.model, 34)}  {signed(gain.percent)} %", (0, row - 0.28),
                xycoords=axes.get_yaxis_transform(), va="center", fontsize=10,
                bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1},
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
        for row, gain in enumerate(gains):
            _beyond(axes, row + 0.12, gain, low - room, high + room)
        told = "; ".join(f"{gain.model} {signed(gain.percent)} %, {gain.verdict}" for gain in gains)
        return to_picture(figure, name, f"{title}: relative gain of all over each. {told}.")


def _beyond(axes: Axes, row: float, gain: Gain, low: float, high: float, colour: str = INK) -> None:
    """An arrow head where an interval goes on beyond the axes."""
    if gain.low is not None and gain.low < low:
        axes.plot([low], [row], marker="<", color=colour, markersize=5, clip_on=False)
    if gain.high is not None and gain.high > high:
        axes.plot([high], [row], marker=">", color=colour, markersize=5, clip_on=False)


_PANEL, _ROW, _FOOT = 158.0, 20.0, 40.0
"""Width of a task's panel, heights of a model and of the axis, in SVG units."""
_LABEL = 28
"""Letters of a model's name."""


def gains_by_task(name: str, found: Mapping[str, Sequence[Gain]]) -> Picture | None:
    """Figure 3 of every task in one picture: a panel per task on a scale of its own, a row per model.

    The gains of tasks differ by a factor of ten and more; on one scale the intervals of most would be dots.

    Args:
        name: of the picture's file.
        found: the gains of each task by its title, as `benchmark.gains.gains` has them.
    """
    tasks = {title: {gain.model: gain for gain in gains} for title, gains in found.items() if gains}
    models = list(dict.fromkeys(model for gains in tasks.values() for model in gains))
    if not tasks:
        return None
    margin = 6.0 * max(len(shortened(model, _LABEL)) for model in models) + 12
    width = max(margin + _PANEL * len(tasks), WIDTH)
    panel = (width - margin) / len(tasks)
    titles = {title: fill(title, int(panel / 7)) for title in tasks}
    head = 12 + 13.0 * max(title.count("\n") + 1 for title in titles.values())
    height = head + _ROW * len(models) + _FOOT
    with canvas(height, constrained=False, width=width) as (figure, first):
        first.remove()
        for column, (title, gains) in enumerate(tasks.items()):
            box = ((margin + panel * column) / width, _FOOT / height, (panel - 12) / width, _ROW * len(models) / height)
            axes = figure.add_axes(box)
            _task_panel(axes, [gains.get(model) for model in models])
            axes.set_title(titles[title], fontsize=10, pad=6, linespacing=1.25)
            axes.set_yticks(range(len(models)), [shortened(model, _LABEL) for model in models] if not column else [])
        figure.text(
            (margin + 0.5 * (width - margin)) / width, 6 / height, "relative gain of all over each, %",
            ha="center", fontsize=10, color=SOFT,
        )  # fmt: skip
        told = "; ".join(
            f"{title}: "
            + ", ".join(f"{gain.model} {signed(gain.percent)} %, {gain.verdict}" for gain in gains.values())
            for title, gains in tasks.items()
        )
        return to_picture(figure, name, f"Relative gain of all over each by task. {told}.", wide=width > WIDTH + 40)


def _task_panel(axes: Axes, gains: Sequence[Gain | None]) -> None:
    """The gains of one task; None where a model was not run in both settings."""
    known = [gain for gain in gains if gain is not None]
    ends = [0.0, *(value for gain in known for value in (gain.percent, gain.low, gain.high) if value is not None)]
    reach = max(abs(gain.percent) for gain in known) or 1.0
    low, high = max(min(ends), -3 * reach), min(max(ends), 3 * reach)
    first, last = low, high  # intervals end here, with an arrow head where they go on
    # On the right there is room for the numbers.
    low, high = low - 0.08 * (high - low or 1.0), high + 0.62 * (high - low or 1.0)
    axes.axvline(0, color=INK, linewidth=1)
    for row, gain in enumerate(gains):
        place = {"xycoords": axes.get_yaxis_transform(), "ha": "right", "va": "center_baseline", "fontsize": 9.5}
        if gain is None:
            axes.annotate(NOTHING, (1, row), color=SOFT, **place)  # type: ignore[arg-type]
            continue
        if gain.low is not None and gain.high is not None:
            axes.hlines(row, max(gain.low, first), min(gain.high, last), color=SERIES[0], linewidth=1.4)
            _beyond(axes, row, gain, first, last, SERIES[0])
        # A hollow dot has no interval: of a single seed nothing can be concluded.
        inside = SERIES[0] if gain.low is not None else PAPER
        axes.plot(gain.percent, row, marker="o", markersize=6, color=SERIES[0], markerfacecolor=inside)
        ground = {"facecolor": PAPER, "edgecolor": "none", "pad": 1}
        axes.annotate(signed(gain.percent), (1, row), color=INK, bbox=ground, **place)  # type: ignore[arg-type]
    axes.set_xlim(low, high)
    axes.set_ylim(len(gains) - 0.4, -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(plain_number))
    axes.tick_params(axis="x", labelsize=9)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="y", visible=False)
