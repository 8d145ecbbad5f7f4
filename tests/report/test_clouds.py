"""Clouds of points as one path, in SVG and in PNG."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from unibert.report.clouds import SHAPES, cloud
from unibert.report.theme import COLOURS, SERIES, canvas, to_picture
from universality_support import points_of


def drawn(shape="dot", number=3, logarithmic=False, width=8.0):
    with canvas(200, constrained=False) as (figure, axes):
        axes.set_position((0, 0, 1, 1))
        axes.set_axis_off()
        if logarithmic:
            axes.set_xscale("log")
        axes.set_xlim(1, 10_000)
        axes.set_ylim(0, 10)
        x = [10.0, 100.0, 1000.0] * (number // 3)
        cloud(axes, x, [5.0] * len(x), SERIES[1], width, shape)
        return to_picture(figure, "cloud", "points")


def test_points_lie_where_the_axes_have_them():
    width = 340 / 4
    assert points_of(drawn(logarithmic=True).inline) == [pytest.approx((width * n, 100), abs=0.2) for n in (1, 2, 3)]
    linear = points_of(drawn().inline)
    assert linear == [pytest.approx((340 * (x - 1) / 9999, 100), abs=0.2) for x in (10, 100, 1000)]


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_are_as_large_in_png_as_asked_for_and_follow_the_theme(shape):
    picture = drawn(shape, logarithmic=True, width=20.0)
    assert "var(--series-2" in picture.inline
    image = np.asarray(Image.open(io.BytesIO(picture.png())).convert("RGB")).astype(int)
    colour = [int(COLOURS["series-2"][0][start : start + 2], 16) for start in (1, 3, 5)]
    inked = np.abs(image - colour).sum(axis=2) < 30
    # Two pixels to a unit: three points of 20 units. A diamond is a square on its corner.
    expected = {"dot": np.pi * 20**2, "square": 40.0**2, "diamond": 40.0**2}[shape] * 3
    assert inked.sum() == pytest.approx(expected, rel=0.08)
    across = inked.any(axis=1).sum()
    assert across == pytest.approx({"dot": 40, "square": 40, "diamond": 40 * 2**0.5}[shape], abs=3)


def test_many_points_are_few_bytes():
    small, large = (len(drawn(number=number).inline) for number in (3, 3003))
    assert (large - small) / 3000 < 50


def test_no_points_draw_nothing():
    assert not points_of(drawn(number=0).inline)
