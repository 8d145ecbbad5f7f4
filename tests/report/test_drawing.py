"""Figures of awkward runs: nothing to show, one point, losses that ran off, very long logs."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from itertools import pairwise

import pytest

from unibert.benchmark.gains import Gain
from unibert.report import corpus_figures, dots, figures
from unibert.report.curves import training_curves
from unibert.report.schema import Step
from unibert.report.theme import COLOURS, legend_columns
from unibert.report.trainings import Training


def training(losses: list[float]) -> Training:
    steps = [Step(step=step, loss=loss, mlm=loss, learning_rate=1e-4) for step, loss in enumerate(losses, start=1)]
    return Training("student", None, steps)


def texts(svg: str) -> list[str]:
    return re.findall(r">([^<>]*)</text>", svg)


def test_nothing_to_show_draws_nothing():
    assert corpus_figures.corpus_sizes({"de": 0}) is None
    assert corpus_figures.sample_lengths({}) is None
    assert dots.held_out_losses({"student": {}, "teacher": {"de": float("nan")}}) == []
    assert dots.language_shares("student", {}, {}) == []
    assert training_curves("student", [Training("student", None)], []) == []
    assert figures.relative_gains("gain", "NER", []) is None


@pytest.mark.parametrize("losses", [[7.0], [7.0, 7.0], [7.0, -1600.0, -1e9], [float("nan"), 3.0, float("inf")]])
def test_odd_losses_are_drawn(losses):
    for picture in training_curves("student", [training(losses)], ["de"]):
        assert ElementTree.fromstring(picture.file).findall(".//{http://www.w3.org/2000/svg}path")
        assert not re.search(r"\bnan\b|\binf\b", picture.inline)


def test_long_log_stays_small_and_keeps_its_peak():
    losses = [5.0 + (step % 7) / 10 for step in range(30_000)]
    losses[12_345] = 99.0
    (picture,) = [found for found in training_curves("student", [training(losses)], []) if found.name == "student-loss"]
    assert len(picture.inline) < 100_000
    assert any(text.replace(",", "").isdigit() and int(text.replace(",", "")) >= 80 for text in texts(picture.inline))


def test_members_of_a_large_family_can_be_told_apart():
    names = ["small", "xsmall", "xxsmall", "a-name-of-twenty-eight-signs", "b", "c"]
    family = [replace(training([9.0, 5.0 + number]), role=name) for number, name in enumerate(names)]
    (picture,) = [found for found in training_curves("students", family, []) if found.name == "students-loss"]
    assert [text for text in texts(picture.inline) if text in names] == names
    assert all(f"{name} from 9 to {5 + number}" in picture.label for number, name in enumerate(names))
    # No two curves have both the same colour and the same dashes.
    styles = re.findall(r'<path d="M [^"]*" clip-path="[^"]*" style="([^"]*)"', picture.inline)
    curves = [style for style in styles if "--series" in style]
    assert len(set(curves)) == len(curves) == len(names)


def test_family_s_parts_that_only_some_members_have_are_drawn_for_those():
    plain = training([4.0, 3.0])
    other = replace(plain, role="other", steps=[step.model_copy(update={"hidden": 0.5}) for step in plain.steps])
    pictures = {picture.name: picture for picture in training_curves("students", [plain, other], [])}
    assert "other from 0.5 to 0.5" in pictures["students-hidden"].label
    assert "student from" not in pictures["students-hidden"].label


@pytest.mark.parametrize(
    ("labels", "columns"),
    [
        (["training"], 1),
        (["training", "held-out"], 2),
        (["small", "xsmall", "xxsmall"], 3),
        (["small", "xsmall", "xxsmall", "chance, 1 in 107", "always the commonest"], 2),
        (["a name that is far longer than a panel is wide, whatever one does"] * 2, 1),
    ],
)
def test_legend_has_the_columns_that_fit(labels, columns):
    assert legend_columns(labels) == columns


@pytest.mark.parametrize("number", [1, 12, 40, 41, 107, 300])
def test_every_language_has_its_row_once(number):
    codes = [f"x{chr(97 + position // 26)}{chr(97 + position % 26)}" for position in range(number)]
    pictures = dots.held_out_losses({"student": {code: 1.0 + position % 9 for position, code in enumerate(codes)}})
    shown = [text for picture in pictures for text in texts(picture.inline) if text in codes]
    assert sorted(shown) == sorted(codes)
    assert len({re.search('viewBox="([^"]+)"', picture.inline)[1] for picture in pictures}) == 1


def test_sizes_fall_from_the_top():
    picture = corpus_figures.corpus_sizes({"de": 5_000, "fr": 900, "sw": 2_000_000, "it": 0})
    labels = [text for text in texts(picture.inline) if "(" in text]
    assert labels == ["Swahili (sw)", "German (de)", "French (fr)"]
    assert not picture.wide


@pytest.mark.parametrize("number", [41, 107, 300])
def test_sizes_of_many_languages_fall_from_the_left_in_one_figure(number):
    codes = [f"x{chr(97 + position // 26)}{chr(97 + position % 26)}" for position in range(number)]
    sizes = {code: 29 + int(9.8e9 / 1.2**position) for position, code in enumerate(codes)}
    picture = corpus_figures.corpus_sizes(dict(reversed(sizes.items())))
    assert picture.wide
    places = re.findall(r"<text [^>]*?translate\(([\d.]+)[^>]*>(x\w\w)</text>", picture.inline)
    assert [code for _, code in places] == codes
    across = [float(place) for place, _ in places]
    steps = {round(b - a, 2) for a, b in pairwise(across)}
    assert min(steps) > 9, "codes of 9 units in height would run into each other"
    assert f"{codes[0]} 9.80 GB" in texts(picture.inline)


@pytest.mark.parametrize(
    "lengths",
    [{"5": 1}, {"0": 3}, {"7": 10, "10000": 1}, {str(n): 100_000 // n for n in range(1, 10_000)}, {"512": 2, "513": 1}],
)
def test_odd_lengths_are_drawn(lengths):
    picture = corpus_figures.sample_lengths(lengths)
    assert ElementTree.fromstring(picture.file).findall(".//{http://www.w3.org/2000/svg}path")
    assert f"the longest {max(map(int, lengths)):,}" in picture.label
    assert any(text.startswith("mean ") for text in texts(picture.inline))


def test_bins_hold_every_length_once():
    edges = corpus_figures._edges(10_000)
    assert edges[0] == 1
    assert edges[-2] <= 10_000 < edges[-1]
    assert all(a < b <= max(a + 1, a * 1.34) for a, b in pairwise(edges))


def test_colours_follow_the_theme_and_ids_do_not_collide():
    gain = Gain("a_$b$ <model>", 60.0, 61.0, 1.67, -2.0, 5.3, 3, ["de"])
    first = figures.relative_gains("one", "NER", [gain])
    second = figures.relative_gains("two", "NER", [gain])
    assert first and second
    assert not set(re.findall(r'\bid="([^"]+)"', first.inline)) & set(re.findall(r'\bid="([^"]+)"', second.inline))
    for references in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', first.inline):
        assert f'id="{"".join(references)}"' in first.inline
    bare = re.sub(r"var\(--[\w-]+, #[0-9a-f]{6}\)", "", first.inline)
    assert not re.search(r"(?:fill|stroke): #[0-9a-f]{6}", bare), "a colour that does not follow the theme"
    assert "a_$b$ &lt;model&gt;" in first.inline
    assert all(f"--{name}:{dark}" in first.file for name, (_, dark) in COLOURS.items())


def _luminance(colour: str) -> float:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    """The contrast ratio of two colours as WCAG 2 defines it."""
    high, low = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize(
    ("name", "least"), [("figure-ink", 4.5), ("figure-soft", 4.5), *((f"series-{n}", 3.0) for n in range(1, 9))]
)
def test_figures_can_be_read_in_both_themes(name, least, theme):
    assert contrast(COLOURS[name][theme], COLOURS["figure-paper"][theme]) >= least


def test_interval_that_goes_on_beyond_a_panel_ends_before_the_number_with_an_arrow_head():
    wild = Gain("m", 10.0, 11.0, 10.0, -55.0, 104.0, 3, ["de"])
    picture = figures.gains_by_task("gains", {"NER": [wild]})
    assert picture is not None and picture.figure is not None
    (axes,) = picture.figure.axes
    ((start, _), (end, _)) = axes.collections[0].get_segments()[0]
    assert (start, end) == (-30, 30)
    assert {line.get_marker(): line.get_xdata()[0] for line in axes.lines if line.get_marker() in "<>"} == {
        "<": -30,
        ">": 30,
    }
    assert axes.get_xlim()[0] < start and end < axes.get_xlim()[1]
