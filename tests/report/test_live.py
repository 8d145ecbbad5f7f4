"""A run that is going: how far it is, how fast, how long still; pages that reload while it goes and not afterwards."""

from __future__ import annotations

import csv
import json
import os
import re
import threading
import time

import pytest

from unibert.errors import DataError
from unibert.report import live, page, rendering
from unibert.report.collect import collect
from unibert.report.live import follow_report
from unibert.report.page import build_report, write_report
from unibert.report.standing import standing_sentence, standings

REFRESH = re.compile(r'<meta http-equiv="refresh" content="(\d+)">')


def text_of(index):
    text = re.sub(r"<[^>]*>", " ", index.read_text(encoding="utf-8")).replace("\N{NO-BREAK SPACE}", " ")
    return " ".join(text.split())


def test_page_of_a_running_family_tells_how_far_it_is(live_report):
    text = text_of(live_report)
    # conftest.py: 60 records over 3803 steps; the 24th, at 40 %, is step 1521. A step takes 0.37 s.
    assert "The training of the students stands at step 1,521 of 3,803 (40.0 %)" in text
    assert "at the pace of its recent steps 14 min 4 s of training are left" in text  # 2282 * 0.37 s
    assert "29.0 % of the matrix peak" in text
    assert "right 8.3 % of the time, 1 in 12" in text
    assert "The latest values" in text and "Held-out loss per language" in text
    source = live_report.read_text(encoding="utf-8")
    order = [source.index(f'<section id="{name}"') for name in ("progress", "training", "languages", "corpus")]
    assert order == sorted(order)
    assert not REFRESH.search(source), "only a page that is rewritten is to be loaded again"
    assert 'id="missing"' not in source, "a model that is being trained is not missing, nor are its results"
    assert '<progress max="1" value="0.3999"' in source  # 1521 / 3803
    names = {path.stem for path in (live_report.parent / "figures").glob("students-*.svg")}
    assert {"students-loss", "students-held-out", "students-discriminator", "students-speed"} <= names
    markdown = (live_report.parent / "report.md").read_text(encoding="utf-8")
    assert "stands at step 1,521 of 3,803" in markdown and "Training of the students: 40.0 %" in markdown


def test_plots_of_a_running_run_need_no_scripts(live_report):
    source = live_report.read_text(encoding="utf-8")
    without = re.sub(r"<script>.*?</script>", "", source, flags=re.DOTALL)
    assert without.count("<svg") == source.count("<svg") > 10
    assert "polyline" in without or "<path" in without


def test_finished_run_has_no_progress(small_report):
    source = small_report.read_text(encoding="utf-8")
    assert 'id="progress"' not in source and "<progress" not in source


def test_latest_values_are_those_of_the_log(live_report):
    folder = live_report.parent.parent
    rows = (folder / "report/tables/latest-students.csv").read_text(encoding="utf-8").splitlines()
    heading, small = csv.reader(rows[:2])
    lines = [json.loads(line) for line in (folder / "students/small/log.jsonl").read_text().splitlines()]
    last = [line for line in lines if line["kind"] == "train"][-1]
    values = dict(zip(heading, small, strict=True))
    assert float(values["Hidden states"]) == last["hidden"]
    assert float(values["Discriminator right"]) == last["discriminator_accuracy"]
    assert float(values["Held-out loss (nats)"]) == [line for line in lines if line["kind"] == "heldout"][-1]["mlm"]
    assert float(values["Held-out loss, step"]) > 0


def stand(folder, now):
    (found,) = standings(collect(folder), now)
    return found


def test_silence_is_told_when_it_is_longer_than_usual(make_run, stop_at):
    folder = stop_at(make_run(), "student", 0.5)
    log = folder / "student/log.jsonl"
    os.utime(log, (1_000_000, 1_000_000))
    assert not stand(folder, 1_000_000 + 500).silent
    late = stand(folder, 1_000_000 + 8000)
    assert late.silent
    assert "2 h 13 min before this page. That is much longer than usual" in standing_sentence(late, None)
    assert "are left" not in standing_sentence(late, None)
    # A slow run writes rarely: each of these 60 lines took an hour.
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    log.write_text("".join(json.dumps({**line, "seconds": 57.0 * line["step"]}) + "\n" for line in lines))
    os.utime(log, (1_000_000, 1_000_000))
    assert not stand(folder, 1_000_000 + 8000).silent
    # A clock that was set back tells nothing about the training.
    back = stand(folder, 500_000)
    assert back.age is None and not back.silent
    assert "before this page" not in standing_sentence(back, None)


