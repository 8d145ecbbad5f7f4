"""Clouds of points that stay small as SVG: all points of a group are one path of strokes too short to be seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path

Shape = Literal["dot", "square", "diamond"]
SHAPES: tuple[Shape, ...] = ("dot", "square", "diamond")
_MARKERS = {"dot": "o", "square": "s", "diamond": "D"}
_STEP = 3e-4
"""Length of a stroke, as a part of the axes' width: a tenth of a unit, so that coordinates need few digits."""


def cloud(
    axes: Axes, x: Sequence[float], y: Sequence[float], colour: str, width: float = 4.0, shape: Shape = "dot"
) -> None:
    """Draw points as one path: what is seen of each stroke is its two caps.

    A marker per point takes 150 bytes, a stroke 30. The limits and scales of the axes must have been set.

    Args:
        axes: where to.
        x: of each point, in the units of the axes.
        y: of each point.
        colour: of all of them.
        width: of a point, in SVG units.
        shape: a round cap gives a dot, a square one a square, or on a slanting stroke a diamond.
    """
    places = np.column_stack([np.asarray(x, dtype=float), np.asarray(y, dtype=float)])
    if not len(places):
        return
    # Straight from place to place on the axes, whatever their scales are.
    on_axes = (axes.transScale + axes.transLimits).transform(places)
    ends = on_axes + np.array([_STEP, _STEP if shape == "diamond" else 0.0])
    vertices = np.stack([on_axes, ends], axis=1).reshape(-1, 2)
    path = Path(vertices, np.tile([Path.MOVETO, Path.LINETO], len(places)))
    path.should_simplify = False  # which would take points for corners of one line
    axes.add_patch(
        PathPatch(
            path, transform=axes.transAxes, fill=False, edgecolor=colour, linewidth=width, snap=False,
            capstyle="round" if shape == "dot" else "projecting",
        )
    )  # fmt: skip


def sample(colour: str, width: float = 6.0, shape: Shape = "dot") -> Line2D:
    """A point for the legend."""
    return Line2D([], [], linestyle="none", marker=_MARKERS[shape], markersize=width, color=colour, markeredgewidth=0)
