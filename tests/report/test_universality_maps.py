"""Maps of sentences, and the languages' distances as a tree beside their families."""

from __future__ import annotations

import base64
import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from unibert.errors import DataError
from unibert.report import universality_maps as maps
from unibert.report import universality_values as values
from universality_support import CODES, make_points, make_universality, points_of

FAMILIES = values.commonest([values.family(code) for code in CODES])
FIVE = ["en", "de", "fr", "zh", "ru"]


def texts(svg: str) -> list[str]:
    return re.findall(r">([^<>]*)</text>", svg)


@pytest.mark.parametrize("codes", [FIVE, ["en", *CODES]], ids=len)
@pytest.mark.parametrize("treatment", ["raw", "centred"])
def test_every_point_is_there_twice(codes, treatment):
    points = make_points("pca", treatment, codes, "m", 300)
    picture = maps.sentence_map("m", "small", points, FAMILIES)
    assert picture and picture.wide
    ElementTree.fromstring(picture.file)
    assert len(points_of(picture.inline)) == 600
    assert "a map of 300 sentences" in picture.label and picture.label.endswith("in colour.")
    colours = set(re.findall(r"--series-(\d)", picture.inline))
    assert len(colours) <= 8
    shown = texts(picture.inline)
    assert any(text.startswith(f"PCA, {treatment}, ") and "of the variance" in text for text in shown)
    if len(codes) == 5:
        assert "German (de)" in shown and "other families" not in shown
    else:
        assert FAMILIES[0] in shown and "other families" in shown and "German (de)" not in shown
        assert ("codes" if treatment == "raw" else "") == ("codes" if set(codes) & set(shown) else "")


def test_a_family_has_the_same_colour_on_every_map():
    of = {}
    for treatment, seed in (("raw", "a"), ("centred", "b")):
        picture = maps.sentence_map("m", "small", make_points("umap", treatment, CODES, seed, 400), FAMILIES)
        label = re.search(r"Left: (.*?)\. Right", picture.label)[1]
        of[treatment] = [re.sub(r" \d+$", "", part) for part in label.split(", ")]
    assert of["raw"] == of["centred"] == [*FAMILIES[:7], "other families"]


def test_a_large_map_is_thinned_and_stays_small():
    points = make_points("umap", "raw", CODES, "m", 6000)
    picture = maps.sentence_map("m", "small", points, FAMILIES)
    assert len(points_of(picture.inline)) == 2 * maps.MOST_POINTS
    assert "1,500 of 6,000 sentences" in picture.label
    assert len(picture.inline) < 150_000


def test_odd_maps_are_drawn():
    points = make_points("pca", "raw", FIVE, "m", 8)
    assert maps.sentence_map("m", "s", points.model_copy(update={"x": [], "y": []}), FAMILIES) is None
    same = points.model_copy(update={"x": [0.5] * 8, "y": [0.5] * 8, "explained": None})
    picture = maps.sentence_map("m", "s", same, FAMILIES)
    assert picture and not re.search(r"\bnan\b|\binf\b", picture.inline)
    assert "PCA, raw: by language" in texts(picture.inline)


@pytest.fixture(scope="module")
def encoder():
    return make_universality("small", points=0)


def test_every_language_stands_in_the_tree_beside_its_family(encoder):
    picture = maps.distance_picture("d", encoder, FAMILIES)
    assert picture and picture.wide and len(picture.inline) < 250_000
    ElementTree.fromstring(picture.file)
    shown = texts(picture.inline)
    for code in ("en", *CODES):
        assert sum(text == code or text.endswith(f"({code})") for text in shown) == 1, code
    assert sum(text == FAMILIES[0] for text in shown) == sum(values.family(c) == FAMILIES[0] for c in ("en", *CODES))
    distances = encoder.geometry[-1].distances
    near = min((value, one, other) for one, row in distances.items() for other, value in row.items() if one < other)
    assert f"Nearest: {near[1]} and {near[2]} ({near[0]:.2f})" in picture.label


def test_cells_are_the_distances_in_the_order_of_the_rows():
    picture = maps.distance_picture("d", make_universality("small", FIVE[1:], points=0), FAMILIES)
    images = re.findall(r'href="data:image/png;base64,\s*([^"]+)"', picture.inline)
    opened = [Image.open(io.BytesIO(base64.b64decode(image))).convert("L") for image in images]
    (lightness,) = [np.asarray(image).astype(int) for image in opened if image.size == (5, 5)]
    # Yellow, the lightest, is what is no distance at all: a language and itself.
    across = [list(lightness), list(lightness[::-1])]
    assert any(all(row[place] == lightness.max() for place, row in enumerate(rows)) for rows in across)
    order = [code for text in texts(picture.inline) for code in re.findall(r"\(([a-z]+)\)$", text)]
    geometry = make_universality("small", FIVE[1:], points=0).geometry[-1].distances
    far = np.array([[geometry[one].get(other, 0) if one != other else 0 for other in order] for one in order])
    assert np.corrcoef(far.ravel(), (255 - lightness).ravel())[0, 1] > 0.97 or (
        np.corrcoef(far[::-1].ravel(), (255 - lightness).ravel())[0, 1] > 0.97
    )


def test_too_few_languages_have_no_tree_and_a_missing_distance_is_named(encoder):
    two = make_universality("small", ["de"], points=0)
    assert maps.distance_picture("d", two, FAMILIES) is None
    assert maps.distance_picture("d", encoder.model_copy(update={"geometry": []}), FAMILIES) is None
    shape = encoder.geometry[-1]
    broken = {**shape.distances, "de": {}}
    spoilt = encoder.model_copy(update={"geometry": [shape.model_copy(update={"distances": broken})]})
    with pytest.raises(DataError, match="de"):
        maps.distance_picture("d", spoilt, FAMILIES)
