"""Figures of the benchmark: gains by task, each -> all by language, size against score, and the method."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid_support import make_result
from unibert.benchmark.gains import Gain
from unibert.benchmark.schema import Result
from unibert.benchmark.scores import Board, boards
from unibert.recipe import Pretrain
from unibert.report import figures
from unibert.report.diagram import method_diagram, objective_of
from unibert.report.pareto import Point, front, points, size_against_score
from unibert.report.slopes import language_slopes, moves


def texts(svg: str) -> list[str]:
    return [text.strip() for text in re.findall(r">([^<>]+)</text>", svg) if text.strip()]


def check(picture) -> list[str]:
    """The texts of a picture that is well formed and has no number that is none."""
    assert picture
    ElementTree.fromstring(picture.file)
    assert not re.search(r"\bnan\b|\binf\b", picture.inline)
    return texts(picture.inline)


def board(scores: dict[str, dict[str, dict[str, dict[int, float]]]], **more) -> Board:
    """`scores[model][setting][language][seed]` as the results of one benchmark."""
    found = []
    for model, settings in scores.items():
        for setting, languages in settings.items():
            for seed in sorted({seed for its in languages.values() for seed in its}):
                its = {code: values[seed] for code, values in languages.items() if seed in values}
                groups = [[code] for code in its] if setting == "each" else [list(its)]
                for codes in groups:
                    f1 = {code: its[code] for code in codes}
                    found.append(make_result(model, setting, codes, seed, f1, **more))
    (made,) = boards([Result.model_validate(result) for result in found])
    return made


def gain(model: str, percent: float, half: float | None = 1.0) -> Gain:
    low, high = (None, None) if half is None else (percent - half, percent + half)
    return Gain(model, 60.0, 60.0 * (1 + percent / 100), percent, low, high, 1 if half is None else 3, ["de"])


def test_gains_of_all_tasks_have_a_panel_each_and_every_model_its_row():
    found = {
        "Named entity recognition": [gain("small", 3.76), gain("base", -0.5, 900.0)],
        "Question answering": [gain("small", 21.0, None)],
        "Nothing": [],
    }
    picture = figures.gains_by_task("gains", found)
    shown = check(picture)
    assert [text for text in shown if text in ("small", "base")] == ["small", "base"]
    assert {"+3.76", "−0.50", "+21.00", "—"} <= set(shown)
    assert "Nothing" not in " ".join(shown)
    assert "base −0.50 %, cannot be told from no difference" in picture.label
    assert "small +21.00 %, one seed: nothing can be concluded" in picture.label
    assert not picture.wide
    many = figures.gains_by_task("many", {f"task {number}": [gain("small", 1.0)] for number in range(4)})
    assert check(many) and many.wide
    assert figures.gains_by_task("none", {"NER": []}) is None


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=6),
    st.one_of(st.none(), st.floats(0, 1e9)),
)
def test_any_gains_are_drawn(percents, half):
    assert check(figures.gains_by_task("gains", {"NER": [gain(f"m{n}", x, half) for n, x in enumerate(percents)]}))


def test_moves_are_means_over_the_seeds_that_both_settings_have():
    each = {"de": {1: 50.0, 2: 52.0, 3: 90.0}, "fr": {1: 70.0}, "it": {1: 10.0}}
    joint = {"de": {1: 55.0, 2: 58.0}, "fr": {1: 69.5, 2: 1.0}, "nl": {1: 1.0, 2: 2.0}}
    made = board({"small": {"each": each, "all": joint}, "base": {"each": each}})
    found = moves(made)
    assert list(found) == ["small"]
    assert {code: (move.each, move.all) for code, move in found["small"].items()} == {
        "de": (51.0, 56.5),
        "fr": (70, 69.5),
    }
    (picture,) = language_slopes(made)
    shown = check(picture)
    assert [text for text in shown if "(" in text] == ["German (de)", "French (fr)"]
    assert {"+5.50", "−0.50", "small", "all, higher", "all, lower"} <= set(shown)
    assert "1 of them are higher in all" in picture.label and "German (de) 51.00 to 56.50" in picture.label


def test_languages_stand_in_one_order_in_every_panel():
    def model(shift: dict[str, float]) -> dict:
        each = {code: {1: 50.0} for code in shift}
        return {"each": each, "all": {code: {1: 50.0 + value} for code, value in shift.items()}}

    made = board({"a": model({"de": 1, "fr": 2, "it": 9}), "b": model({"de": 7, "fr": 3, "it": -9})})
    pictures = language_slopes(made)
    orders = [[text[-3:-1] for text in check(picture) if "(" in text] for picture in pictures]
    assert orders == [["de", "fr", "it"]] * 2  # mean differences 4, 2.5 and 0
    assert len({picture.name for picture in pictures}) == 2


@pytest.mark.parametrize("number", [1, 40, 41, 107])
def test_every_language_of_many_has_its_row_once(number):
    codes = [f"x{chr(97 + place // 26)}{chr(97 + place % 26)}" for place in range(number)]
    each, joint = ({code: {1: 20.0 + place + shift} for place, code in enumerate(codes)} for shift in (0, 0.3))
    each, joint = ({code: {1: min(seeds[1], 100.0)} for code, seeds in its.items()} for its in (each, joint))
    pictures = language_slopes(board({"small": {"each": each, "all": joint}}))
    shown = [text for picture in pictures for text in check(picture) if text in codes]
    assert sorted(shown) == sorted(codes)
    assert len({re.search('viewBox="([^"]+)"', picture.inline)[1] for picture in pictures}) == 1


def test_correlations_have_three_decimals_and_no_tick_beyond_one():
    scores = {"each": {"de": {1: 0.4}, "en": {1: -0.1}}, "all": {"de": {1: 0.95}, "en": {1: 0.1}}}
    made = board({"small": scores}, per_cent=False)
    (picture,) = language_slopes(made)
    shown = check(picture)
    assert "+0.550" in shown
    numbers = [float(text.replace("−", "-")) for text in shown if re.fullmatch(r"−?[\d.]+", text)]
    assert numbers and max(numbers) <= 1


def naive_front(found: list[Point]) -> set[tuple[int, float]]:
    """Sizes and scores that no other point beats: at most as large and better, or smaller and as good."""
    beaten = {
        (a.parameters, a.score)
        for a in found
        for b in found
        if (b.parameters <= a.parameters and b.score > a.score) or (b.parameters < a.parameters and b.score >= a.score)
    }
    return {(point.parameters, point.score) for point in found} - beaten


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=20))
def test_front_is_what_nobody_beats(pairs):
    found = [Point(f"m{number}", "all", size, float(score)) for number, (size, score) in enumerate(pairs)]
    best = front(found)
    assert {(point.parameters, point.score) for point in best} == naive_front(found)
    assert len(best) == len(naive_front(found))
    assert [point.parameters for point in best] == sorted({point.parameters for point in best})


def test_points_are_the_averages_of_rows_that_have_every_language():
    each = {"de": {1: 50.0, 2: 52.0}, "fr": {1: 60.0, 2: 64.0}}
    made = board({"student": {"each": each}, "other": {"each": {"de": {1: 99.0}}}, "base": {"all": each}})
    found = {(point.model, point.setting): point for point in points(made)}
    assert set(found) == {("student", "each"), ("base", "all")}
    assert found["student", "each"].parameters == 1000 and found["base", "all"].parameters == 5000
    assert found["base", "all"].score == pytest.approx(56.5)
    # Averages of the seeds 55 and 58: Student's t for one degree of freedom times the standard error.
    assert found["base", "all"].margin == pytest.approx(12.7062 * 1.5, rel=1e-4)
    assert {point.parameters for point in points(made, {"base": 7})} == {7}


def test_names_of_models_stand_once_and_off_one_another():
    names = [f"model-number-{number}" for number in range(8)]
    found = [
        Point(name, setting, 10**6 * 2**place, 60.0 + 3 * place + shift, 0.4)
        for place, name in enumerate(names)
        for setting, shift in (("each", 0.0), ("all", 2.0))
    ]
    picture = size_against_score("size", "NER", "entity F1", found)
    shown = check(picture)
    assert [text for text in shown if text in names] == names
    assert {"each", "all", "best for its size"} <= set(shown)
    assert "model-number-7 (128.00 M, all) 83.00" in picture.label
    places = [
        (float(x), float(y))
        for x, y, text in re.findall(r'x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]+)</text>', picture.inline)
        if text in names
    ]
    assert len(places) == len(names)
    for number, (x, y) in enumerate(places):
        for other_x, other_y in places[:number]:
            assert abs(y - other_y) >= 9 or abs(x - other_x) >= 60


def test_one_size_is_no_comparison():
    assert size_against_score("size", "NER", "F1", []) is None
    assert size_against_score("size", "NER", "F1", [Point("a", "each", 5, 1.0), Point("a", "all", 5, 2.0)]) is None


METHODS = {
    "paper": ({"adversary": {"mode": "loss-reversal", "weight": 0.1}}, "L = 0.5 MLM − 0.1 adv + 0.4 KD"),
    "default": ({}, "L = 0.5 MLM + 0.005 conf + 0.4 KD"),
    "alone": ({"adversary": {"mode": "none", "weight": 0.0}, "distillation": {"weight": 0.0}}, "L = 0.5 MLM"),
    "watched": ({"adversary": {"mode": "confusion", "weight": 0.0}}, "L = 0.5 MLM + 0.4 KD"),
    "hidden": ({"distillation": {"weight": 0.0, "hidden": {"weight": 0.25}}}, "L = 0.5 MLM + 0.005 conf + 0.25 hid"),
}


@pytest.mark.parametrize("name", METHODS)
def test_method_says_what_is_minimised_and_draws_what_there_is(name):
    changes, formula = METHODS[name]
    settings = Pretrain.model_validate(changes)
    picture = method_diagram(objective_of(settings), 107, "someone/teacher")
    shown = check(picture)
    assert formula in shown and picture.label.endswith(f"Minimised is {formula}.")
    assert ("Teacher" in shown) == settings.distillation.needs_teacher == ("someone/teacher" in picture.label)
    assert ("Discriminator" in shown) == (settings.adversary.mode != "none")
    assert any("watched only" in text for text in shown) == (name == "watched")
    assert any("107 languages" in text for text in shown)
    assert not picture.wide


def test_method_of_a_family_breaks_a_long_formula():
    changes = {
        "students": ["small", "xsmall"],
        "distillation": {"hidden": {"weight": 0.15}, "relations": {"weight": 0.25}},
    }
    picture = method_diagram(objective_of(Pretrain.model_validate(changes)), 12, "", ["small", "xsmall"])
    shown = check(picture)
    assert "family of 2" in shown
    assert "L = 0.5 MLM + 0.005 conf + 0.4 KD" in shown and "+ 0.15 hid + 0.25 rel, each" in shown
    assert "the students small and xsmall each learn" in picture.label


def test_method_of_an_old_summary_is_drawn_from_what_it_has():
    shown = check(method_diagram({"mlm": 1.0}, 3))
    assert "L = 1 MLM" in shown and "Teacher" not in shown
