"""A report about some models, languages and tasks."""

from __future__ import annotations

import json

import pytest

from unibert.benchmark.results import write_plan
from unibert.errors import RecipeError
from unibert.report.collect import collect
from unibert.report.scores import boards, planned_gaps
from unibert.report.subsets import chosen


def places(run):
    return {(result.model, result.setting, code) for result in run.results for code in result.scores}


def test_without_a_choice_it_is_the_run_itself(make_run):
    run = collect(make_run((5,)))
    assert chosen(run) is run


def test_only_what_is_asked_for_is_left(make_run):
    whole = collect(make_run((5, 6)))
    part = chosen(whole, models=["student", "acme/base"], languages=["es", "en"])
    expected = {(model, setting, code) for model, setting, code in places(whole) if model != "teacher" and code != "nl"}
    assert places(part) == expected and len(expected) == 8
    assert list(part.trainings) == ["student"] and part.corpus == whole.corpus
    # Trained on all of the three languages it stays.
    assert {tuple(result.languages) for result in part.results if result.setting == "all"} == {("en", "es", "nl")}
    (gap,) = [gap for gap in part.gaps if gap.kind == "left out"]
    assert gap.reason == "20 scores of 36: this report was asked for models student, acme/base; languages es, en"
    assert len(whole.gaps) + 1 == len(part.gaps)
    (board,) = boards(part.results, [])
    assert board.languages == ["en", "es"]


def test_scores_are_those_of_the_whole(make_run):
    whole = collect(make_run((5, 6, 8)))
    part = chosen(whole, languages=["nl"])
    (one,), (other,) = boards(whole.results, []), boards(part.results, [])
    assert [row.cell("nl") for row in one.rows] == [row.cell("nl") for row in other.rows]
    assert [row.name for row in one.rows] == [row.name for row in other.rows]


@pytest.mark.parametrize("asked", ["ner", "news"])
def test_a_task_and_a_benchmark_of_it_are_known_by_name(make_run, asked):
    folder = make_run((5,))
    for number, path in enumerate(sorted((folder / "benchmark/results").glob("*.json"))):
        tree = json.loads(path.read_text())
        names = {"task": "nli", "benchmark": "pairs"} if number % 2 else {"benchmark": "news"}
        path.write_text(json.dumps({**tree, **names}))
    part = chosen(collect(folder), tasks=[asked])
    assert {result.benchmark for result in part.results} == {"news"}


@pytest.mark.parametrize(
    ("choice", "message", "fix"),
    [
        ({"models": ["studnet"]}, "--model studnet: not in this run", "Did you mean student?"),
        ({"models": ["zzz"]}, "--model zzz: not in this run", "There is acme/base, student, teacher."),
        ({"languages": ["xx"]}, "--language xx: not in this run", "There is en, es, nl."),
        ({"tasks": ["nre"]}, "--task nre: not in this run", "Did you mean ner?"),
        ({"models": ["student"], "languages": ["nl", "n"]}, "--language n: not in this run", "Did you mean"),
    ],
)
def test_an_unknown_name_is_an_error_with_the_nearest(make_run, choice, message, fix):
    run = collect(make_run((5,)))
    with pytest.raises(RecipeError) as told:
        chosen(run, **choice)
    assert told.value.message == message and told.value.fix.startswith(fix)


def planned(model, setting, languages, seed=5):
    run = {"benchmark": "ner", "model": model, "setting": setting, "seed": seed}
    return {**run, "languages": languages, "tested": ["en", "es", "nl"] if setting == "all" else languages}


def test_what_was_not_asked_for_is_not_missing(make_run):
    folder = make_run((5,))
    found = {path.stem: json.loads(path.read_text()) for path in (folder / "benchmark/results").glob("*.json")}
    plan = {address: planned(tree["model"], tree["setting"], tree["languages"]) for address, tree in found.items()}
    lacking = {"a": planned("student", "each", ["nl"], 6), "b": planned("teacher", "each", ["es"], 6)}
    lacking |= {"c": planned("student", "all", ["en", "es", "nl"], 6), "d": planned("absent", "all", ["en"], 6)}
    write_plan(folder / "benchmark", {**plan, **lacking})
    whole = collect(folder)

    def told(run):
        return [gap.reason for gap in planned_gaps(boards(run.results, []), run)]

    assert len(told(whole)) == 4
    part = chosen(whole, models=["student"], languages=["es"])
    assert told(part) == ["the recipe plans it, but there is no result for es (seed 6)"]
    # A model that is planned and has no result yet is known.
    assert chosen(whole, models=["absent"]).results == []


def test_without_a_plan_the_recipe_is_cut_likewise(make_run):
    folder = make_run((5,))
    for path in (folder / "benchmark/results").glob("*.json"):
        if json.loads(path.read_text())["setting"] == "all":
            path.unlink()
    part = chosen(collect(folder), models=["student"], languages=["en", "nl"])
    (board,) = boards(part.results, [])
    assert [gap.reason for gap in planned_gaps([board], part)] == [
        "the recipe plans it, but there is no result for en (seed 5) and nl (seed 5)"
    ]