def test_silent_run_is_among_what_is_missing(make_run, stop_at):
    folder = stop_at(make_run(), "student", 0.5)
    os.utime(folder / "student/log.jsonl", (1_000_000, 1_000_000))
    assert "nothing was written for" in text_of(build_report(folder))


def test_pace_is_that_of_recent_steps(make_run, stop_at):
    folder = stop_at(make_run(records=100), "student", 0.5)
    log = folder / "student/log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    half = lines[-1]["step"] * 0.8
    for line in lines:
        if line["kind"] == "train":  # slower by ten times in the last fifth
            line["seconds"] = 0.1 * min(line["step"], half) + 1.0 * max(0, line["step"] - half)
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = stand(folder, time.time())
    assert found.seconds_per_step == pytest.approx(1.0)
    assert found.seconds_left == pytest.approx(3803 - found.step)


@pytest.mark.parametrize("lines", [0, 1])
def test_run_that_has_hardly_begun(make_run, stop_at, lines):
    folder = stop_at(make_run(), "student", 0.0)
    log = folder / "student/log.jsonl"
    record = {"kind": "train", "step": 2, "loss": 7.5, "mlm": 7.0, "learning_rate": 0.1, "seconds": 3.0}
    log.write_text((json.dumps(record) + "\n") * lines + '{"kind": "train", "st')
    text = text_of(build_report(folder))
    assert f"stands at step {2 * lines} of 3,803" in text
    assert ("No step has been logged yet" in text) == (lines == 0)
    assert ("1 h 35 min of training are left" in text) == (lines == 1)
    assert not [gap for gap in collect(folder).gaps if gap.part.startswith("student")]
    log.unlink()
    assert "No step has been logged yet" in text_of(build_report(folder))


def test_last_step_without_a_summary_is_being_written_and_the_summary_is_missed(make_family_run, stop_at):
    folder = stop_at(make_family_run(), "students", 1.0)
    run = collect(folder)
    assert {gap.part for gap in run.gaps} == {
        f"students/{name}/summary.json" for name in ("small", "xsmall", "xxsmall")
    }
    assert "the models are being written" in text_of(build_report(folder))


def test_steps_come_from_the_run_and_not_from_an_older_recipe(make_run, stop_at):
    folder = stop_at(make_run(), "student", 0.5)
    path = folder / "student/run.json"
    run = json.loads(path.read_text())
    run["identity"]["settings"]["steps"] = 9000
    path.write_text(json.dumps(run))
    assert "of 9,000" in text_of(build_report(folder))


# Following


@pytest.fixture
def seen(monkeypatch):
    """The pages that a follower left at each of its pauses; `then` says what happens in a pause."""
    pages, then = [], []

    def pause(seconds):
        pages.append((seconds, index_of.pop().read_text(encoding="utf-8")))
        action = then.pop(0)
        action()

    index_of = []
    made = page.write_report

    def watched(*arguments, **options):
        index = made(*arguments, **options)
        index_of[:] = [index]
        return index

    monkeypatch.setattr(live, "write_report", watched)
    monkeypatch.setattr(time, "sleep", pause)
    return pages, then


def finish(folder, made_whole):
    """What the end of a training leaves."""
    (folder / "student/log.jsonl").write_text(made_whole["log"])
    (folder / "student/summary.json").write_text(made_whole["summary"])


