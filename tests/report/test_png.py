"""PNGs beside the SVGs, colours for the colour-blind, and the scripts that fonts can draw."""

from __future__ import annotations

import io
import re
import warnings
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from unibert.benchmark.gains import Gain
from unibert.languages import LANGUAGES, PAPER_CODES, language
from unibert.report import dots, figures, scripts
from unibert.report.theme import COLOURS, FONT, Picture, shortened

# Machado, Oliveira and Fernandes 2009, severity 1: linear RGB as seen without one kind of cone.
SEEN = {
    "by all": np.eye(3),
    "without red": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "without green": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "without blue": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def lab(colour: str, seen: np.ndarray) -> np.ndarray:
    """CIELAB of an sRGB colour, D65, as somebody sees it."""
    rgb = np.array([int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = XYZ @ np.clip(seen @ linear, 0, 1) / np.array([0.95047, 1.0, 1.08883])
    root = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


def test_colour_space():
    assert lab("#ffffff", np.eye(3)) == pytest.approx([100, 0, 0], abs=0.02)
    assert lab("#ff0000", np.eye(3)) == pytest.approx([53.24, 80.09, 67.20], abs=0.05)


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize("who", SEEN)
def test_series_can_be_told_apart_by_everybody(who, theme):
    """A distance of 2.3 can just be seen side by side; lines apart from one another need far more."""
    colours = [lab(COLOURS[f"series-{number}"][theme], SEEN[who]) for number in range(1, 9)]
    assert min(float(np.linalg.norm(a - b)) for a, b in combinations(colours, 2)) > 20


def drawn() -> Picture:
    picture = figures.relative_gains("gain", "NER", [Gain("a_$b$ <model>", 60.0, 61.0, 1.67, -2.0, 5.3, 3, ["de"])])
    assert picture
    return picture


def test_png_is_the_light_theme_with_two_pixels_to_a_unit():
    picture = drawn()
    made = picture.png()
    image = Image.open(io.BytesIO(made)).convert("RGB")
    width, height = map(float, re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', picture.inline).groups())
    assert image.size == (pytest.approx(2 * width, abs=1), pytest.approx(2 * height, abs=1))
    assert "#{:02x}{:02x}{:02x}".format(*image.getpixel((0, 0))) == COLOURS["figure-paper"][0]
    found = {"#{:02x}{:02x}{:02x}".format(*colour) for _, colour in image.getcolors(maxcolors=1 << 24)}
    assert COLOURS["series-1"][0] in found
    assert picture.png() == made == drawn().png()


def test_a_picture_without_a_figure_has_no_png():
    with pytest.raises(ValueError, match="nothing"):
        Picture("nothing", "", "<svg></svg>").png()


def test_every_letter_of_figures_is_in_the_font_that_pngs_are_drawn_in():
    names = {code: dots.language_label(code) for code in LANGUAGES}
    assert scripts.undrawable(names) == {}
    assert scripts.fonts_for(names.values()) == [FONT]


def test_what_fonts_lack_is_told_by_name(monkeypatch):
    only_dejavu = {FONT: scripts._characters()[FONT]}
    monkeypatch.setattr(scripts, "_characters", lambda: only_dejavu)
    lacking = scripts.undrawable({"th": "ไทย", "de": "Deutsch", "x": "a中b中"})
    assert lacking == {"th": "ไทย", "x": "中"}
    sentence = scripts.fonts_sentence(["de", "th", "zh"])
    assert "Thai (th) and Chinese (zh)" in sentence and "German" not in sentence
    assert scripts.fonts_sentence(["de", "el", "ka", "ar"]).endswith("the PNG file shows them all.")
    # A code of nobody's is named by itself, and can be drawn.
    assert scripts.undrawable({"qqq": language("qqq").native}) == {}


def test_other_fonts_are_taken_where_they_help(monkeypatch):
    fonts = {
        FONT: frozenset(map(ord, "abc")),
        "A": frozenset(map(ord, "aไ")),
        "B": frozenset(map(ord, "ไท中")),
        "C": frozenset(map(ord, "ย")),
    }
    monkeypatch.setattr(scripts, "_characters", lambda: fonts)
    assert scripts.fonts_for(["abไทย中"]) == [FONT, "B", "C"]
    assert scripts.fonts_for(["abc"]) == [FONT]
    assert scripts.undrawable({"x": "ไ本"}) == {"x": "本"}


@pytest.mark.parametrize("codes", [list(PAPER_CODES), ["de"], ["zh", "qqq", "de"], list(LANGUAGES)], ids=len)
def test_native_names_are_letters_in_the_svg_each_once(codes):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = scripts.native_names(codes)
        assert picture
        assert Image.open(io.BytesIO(picture.png())).width > 600
    texts = re.findall(r">([^<>]+)</text>", picture.inline)
    shown = [text for text in texts if re.search(r" \([a-z-]+\)$", text)]
    assert len(shown) == len(codes)
    for code in codes:
        assert sum(f"({code})" in text for text in shown) == 1
        assert language(code).native in texts
    assert picture.wide == (len(codes) > 30)
    boxes = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', picture.inline)
    places = re.findall(r'<text [^>]*x="([\d.]+)" y="([\d.]+)"', picture.inline)
    assert (
        boxes
        and len(places) >= 2 * len(codes)
        and all(float(x) < float(boxes[1]) and float(y) < float(boxes[2]) for x, y in places)
    )


def test_letters_come_from_the_reader_s_system():
    for picture in (drawn(), scripts.native_names(["zh", "de"])):
        families = re.findall(r"font(?:-family)?: ([^;\"]*?)'DejaVu Sans', sans-serif", picture.inline)
        assert len(families) == picture.inline.count("</text>")
        assert all(family.endswith("system-ui, ") for family in families)


def test_nothing_to_name():
    assert scripts.native_names([]) is None


@pytest.mark.parametrize(
    ("text", "room", "expected"),
    [("short", 5, "short"), ("distilbert-base-multilingual-cased", 20, "distilbert…ual-cased"), ("abcdef", 3, "a…f")],
)
def test_long_names_keep_both_ends(text, room, expected):
    found = shortened(text, room)
    assert found == expected and len(found) <= room
