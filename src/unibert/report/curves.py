"""Training curves: what was logged while a model, or a family side by side, was trained; one panel per quantity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, isfinite, log

from matplotlib.ticker import FuncFormatter, MaxNLocator

from unibert.report.theme import INK, SERIES, Picture, canvas, legend_columns, to_picture
from unibert.report.trainings import Training
from unibert.report.wording import percent, plain_number

POINTS = 300
"""A curve of more records is drawn as the mean of so many equal stretches, with the range in each shaded."""

_DASHES: tuple[str | tuple[int, tuple[int, ...]], ...] = ("-", (0, (5, 2)), (0, (1, 1.5)))  # type: ignore[assignment]
_MARKERS = ("o", "D", "s", "^", "v")
_LEGEND_ROW = 15.0
"""Height of a row of the legend in SVG units."""


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


@dataclass(frozen=True)
class Panel:
    """One quantity: the name of its file, its title, its curves, and what to compare them with."""

    name: str
    title: str
    lines: list[Line]
    levels: Sequence[Level] = ()
    share: bool = False
    """The axis is told in per cent."""

    @property
    def labels(self) -> list[str]:
        """What the legend tells."""
        return [*(line.label for line in self.lines), *(level.label for level in self.levels)]


def training_curves(group: str, trainings: Sequence[Training], languages: Sequence[str]) -> list[Picture]:
    """A picture of every quantity that was logged; the members of a family are curves in the same one.

    Args:
        group: what the pictures' names begin with: `student`, `students`, `teacher`.
        trainings: one, or those of a family.
        languages: the discriminator's, for what chance would reach.
    """
    panels = [panel for panel in _panels(trainings, languages) if panel.lines]
    # Panels side by side are of one height.
    rows = max((ceil(len(panel.labels) / legend_columns(panel.labels)) for panel in panels), default=0)
    return [_curve(f"{group}-{panel.name}", f"{panel.title}, {group}", panel, max(2, rows)) for panel in panels]


def _panels(trainings: Sequence[Training], languages: Sequence[str]) -> list[Panel]:
    def lines(key: str, of: Sequence[Training] = trainings) -> list[Line]:
        named = [(training.role if len(of) > 1 else "training", training) for training in of]
        found = [_line(label, [(step.step, getattr(step, key)) for step in each.steps]) for label, each in named]
        return [line for line in found if line.x]

    first = trainings[:1]  # rates and speed are those of the family as a whole
    number = len(languages)
    guess = [Level(f"chance, 1 in {number}", 1 / number)] if number else []
    commonest = max((share for training in first for share in training.shares.values()), default=0.0)
    if number and commonest > 1.2 / number:
        # With an uneven mixture, saying the same language every time is right more often than chance.
        guess.append(Level("always the commonest", commonest))
    blind = [Level("cannot tell languages apart", log(number))] if number > 1 else []
    return [
        Panel("loss", "Total loss (equation 5)", lines("loss")),
        *_language_modelling(trainings, lines("mlm")),
        Panel("distillation", "Distillation, nats", lines("distillation")),
        Panel("hidden", "Hidden states, squared error", lines("hidden")),
        Panel("relations", "Attention relations, nats", lines("relations")),
        Panel("adversary", "Adversary, nats", lines("adversary"), blind),
        Panel("discriminator", "Discriminator's accuracy", lines("discriminator_accuracy"), guess, share=True),
        Panel("learning-rate", "Learning rate", lines("learning_rate", first)),
        Panel("gradient-norm", "Gradient norm before clipping", lines("gradient_norm")),
        Panel("speed", "Pieces per second", lines("tokens_per_second", first)),
        Panel("peak", "Share of the measured matrix peak", lines("peak_fraction", first), share=True),
    ]


def _language_modelling(trainings: Sequence[Training], training_lines: list[Line]) -> list[Panel]:
    """Training and held-out in one panel for one model, in two for a family, whose curves would be a tangle."""
    title = "Masked language modelling"
    points = {training.role: [(record.step, record.mlm) for record in training.held_out] for training in trainings}
    alone = len(trainings) == 1
    held_out = [_line("held-out" if alone else role, found) for role, found in points.items()]
    held_out = [line for line in held_out if line.x]
    if alone:
        return [Panel("mlm", f"{title}, nats", training_lines + held_out)]
    return [Panel("held-out", f"{title}, held-out, nats", held_out), Panel("mlm", f"{title}, nats", training_lines)]


def _line(label: str, points: Sequence[tuple[int, float | None]]) -> Line:
    found = [(step, value) for step, value in points if value is not None and isfinite(value)]
    return Line(label, [step for step, _ in found], [value for _, value in found])


def _curve(name: str, label: str, panel: Panel, legend_rows: int) -> Picture:
    lines = panel.lines
    with canvas(185 + _LEGEND_ROW * legend_rows) as (figure, axes):
        for position, line in enumerate(lines):
            x, y, low, high = _thin(line)
            colour = SERIES[position % len(SERIES)]
            if low:
                axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
            few = len(x) <= 25
            axes.plot(
                x,
                y,
                color=colour,
                linestyle=_DASHES[position % len(_DASHES)],
                marker=_MARKERS[position % len(_MARKERS)] if few else None,
                markersize=4,
                label=line.label,
            )
        for position, level in enumerate(panel.levels):
            dashes = (0, (2, 2)) if position == 0 else (0, (6, 2, 1, 2))
            axes.axhline(level.value, color=INK, linestyle=dashes, linewidth=1.2, label=level.label)
        show = _per_cent if panel.share else plain_number
        axes.set_title(panel.title)
        axes.set_xlabel("step")
        axes.margins(x=0.02)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(_steps))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(FuncFormatter(show))
        # Always there, so that panels side by side are of one height.
        figure.legend(loc="outside lower left", ncols=legend_columns(panel.labels), handlelength=1.8, columnspacing=1.2)
        tell = (lambda value: percent(value, 1)) if panel.share else (lambda value: f"{value:.4g}")
        told = "; ".join(f"{line.label} from {tell(line.y[0])} to {tell(line.y[-1])}" for line in lines)
        told += "".join(f"; {level.label}: {tell(level.value)}" for level in panel.levels)
        ends = min(line.x[0] for line in lines), max(line.x[-1] for line in lines)
        return to_picture(figure, name, f"{label}, steps {ends[0]:,} to {ends[1]:,}: {told}.")


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


def _per_cent(value: float, _: object = None) -> str:
    return f"{plain_number(round(value * 100, 6))} %"
