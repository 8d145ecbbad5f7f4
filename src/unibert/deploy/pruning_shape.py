"""Which shape a model is pruned to: what is asked for, what there can be, and which loses least."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unibert.deploy.importance import Importance
from unibert.deploy.structure import Indices, Shape, Structure
from unibert.errors import DataError, RecipeError

MULTIPLE = 8
"""Where the feed-forward width is a multiple of this it stays one: matrices of such widths are multiplied faster."""


@dataclass(frozen=True)
class Target:
    """What a model is to be pruned to: a number of parameters, a share of them, or a shape."""

    parameters: int | None = None
    share: float | None = None
    heads: int | None = None
    feed_forward: int | None = None

    def __post_init__(self) -> None:
        by_shape = self.heads is not None or self.feed_forward is not None
        if (self.parameters is not None) + (self.share is not None) + by_shape != 1:
            raise RecipeError(
                "--parameters, --size and --heads with --feed-forward: one of the three is needed, and only one",
                "Name one, e.g. --size 0.7.",
            )
        if self.share is not None and not 0 < self.share < 1:
            raise RecipeError(f"--size {self.share:g}: not a share between 0 and 1", "Write 0.7 for 70 %.")


def parse_parameters(text: str) -> int:
    """A number of parameters as people write it: `15M`, `14.5 m`, `800k`, `15_000_000`.

    Raises:
        RecipeError: not a number above 0.
    """
    found = re.fullmatch(r"([0-9][0-9_,]*(?:\.[0-9]+)?)\s*([kKmM]?)", text.strip())
    value = float(re.sub("[_,]", "", found[1])) * {"": 1, "k": 1e3, "m": 1e6}[found[2].lower()] if found else 0.0
    if value < 1:
        raise RecipeError(f"--parameters {text}: not a number of parameters", "Write 15M, 800k or 15000000.")
    return round(value)


def smallest(structure: Structure) -> Shape:
    """The smallest shape that a number of parameters is pruned to: one head, and the narrowest feed-forward part."""
    return Shape(1, _step(structure))


def choose_shape(structure: Structure, importance: Importance, target: Target) -> Shape:
    """The shape within the target whose loss of importance is least.

    With each number of heads goes the widest feed-forward part that fits; of these few shapes all are looked at, so
    none is better. (Taking away, step by step, whatever loses least per parameter saved comes near it at best: a head
    in every layer is so large a step that it overshoots.)

    Args:
        structure: of the model.
        importance: of its units.
        target: a number of parameters is not exceeded.

    Raises:
        DataError: below what there can be (the message names the smallest), or nothing to prune.
    """
    whole = structure.whole
    if target.heads is not None or target.feed_forward is not None:
        return _checked_shape(structure, target)
    size = structure.parameters(whole)
    most = target.parameters if target.parameters is not None else round((target.share or 0.0) * size)
    least = structure.parameters(smallest(structure))
    if most < least:
        narrow = smallest(structure)
        raise DataError(
            f"{most:,} parameters are too few: the smallest that it can be pruned to has {least:,} "
            f"({100 * least / size:.1f} %), with 1 head, a hidden width of {structure.head_width} and "
            f"{narrow.feed_forward} feed-forward columns",
            f"Ask for {least} or more; a smaller vocabulary saves more: unibert trim.",
        )
    if most >= size:
        raise DataError(f"it has {size:,} parameters, no more than {most:,}", "Ask for fewer parameters.")
    lost = importance_lost(structure, importance)
    widest = [_widest(structure, heads, most) for heads in range(1, whole.heads + 1)]
    fitting = [shape for shape in widest if shape is not None]
    return min(fitting, key=lambda shape: (lost.of(shape), -structure.parameters(shape)))


def _checked_shape(structure: Structure, target: Target) -> Shape:
    whole = structure.whole
    shape = Shape(
        whole.heads if target.heads is None else target.heads,
        whole.feed_forward if target.feed_forward is None else target.feed_forward,
    )
    for option, wanted, there in (
        ("--heads", shape.heads, whole.heads),
        ("--feed-forward", shape.feed_forward, whole.feed_forward),
    ):
        if not 1 <= wanted <= there:
            raise DataError(f"{option} {wanted}: the model has {there} in every layer", f"Name 1 to {there}.")
    if shape == whole:
        raise DataError("this is the shape that the model has already", "Ask for fewer heads or columns.")
    return shape


def _step(structure: Structure) -> int:
    return MULTIPLE if structure.whole.feed_forward % MULTIPLE == 0 else 1


def _widest(structure: Structure, heads: int, most: int) -> Shape | None:
    """With so many heads, the widest feed-forward part that keeps within `most` parameters; None where none does."""
    step = _step(structure)
    # The parameters grow evenly with the width.
    first, second = (structure.parameters(Shape(heads, width)) for width in (step, 2 * step))
    if first > most:
        return None
    width = step * (1 + (most - first) // (second - first))
    return Shape(heads, min(width, structure.whole.feed_forward))


@dataclass(frozen=True)
class Lost:
    """What is lost with the least important units, in nats to first order."""

    by_heads: NDArray[np.float64]
    """With so many heads left in every layer, and the hidden width that goes with them, from 0 heads to all."""
    by_feed_forward: NDArray[np.float64]
    """With so many columns left in every layer, from 0 to all."""

    def of(self, shape: Shape) -> float:
        """Both together."""
        return float(self.by_heads[shape.heads] + self.by_feed_forward[shape.feed_forward])


def importance_lost(structure: Structure, importance: Importance) -> Lost:
    """The importance of the units that go, for every number that can be left."""
    whole = structure.whole
    by_heads, by_feed_forward = np.zeros(whole.heads + 1), np.zeros(whole.feed_forward + 1)
    for space, values in importance.items():
        gone = np.concatenate([[0.0], np.cumsum(np.sort(values))])[::-1]  # by the number that is left
        if space.startswith("feed-forward."):
            by_feed_forward += gone
        elif space.startswith("heads."):
            by_heads += gone
        else:
            by_heads += gone[:: structure.head_width]
    return Lost(by_heads, by_feed_forward)


def units_to_keep(structure: Structure, importance: Importance, shape: Shape) -> Mapping[str, Indices]:
    """The most important units of every space, ascending; of equal ones the first."""
    kept = {}
    for space, values in importance.items():
        order = np.argsort(-values, kind="stable")
        kept[space] = np.sort(order[: structure.units(space, shape)]).astype(np.int64)
    return kept
