"""What a run took: hours of cores and GPUs from the files' own numbers, a family once, nothing invented."""

from __future__ import annotations

import csv
import json

import pytest

from unibert.benchmark.scores import boards
from unibert.report.collect import collect
from unibert.report.cost import cost_number, cost_sentence, cost_table, costs
from unibert.report.page import build_report


def change(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def found(folder):
    run = collect(folder)
    return costs(run, boards(run.results))


def test_core_hours_are_seconds_times_cores(make_run):
    student, teacher, tuned = found(make_run())
    # conftest.py: 0.37 s a step, 17 cores; 36 results of 61.5 s.
    assert (student.what, student.unit, student.hours) == (
        "Training of the student",
        "core",
        pytest.approx(3803 * 0.37 * 17 / 3600),
    )
    assert (teacher.what, teacher.hours) == ("Training of the teacher", pytest.approx(1901 * 0.37 * 17 / 3600))
    assert (tuned.runs, tuned.seconds, tuned.hours, tuned.machine) == (36, 36 * 61.5, None, "Imaginary 9000, 17 cores")
    number = cost_number([student, teacher, tuned])
    assert (number.label, number.value, number.hint) == ("Training cost", "9.97 core hours", "student and teacher")
    text = cost_sentence([student, teacher, tuned])
    assert "training of the student: 23 min 27 s on Imaginary 9000, 17 cores (6.64 core hours)" in text
    assert "36 fine-tuning runs: 36 min 54 s, added up" in text
    assert "energy" not in text


def test_machine_that_is_not_known_is_not_in_the_sentence(make_run):
    folder = make_run(seeds=(5,))
    change(folder / "student/run.json", hardware=None)
    student, *_ = found(folder)
    assert (student.machine, cost_sentence([student])) == (
        "not recorded",
        "What it took: training of the student: 23 min 27 s.",
    )


def test_gpu_hours_are_seconds_times_processes(make_run):
    folder = make_run(seeds=(5,))
    change(folder / "student/summary.json", device="NVIDIA Zebra", processes=4, energy_kwh=1.75)
    student, teacher, tuned = found(folder)
    assert (student.unit, student.machine) == ("GPU", "4 × NVIDIA Zebra")
    assert student.hours == pytest.approx(3803 * 0.37 * 4 / 3600)
    assert cost_number([student, teacher]) is None, "core hours and GPU hours have no sum"
    assert cost_number([student]).value == "1.56 GPU hours"
    assert cost_sentence([student, teacher, tuned]).endswith("energy, where it was measured: 1.75 kWh.")


def test_family_that_was_trained_together_counts_once(make_family_run):
    students, teacher, _ = found(make_family_run(seeds=(5,)))
    assert students.what == "Training of the students"
    assert students.hours == pytest.approx(3803 * 0.37 * 17 / 3600)
    assert teacher.what == "Training of the teacher"


def test_what_was_not_recorded_is_not_made_up(make_run):
    folder = make_run(seeds=(5,))
    (folder / "student/run.json").unlink()
    change(folder / "teacher/run.json", hardware={"processor": "Imaginary 9000", "cores": "many"})
    student, teacher, _ = found(folder)
    assert (student.machine, student.hours) == ("not recorded", None)
    assert (teacher.machine, teacher.hours) == ("Imaginary 9000", None)
    assert cost_number([student, teacher]) is None
    assert cost_number([]) is None and cost_sentence([]) == ""


def test_unfinished_training_has_no_cost_yet(make_run, stop_at):
    assert [cost.what for cost in found(stop_at(make_run(seeds=(5,)), "student", 0.4))] == ["Training of the teacher"]


def test_costs_are_on_the_page_and_in_a_file(make_run):
    folder = make_run(seeds=(5,))
    source = build_report(folder).read_text(encoding="utf-8").replace("\N{NO-BREAK SPACE}", " ")
    assert "Training cost" in source and "9.97 core hours" in source
    assert 'id="table-cost"' in source
    rows = list(csv.DictReader((folder / "report/tables/cost.csv").open(encoding="utf-8")))
    assert [row["Stage"] for row in rows] == [
        "Training of the student",
        "Training of the teacher",
        "Fine-tuning, Named entity recognition",
    ]
    assert float(rows[2]["Time (seconds)"]) == pytest.approx(12 * 61.5)
    assert cost_table(found(folder)).rows[2][3].note == "cannot be told: runs may share a machine"
    assert not any(sign in source for sign in "€£"), "nobody gave a price"
