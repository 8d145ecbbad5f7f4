"""The curve of size against held-out loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.ticker import FuncFormatter, MaxNLocator

from unibert.deploy.pruning_report import CURVE
from unibert.report.theme import INK, SERIES, SOFT, Picture, canvas, legend_columns, to_picture
from unibert.report.wording import decimal, millions, plain_number, plural
from unibert.tasks.task import find_task

if TYPE_CHECKING:
    from unibert.deploy.prune import Point, Pruned


def curve_picture(found: Pruned) -> Picture | None:
    """Held-out loss, as a mean over languages, against millions of parameters.

    Returns:
        The picture; None with fewer than two sizes, which are no curve.
    """
    if len(found.curve) < 2:
        return None
    before = found.before.pruned.loss
    lines = [("pruned", [(point, point.pruned) for point in found.curve])]
    recovered = [(point, point.recovered) for point in found.curve if point.recovered]
    lines += [("pruned, then recovered", recovered)] if recovered else []
    with canvas(270) as (figure, axes):
        axes.axhline(before, color=SOFT, linewidth=1.0, linestyle=(0, (4, 3)))
        for number, (label, points) in enumerate(lines):
            axes.plot(
                [found.before.parameters / 1e6, *(point.parameters / 1e6 for point, _ in points)],
                [before, *(measured.loss for _, measured in points)],
                color=SERIES[number], linestyle=("-", (0, (5, 2)))[number], marker=("o", "D")[number], markersize=5,
                markevery=slice(1, None), label=label,
            )  # fmt: skip
        axes.plot(
            [found.before.parameters / 1e6], [before], linestyle="none", marker="s", markersize=7, color=INK,
            label="the original",
        )  # fmt: skip
        axes.plot(
            [found.after.parameters / 1e6], [found.after.last.loss], linestyle="none", marker="o", markersize=12,
            color=INK, markerfacecolor="none", markeredgewidth=1.2, label="written",
        )  # fmt: skip
        labels = [*(label for label, _ in lines), "the original", "written"]
        number = len(found.before.pruned.losses)
        axes.set_title(f"{_loss_name(found)}, {plural(number, 'language')}")
        axes.set_xlabel("parameters, millions")
        axes.set_ylabel(", ".join(filter(None, ("held-out loss", found.unit))))
        axes.margins(x=0.06, y=0.12)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.yaxis.set_major_locator(MaxNLocator(6))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(plain_number))
        figure.legend(loc="outside lower left", ncols=legend_columns(labels), handlelength=1.8, columnspacing=1.2)
        at_first = " ".join(filter(None, (decimal(before, 3), found.unit)))
        told = "; ".join(f"{millions(point.parameters)} {_told(point)}" for point in found.curve)
        return to_picture(
            figure,
            CURVE,
            f"{_loss_name(found)}: held-out loss against size, mean over {plural(number, 'language')}. "
            f"{millions(found.before.parameters)}, the original, {at_first}; {told}.",
        )


def _told(point: Point) -> str:
    found = f"{decimal(point.pruned.loss, 3)} pruned"
    return found if point.recovered is None else f"{found}, {decimal(point.recovered.loss, 3)} recovered"


def _loss_name(found: Pruned) -> str:
    return "Masked language modelling" if found.task is None else find_task(found.task).TITLE