def test_follower_reloads_while_the_run_goes_and_leaves_a_page_that_does_not(make_run, stop_at, seen):
    pages, then = seen
    folder = make_run(seeds=(5,))
    whole = {
        "log": (folder / "student/log.jsonl").read_text(),
        "summary": (folder / "student/summary.json").read_text(),
    }
    stop_at(folder, "student", 0.4)
    then += [lambda: None, lambda: finish(folder, whole)]
    first = []
    index = follow_report(folder, 7, "a title", written=first.append)
    assert first == [index]
    assert [seconds for seconds, _ in pages] == [7, 7]
    assert [REFRESH.search(source)[1] for _, source in pages] == ["7", "7"]
    assert "written anew every 7 seconds" in pages[0][1].replace("\N{NO-BREAK SPACE}", " ")
    last = index.read_text(encoding="utf-8")
    assert not REFRESH.search(last) and 'id="progress"' not in last
    assert "a title" in last
    assert not (folder / "report/tables/latest-student.csv").exists(), "what the last page has not is removed"
    assert (folder / "report/tables/models.csv").exists()


def test_follower_of_a_finished_run_writes_one_page(make_run, seen):
    pages, _ = seen
    index = follow_report(make_run(seeds=(5,)), 7)
    assert pages == [] and not REFRESH.search(index.read_text(encoding="utf-8"))


def test_interrupted_follower_leaves_a_page_that_does_not_reload(make_run, stop_at, seen):
    pages, then = seen
    folder = stop_at(make_run(), "student", 0.4)

    def interrupt():
        raise KeyboardInterrupt

    then.append(interrupt)
    with pytest.raises(KeyboardInterrupt):
        follow_report(folder)
    assert REFRESH.search(pages[0][1])[1] == "30"
    assert not REFRESH.search((folder / "report/index.html").read_text(encoding="utf-8"))
    assert not list(folder.glob(".report*"))


def test_follower_waits_for_room_on_the_disk(make_run, stop_at, seen, monkeypatch, capsys):
    _, then = seen
    folder = stop_at(make_run(), "student", 0.4)
    whole = rendering._write

    def full(*_):
        raise OSError(28, "No space left on device")

    def interrupt():
        raise KeyboardInterrupt

    then += [lambda: monkeypatch.setattr(rendering, "_write", full)]
    monkeypatch.setattr(time, "sleep", lambda seconds: then.pop(0)())
    then += [lambda: monkeypatch.setattr(rendering, "_write", whole), interrupt]
    with pytest.raises(KeyboardInterrupt):
        follow_report(folder, 7)
    assert "cannot be written (No space left on device); the next page is tried in 7 s" in capsys.readouterr().err
    assert not list(folder.glob(".report*"))


def test_follower_of_nothing_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("there is nothing to wait for"))
    with pytest.raises(DataError, match="no such run folder"):
        follow_report(tmp_path / "nothing")


def test_page_is_there_and_whole_at_every_moment_of_its_replacement(make_run, stop_at):
    folder = stop_at(make_run(seeds=(5,)), "student", 0.4)
    index = build_report(folder)
    stop, looks, torn = threading.Event(), [], []

    def look():
        while not stop.is_set():
            source = index.read_text(encoding="utf-8")
            looks.append(source)
            if not source.rstrip().endswith("</html>"):
                torn.append(source)

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for refresh in (1, 2, 3):
            write_report(collect(folder), refresh=refresh)
    finally:
        stop.set()
        reader.join()
    assert looks and not torn
    assert REFRESH.search(index.read_text(encoding="utf-8"))[1] == "3"


def test_long_log_with_many_languages_is_read_without_keeping_all_its_shares(make_run, stop_at):
    folder = stop_at(make_run(), "student", 0.5)
    log = folder / "student/log.jsonl"
    record = json.loads(log.read_text().splitlines()[0])
    log.write_text("".join(json.dumps({**record, "step": step}) + "\n" for step in range(1, 2001)))
    with log.open("a") as stream:
        stream.write(json.dumps({**record, "step": 2001, "shares": {"de": 0.75, "en": 0.25}}) + "\n")
    training = collect(folder).trainings["student"]
    assert len(training.steps) == 2001
    assert training.shares == {"de": 0.75, "en": 0.25}
    assert not hasattr(training.steps[0], "shares")
