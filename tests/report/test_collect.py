"""Missing and damaged files are named, and the rest of the report is made all the same."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from unibert.benchmark.results import write_plan
from unibert.report.collect import collect
from unibert.report.page import build_report, write_report


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def binary(path):
    path.write_bytes(b"\x00\xff\xfe\x80" * 50)


def empty(path):
    path.write_bytes(b"")


def wrong_shape(path):
    path.write_text('{"schema": 1, "languages": [1, 2], "scores": "high"}')


def other_version(path):
    path.write_text(re.sub('"schema": [12]', '"schema": 7', path.read_text()))


def test_folder_that_may_not_be_entered_is_named_and_the_rest_is_made(make_run, monkeypatch):
    folder = make_run(seeds=(5,))
    closed = str(folder / "student") + "/"

    def refusing(method):
        def refuse(self, *given, **options):
            if str(self).startswith(closed):
                raise PermissionError(13, "Permission denied")
            return method(self, *given, **options)

        return refuse

    for name in ("exists", "is_dir", "stat", "open", "read_text"):
        monkeypatch.setattr(Path, name, refusing(getattr(Path, name)))
    found = collect(folder)
    told = {gap.part: gap.reason for gap in found.gaps}
    write_report(found)
    for name in ("student/summary.json", "student/log.jsonl"):
        assert "cannot be read (Permission denied)" in told[name]


JSON_PARTS = ["corpus/statistics.json", "tokens/index.json", "teacher/summary.json", "student/summary.json"]


@pytest.mark.parametrize("harm", [cut, binary, empty, wrong_shape, other_version])
@pytest.mark.parametrize("name", JSON_PARTS)
def test_damaged_part_is_named(make_run, name, harm):
    folder = make_run(seeds=(5,))
    harm(folder / name)
    run = collect(folder)
    assert [(gap.part, gap.kind) for gap in run.gaps if gap.part == name] == [(name, "damaged")]
    assert str(folder) not in run.gaps[0].reason


@pytest.mark.parametrize("name", [*JSON_PARTS, "student/log.jsonl", "recipe.toml", "benchmark/results/", "student/"])
def test_report_without_a_part_names_it(make_run, name):
    folder = make_run(seeds=(5,))
    path = folder / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    source = build_report(folder).read_text(encoding="utf-8")
    box = source[source.index('id="missing"') : source.index("</section>", source.index('id="missing"'))]
    assert name in box and "missing" in box
    assert name in (folder / "report/report.md").read_text(encoding="utf-8")


def test_a_benchmark_of_finished_models_lacks_nothing_before_it(make_run):
    folder = make_run(seeds=(5,))
    for name in ("corpus", "tokens", "teacher", "student"):
        shutil.rmtree(folder / name)
    assert {gap.part for gap in collect(folder).gaps if gap.kind == "missing"} >= {"tokens/index.json", "student/"}
    recipe = folder / "recipe.toml"
    recipe.write_text(recipe.read_text().replace('"student", "teacher", ', ""))
    assert not [gap for gap in collect(folder).gaps if gap.kind == "missing"]


def test_statistics_of_an_older_corpus_are_shown_without_lengths(make_run):
    folder = make_run(seeds=(5,))
    path = folder / "corpus/statistics.json"
    statistics = json.loads(path.read_text()) | {"schema": 1}
    for entry in (*statistics["languages"].values(), statistics["totals"]):
        del entry["lengths"]
    path.write_text(json.dumps(statistics))
    run = collect(folder)
    assert not [gap for gap in run.gaps if gap.part == "corpus/statistics.json"]
    source = build_report(folder).read_text(encoding="utf-8")
    assert 'id="table-corpus"' in source
    assert "Mean length" not in source
    assert not (folder / "report/figures/lengths.svg").exists()


def test_everything_damaged_at_once_still_makes_a_page(make_run):
    folder = make_run(seeds=(5,))
    broken = [path for path in folder.rglob("*") if path.is_file()]
    for path in broken:
        cut(path)
    source = build_report(folder).read_text(encoding="utf-8")
    for name in [*JSON_PARTS, "student/run.json"]:
        assert name in source


def test_whole_run_misses_nothing(make_run):
    folder = make_run()
    assert collect(folder).gaps == []
    assert "What is missing" not in build_report(folder).read_text(encoding="utf-8")


def test_bad_log_lines_are_counted_and_the_others_kept(make_run):
    folder = make_run(records=20)
    log = folder / "student/log.jsonl"
    whole = len(collect(folder).trainings["student"].steps)
    lines = log.read_text().splitlines()
    lines[3] = "{broken"
    lines.append('{"kind": "train", "step": 99')
    log.write_text("\n".join(lines))
    run = collect(folder)
    assert len(run.trainings["student"].steps) == whole - 1
    (gap,) = [gap for gap in run.gaps if gap.part == "student/log.jsonl"]
    assert f"lines 4, {len(lines)} cannot be read" in gap.reason


def test_loss_that_is_not_a_number_is_told_and_drawn_around(make_run):
    folder = make_run(records=20)
    log = folder / "student/log.jsonl"
    records = [json.loads(line) for line in log.read_text().splitlines()]
    for record in records[5:8]:
        record["loss"] = float("nan")
    log.write_text("\n".join(json.dumps(record) for record in records))
    build_report(folder)
    reason = next(gap.reason for gap in collect(folder).gaps if gap.part == "student/log.jsonl")
    assert "not a finite number" in reason
    assert "nan" not in (folder / "report/figures/student-loss.svg").read_text().lower()


def test_step_told_twice_counts_once_and_the_later_line_wins(make_run):
    folder = make_run(records=10)
    log = folder / "student/log.jsonl"
    first = json.loads(log.read_text().splitlines()[0])
    with log.open("a") as stream:
        stream.write(json.dumps({**first, "loss": 1.25}) + "\n")
    steps = collect(folder).trainings["student"].steps
    assert [step.step for step in steps] == sorted({step.step for step in steps})
    assert steps[0].loss == 1.25


def test_damaged_dump_of_the_corpus_is_told(make_run):
    folder = make_run(seeds=(5,))
    path = folder / "corpus/statistics.json"
    content = json.loads(path.read_text())
    content["files"][2]["damage"] = "the stream ends at byte 4242, after page Aardvark"
    path.write_text(json.dumps(content))
    source = build_report(folder).read_text(encoding="utf-8")
    assert "byte 4242" in source and content["files"][2]["file"] in source


def test_result_that_was_planned_and_is_not_there_is_told(make_run):
    folder = make_run()
    for path in (folder / "benchmark/results").glob("*.json"):
        result = json.loads(path.read_text())
        if (result["model"], result["setting"], result["languages"]) == ("teacher", "each", ["nl"]):
            path.unlink()
    source = build_report(folder).read_text(encoding="utf-8")
    assert "the recipe plans it, but there is no result for nl (seeds 5, 6, 8)" in source
    assert "no average: nl missing" in source


def test_average_of_fewer_seeds_than_its_row_says_so(make_run):
    folder = make_run(seeds=(5, 6, 8))
    dropped = {
        # Every language keeps two seeds, but only seed 8 has them all.
        ("teacher", "es"): {5},
        ("teacher", "nl"): {6},
        # Every language has a score, but no seed has them all.
        ("student", "es"): {6, 8},
        ("student", "nl"): {5},
    }
    for path in (folder / "benchmark/results").glob("*.json"):
        result = json.loads(path.read_text())
        if result["setting"] == "each" and result["seed"] in dropped.get((result["model"], result["languages"][0]), ()):
            path.unlink()
    source = build_report(folder).read_text(encoding="utf-8")
    assert source.count("(1 seed)") == 1
    assert "no average: no seed has every language" in source
    assert "At least one score comes from a single seed" in source


def test_files_that_the_benchmark_leaves_out_are_told(make_run):
    folder = make_run(seeds=(5,))
    path = sorted((folder / "benchmark/results").glob("*.json"))[0]
    shutil.copy(path, path.with_name("copy.json"))
    cut(path)
    failures = folder / "benchmark/failures"
    failures.mkdir()
    (failures / "0123.txt").write_text("teacher, each, nl, seed 5\n\nTraceback ...\nMemoryError: out of memory\n")
    told = {gap.part: gap for gap in collect(folder).gaps}
    assert told[f"benchmark/results/{path.name}"].kind == "left out"
    assert "not valid JSON" in told[f"benchmark/results/{path.name}"].reason
    assert "copied" in told["benchmark/results/copy.json"].reason
    reason = told["benchmark/failures/0123.txt"].reason
    assert reason == "teacher, each, nl, seed 5 failed: MemoryError: out of memory"


def test_what_is_not_planned_any_more_is_not_told(make_run):
    folder = make_run(seeds=(5, 6))
    results = sorted((folder / "benchmark/results").glob("*.json"))
    kept = {path.stem for path in results if json.loads(path.read_text())["seed"] == 6}
    failures = folder / "benchmark/failures"
    failures.mkdir()
    for name in ("abandoned", "planned"):
        (failures / f"{name}.txt").write_text(f"{name}, nl, seed 6\n\nTraceback ...\nMemoryError: out of memory\n")
    cut(next(path for path in results if path.stem not in kept))
    elsewhere = {"benchmark": "b", "model": "m", "setting": "each", "languages": ["xx"], "tested": ["xx"], "seed": 1}
    write_plan(folder / "benchmark", {address: elsewhere for address in [*kept, "planned"]})
    run = collect(folder)
    assert {result.address for result in run.results} == kept
    assert [gap.part for gap in run.gaps] == ["benchmark/failures/planned.txt"]
    (folder / "benchmark/plan.json").write_text("{")
    parts = [gap.part for gap in collect(folder).gaps]
    assert parts.count("benchmark/plan.json") == 1
    assert {"benchmark/failures/planned.txt", "benchmark/failures/abandoned.txt"} < set(parts)


def test_set_up_of_many_results_is_told_once_with_its_times(make_run):
    folder = make_run()
    build_report(folder)
    rows = (folder / "report/tables/provenance.csv").read_text(encoding="utf-8").splitlines()
    told = [row for row in rows if row.startswith("benchmark")]
    assert len(told) == 1
    assert "finished 2099-03-04 05:06:05Z to 2099-03-04 05:06:08Z" in told[0]
