"""A family of students is read, told and drawn as one training with a curve, a row and a column per member."""

from __future__ import annotations

import csv
import html
import json
import re
import shutil

import pytest

from unibert.report.collect import collect
from unibert.report.page import build_report

MEMBERS = ["small", "xsmall", "xxsmall"]


def table(folder, name):
    return list(csv.DictReader((folder / f"report/tables/{name}.csv").open(encoding="utf-8")))


def told(index):
    text = html.unescape(re.sub(r"<[^>]*>", " ", index.read_text(encoding="utf-8"))).replace("\N{NO-BREAK SPACE}", " ")
    return " ".join(text.split())


def test_members_are_found_in_the_family_s_order_and_nothing_is_missing(make_family_run):
    run = collect(make_family_run())
    assert run.gaps == [] and run.awaited == []
    assert list(run.trainings) == [*MEMBERS, "teacher"]
    assert list(run.groups) == ["students", "teacher"]
    assert {training.planned_steps for training in run.groups["students"]} == {3803}


def test_tables_have_a_row_or_a_column_per_member(family_report):
    folder = family_report.parent.parent
    models = {row["Model"]: row for row in table(folder, "models")}
    assert list(models) == [*MEMBERS, "teacher"]
    assert [models[member]["Hidden"] for member in MEMBERS] == ["96", "64", "48"]
    languages = table(folder, "languages")
    heading = [name for name in languages[0] if name.startswith(("Mixture", "Drawn", "Held-out"))]
    assert heading == [
        "Mixture, students (share)", "Drawn, students (share)",
        *(f"Held-out loss, {member} (nats)" for member in MEMBERS),
        "Mixture, teacher (share)", "Drawn, teacher (share)", "Held-out loss, teacher (nats)",
    ]  # fmt: skip
    for row in languages:
        small, xsmall = (float(row[f"Held-out loss, {member} (nats)"]) for member in MEMBERS[:2])
        assert xsmall - small == pytest.approx(0.41)


def test_members_are_curves_of_one_figure(family_report):
    figures = family_report.parent / "figures"
    names = {path.stem for path in figures.glob("students-*.svg")}
    assert {f"students-{name}" for name in ("loss", "held-out", "mlm", "hidden", "relations", "speed")} <= names
    for name in ("held-out", "hidden", "relations"):
        texts = re.findall(r">([^<>]*)</text>", (figures / f"students-{name}.svg").read_text(encoding="utf-8"))
        assert [text for text in texts if text in MEMBERS] == MEMBERS
    # What all of them share is one curve.
    texts = re.findall(r">([^<>]*)</text>", (figures / "students-learning-rate.svg").read_text(encoding="utf-8"))
    assert "training" in texts and not set(texts) & set(MEMBERS)
    assert not list(figures.glob("small-*"))


def test_family_is_told_in_one_paragraph(family_report):
    text = told(family_report)
    assert "3 students were trained side by side" in text
    assert "xsmall (3 layers of width 64, 1.56 M parameters, held-out loss" in text
    parts = (
        "distillation from this run's teacher (weight 0.37), its hidden states (weight 0.17), its attention relations"
    )
    assert parts in text


def test_single_student_shows_no_part_that_it_has_not(small_report):
    names = {path.stem for path in (small_report.parent / "figures").glob("student-*.svg")}
    assert "student-hidden" not in names and "student-relations" not in names and "student-held-out" not in names
    assert {"student-gradient-norm", "student-peak"} <= names


def test_member_that_was_deleted_is_missed(make_family_run):
    folder = make_family_run()
    shutil.rmtree(folder / "students/xsmall")
    run = collect(folder)
    assert [(gap.part, gap.kind) for gap in run.gaps] == [("students/xsmall/", "missing")]
    assert list(run.trainings) == ["small", "xxsmall", "teacher"]
    build_report(folder)


def test_family_that_was_not_begun_is_one_gap(make_family_run):
    folder = make_family_run()
    shutil.rmtree(folder / "students")
    run = collect(folder)
    missing = [gap.part for gap in run.gaps if gap.kind == "missing"]
    assert missing == ["students/"]
    assert run.awaited == [f"students/{member}" for member in MEMBERS]


def test_family_is_found_without_a_recipe(make_family_run):
    folder = make_family_run()
    (folder / "recipe.toml").unlink()
    assert list(collect(folder).trainings) == [*MEMBERS, "teacher"]
    # run.json has the members and their order; without it they are what has a log.
    (folder / "students/run.json").unlink()
    (folder / "students/checkpoints").mkdir()
    run = collect(folder)
    assert list(run.trainings) == [*MEMBERS, "teacher"]
    assert "student/" not in [gap.part for gap in run.gaps]


def test_damaged_summary_of_a_member_is_named(make_family_run):
    folder = make_family_run()
    (folder / "students/xsmall/summary.json").write_text("{")
    run = collect(folder)
    assert [(gap.part, gap.kind) for gap in run.gaps] == [("students/xsmall/summary.json", "damaged")]
    assert "There is no summary of xsmall." in told(build_report(folder))


def test_member_called_as_another_part_of_the_run_keeps_its_own_place(make_family_run):
    folder = make_family_run(seeds=(5,))
    (folder / "students/small").rename(folder / "students/teacher")
    recipe = folder / "recipe.toml"
    recipe.unlink()
    (folder / "students/run.json").unlink()
    run = collect(folder)
    assert set(run.trainings) == {"students/teacher", "xsmall", "xxsmall", "teacher"}
    assert run.trainings["teacher"].folder == "teacher"


def test_other_tokens_and_weights_than_a_member_s_are_told(make_family_run):
    folder = make_family_run(seeds=(5,))
    (folder / "tokens/index.json").write_text((folder / "tokens/index.json").read_text().replace("7919", "7920"))
    run = json.loads((folder / "students/run.json").read_text())
    run["identity"]["tokens"] = "0" * 16
    (folder / "students/run.json").write_text(json.dumps(run))
    (folder / "students/small/model").mkdir()
    build_report(folder)
    markdown = (folder / "report/report.md").read_text(encoding="utf-8")
    assert "the students were trained on other tokens than tokens/ holds now" in markdown
    assert "students/small/model/" in markdown
