"""Results that cannot be used are named under “What is missing”, with the reason, and the rest is shown."""

from __future__ import annotations

import json
import shutil

import pytest

from unibert.benchmark.results import write_plan
from unibert.report.page import build_report
from unibert.report.significance import report_significance


@pytest.fixture
def folder(make_run):
    return make_run(seeds=(5,))


@pytest.fixture
def path(folder):
    """The student's result in `all`."""
    found = [
        path for path in (folder / "benchmark/results").glob("*.json") if is_students(json.loads(path.read_text()))
    ]
    assert len(found) == 1
    return found[0]


def is_students(tree):
    return tree["model"] == "student" and tree["setting"] == "all"


def change(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def plan(folder):
    """Say that the results that are there are those that were planned."""
    trees = [json.loads(path.read_text()) for path in (folder / "benchmark/results").glob("*.json")]
    keys = ("benchmark", "model", "setting", "languages", "seed")
    runs = {tree["address"]: {**{key: tree[key] for key in keys}, "tested": list(tree["scores"])} for tree in trees}
    write_plan(folder / "benchmark", runs)


def missing(folder) -> str:
    """What the page says is missing, as text of its source; the rest has to be there as well."""
    source = build_report(folder).read_text(encoding="utf-8")
    assert 'id="table-ner"' in source and "acme/base" in source and 'id="table-corpus"' in source
    start = source.index('id="missing"')
    return source[start : source.index("</section>", start)]


def make_nan(path):
    tree = json.loads(path.read_text())
    tree["scores"]["es"]["metrics"]["f1"] = float("nan")
    path.write_text(json.dumps(tree))


def make_infinite(path):
    tree = json.loads(path.read_text())
    tree["scores"]["nl"]["high"] = float("inf")
    path.write_text(json.dumps(tree))


def make_half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BAD = {
    "nan": (make_nan, "scores.es.metrics.f1: nan is not a number from 0 to 100"),
    "infinite": (make_infinite, "scores.nl.high: inf is not a number from 0 to 100"),
    "older": (lambda path: change(path, schema=1), "schema 1, not 2: written by an older version"),
    "newer": (lambda path: change(path, schema=9), "schema 9, not 2: written by another version"),
    "half-written": (make_half, "not valid JSON"),
    "empty": (lambda path: path.write_bytes(b""), "not valid JSON"),
    "without-scores": (lambda path: change(path, scores={}), "scores: "),
}


@pytest.mark.parametrize("planned", [False, True])
@pytest.mark.parametrize("kind", BAD)
def test_result_that_cannot_be_used_is_named(folder, path, kind, planned):
    harm, reason = BAD[kind]
    if planned:
        plan(folder)
    harm(path)
    told = missing(folder)
    assert f"benchmark/results/{path.name}" in told and reason in told
    assert "Named entity recognition: student, all" in told, "the cells that it would have filled are named too"


@pytest.mark.parametrize("planned", [False, True])
def test_two_files_of_one_address_with_other_scores_are_told_apart(folder, path, planned):
    if planned:
        plan(folder)
    other = path.with_name("from-the-other-machine.json")
    shutil.copy(path, other)
    tree = json.loads(path.read_text())
    right = tree["scores"]["nl"]["metrics"]["f1"]
    tree["scores"]["nl"]["metrics"]["f1"] = 12.34
    other.write_text(json.dumps(tree))
    told = missing(folder)
    assert told.count(other.name) == 1
    assert f"claims to be the same run as {path.name}, and has other scores: nl 12.34, there {right:.2f}." in told
    gaps = {gap.part: gap.reason for gap in report_significance(folder, draws=100).gaps}
    assert "has other scores: nl 12.34" in gaps[f"benchmark/results/{other.name}"]
    table = (folder / "report/tables/ner.csv").read_text(encoding="utf-8")
    assert str(right) in table and "12.34" not in table


def test_copy_with_the_same_scores_is_told_as_a_copy(folder, path):
    shutil.copy(path, path.with_name("copy.json"))
    told = missing(folder)
    assert told.count("copy.json") == 1 and "a renamed or copied file" in told


@pytest.mark.parametrize("content", ["[]", '{"address": 3}', '{"address": "%s", "scores": {"nl": 7}}', "{", "null"])
def test_file_of_any_other_content_beside_a_plan_does_not_stop_the_report(folder, path, content):
    plan(folder)
    path.with_name("notes.json").write_text(content.replace("%s", path.stem))
    source = build_report(folder).read_text(encoding="utf-8")
    assert ("notes.json" in source) == ("%s" in content), "what claims to be a result of this benchmark is told"


@pytest.mark.parametrize(
    "name",
    ["benchmark/results/0123.json", "teacher/run.json", "student/log.jsonl", "recipe.toml"],
)
def test_folder_in_the_place_of_a_file_is_told_by_its_name(folder, name):
    place = folder / name
    place.unlink(missing_ok=True)
    place.mkdir()
    assert f"{name}</dt><dd>cannot be read (Is a directory)" in missing(folder)


def test_folder_among_the_failures_does_not_stop_the_report(folder):
    (folder / "benchmark/failures/0123.txt").mkdir(parents=True)
    build_report(folder)


def test_many_gaps_are_folded_after_the_first(folder):
    for number in range(31):
        (folder / f"benchmark/results/{number:016x}.json").write_text("{")
    told = missing(folder)
    assert told.count("<dt>") == 31
    assert "<summary>11 more</summary>" in told
    markdown = (folder / "report/report.md").read_text(encoding="utf-8")
    assert all(f"benchmark/results/{number:016x}.json" in markdown for number in range(31))
