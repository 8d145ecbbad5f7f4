"""Training curves and gains. A panel is as wide as a telephone's screen; wide screens set several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite, log

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from unibert.benchmark.scores import Gain
from unibert.report.collect import Training
from unibert.report.theme import INK, PAPER, SERIES, Picture, canvas, to_picture
from unibert.report.wording import signed

POINTS = 300
"""A curve of more records is drawn as the mean of so many equal stretches, with the range in each shaded."""

_DASHES: tuple[str | tuple[int, tuple[int, ...]], ...] = ("-", (0, (5, 2)), (0, (1, 1.5)))  # type: ignore[assignment]
_MARKERS = ("o", "D", "s")


@dataclass(frozen=True)
class Line:
    """A curve: `x` and `y` of the same length, and its name in the legend."""

    label: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Level:
    """A horizontal line for comparison, such as chance."""

    label: str
    value: float


def training_curves(training: Training, languages: Sequence[str]) -> list[Picture]:
    """What was logged while a model was trained: one panel per quantity that the run has."""
    role, steps = training.role, training.steps

    def line(label: str, key: str) -> Line:
        found = [(step.step, value) for step in steps if (value := getattr(step, key)) is not None and isfinite(value)]
        return Line(label, [x for x, _ in found], [y for _, y in found])

    held_out = [(record.step, record.mlm) for record in training.held_out if isfinite(record.mlm)]
    held_out_line = Line("held-out", [x for x, _ in held_out], [y for _, y in held_out])
    number = len(languages)
    guess = [Level(f"chance, 1 in {number}", 1 / number)] if number else []
    commonest = max(training.shares.values(), default=0.0)
    if number and commonest > 1.2 / number:
        # With an uneven mixture, saying the same language every time is right more often than chance.
        guess.append(Level("always the commonest", commonest))
    blind = [Level("cannot tell languages apart", log(number))] if number > 1 else []
    panels = [
        ("loss", "Total loss (equation 5)", [line("training", "loss")], []),
        ("mlm", "Masked language modelling, nats", [line("training", "mlm"), held_out_line], []),
        ("distillation", "Distillation, nats", [line("training", "distillation")], []),
        ("adversary", "Adversary, nats", [line("training", "adversary")], blind),
        ("discriminator", "Discriminator's accuracy", [line("training", "discriminator_accuracy")], guess),
        ("learning-rate", "Learning rate", [line("training", "learning_rate")], []),
    ]
    pictures = []
    for name, title, lines, levels in panels:
        lines = [entry for entry in lines if entry.x]
        if lines:
            pictures.append(_curve(f"{role}-{name}", f"{title}, {role}", title, lines, levels))
    return pictures


def _curve(name: str, label: str, title: str, lines: list[Line], levels: list[Level]) -> Picture:
    with canvas(215) as (figure, axes):
        for position, line in enumerate(lines):
            x, y, low, high = _thin(line)
            if low:
                axes.fill_between(x, low, high, color=SERIES[position], alpha=0.18, linewidth=0)
            few = len(x) <= 25
            axes.plot(
                x,
                y,
                color=SERIES[position],
                linestyle=_DASHES[position],
                marker=_MARKERS[position] if few else None,
                markersize=4,
                label=line.label,
            )
        for position, level in enumerate(levels):
            dashes = (0, (2, 2)) if position == 0 else (0, (6, 2, 1, 2))
            axes.axhline(level.value, color=INK, linestyle=dashes, linewidth=1.2, label=level.label)
        axes.set_title(title)
        axes.set_xlabel("step")
        axes.margins(x=0.02)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(_steps))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(FuncFormatter(_plain_number))
        # Always there, so that panels side by side are of one height.
        figure.legend(loc="outside lower left", ncols=2, handlelength=1.8, columnspacing=1.2)
        told = "; ".join(f"{line.label} from {line.y[0]:.4g} to {line.y[-1]:.4g}" for line in lines)
        told += "".join(f"; {level.label}: {level.value:.4g}" for level in levels)
        return to_picture(figure, name, f"{label}, steps {lines[0].x[0]:,} to {lines[0].x[-1]:,}: {told}.")


def _thin(line: Line) -> tuple[list[float], list[float], list[float], list[float]]:
    """x, y, and the lowest and highest y around each point; the latter empty where every record is drawn."""
    number = len(line.x)
    if number <= POINTS:
        return list(line.x), list(line.y), [], []
    edges = [round(part * number / POINTS) for part in range(POINTS + 1)]
    stretches = [(line.x[a:b], line.y[a:b]) for a, b in pairwise(edges)]
    return (
        [sum(x) / len(x) for x, _ in stretches],
        [sum(y) / len(y) for _, y in stretches],
        [min(y) for _, y in stretches],
        [max(y) for _, y in stretches],
    )


def _steps(value: float, _: object = None) -> str:
    if abs(value) >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}k" if abs(value) >= 1e4 else f"{value:g}"


def _plain_number(value: float, _: object = None) -> str:
    if value and abs(value) < 1e-3:
        return f"{value:.1e}".replace("e-0", "e-").replace("-", "\N{MINUS SIGN}")
    return f"{value:,.6g}".replace("-", "\N{MINUS SIGN}")


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
        axes.xaxis.set_major_formatter(FuncFormatter(_plain_number))
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
