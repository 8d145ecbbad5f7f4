"""Tasks in processes of this machine: nothing is run twice without need, nothing is lost without a word."""

import os
import signal
import subprocess
import sys
import time

import pytest

from executor_support import Note
from tests_support import heed_interrupts
from unibert.corpus.executors import run_tasks
from unibert.errors import DataError
from unibert.recipe import Executor

LOCAL = Executor()


def run(tasks, folder, workers=2, settings=LOCAL):
    return run_tasks(tasks, settings, workers, folder / "logs", "notes")


@pytest.mark.parametrize("workers", [1, 3])
def test_every_task_runs_once_and_finished_ones_never(notes, tmp_path, workers):
    tasks = notes(5)
    tasks[3].path.write_text("there already")
    assert run(tasks, tmp_path, workers) == []
    assert [task.runs() for task in tasks] == [1, 1, 1, 0, 1]
    assert all(task.finished() for task in tasks)
    places = {task.path.read_text() for task in tasks} - {"there already"}
    assert (f"process {os.getpid()}" in places) == (workers == 1)
    run(tasks, tmp_path, workers)
    assert [task.runs() for task in tasks] == [1, 1, 1, 0, 1]


def test_a_mark_of_datatrove_does_not_stand_for_a_result(notes, tmp_path):
    tasks = notes(2)
    run(tasks, tmp_path, 1)
    assert list((tmp_path / "logs" / "completions").iterdir())
    tasks[0].path.unlink()
    run(tasks, tmp_path, 1)
    assert [task.runs() for task in tasks] == [2, 1]


def test_the_largest_task_is_begun_first(notes, tmp_path):
    tasks = notes(3, task2={"size": 1000}, task0={"size": 500})
    run(tasks, tmp_path, 1)
    began = {task.name: float((tmp_path / f"{task.name}.run.0").read_text().split()[1]) for task in tasks}
    assert sorted(began, key=began.get) == ["task2", "task0", "task1"]


@pytest.mark.parametrize("name", ["task0", "task4"])
def test_a_task_whose_process_is_killed_once_is_run_again(notes, tmp_path, name):
    tasks = notes(5, **{name: {"killed": 1}})
    assert run(tasks, tmp_path) == []
    assert all(task.finished() for task in tasks)
    assert [task.runs() for task in tasks] == [2 if task.name == name else 1 for task in tasks]


def test_a_task_that_always_kills_its_process_is_given_up_and_the_others_stand(notes, tmp_path):
    tasks = notes(5, task1={"killed": 9}, task3={"killed": 9}, task2={"killed": 1})
    assert {task.name for task in run(tasks, tmp_path)} == {"task1", "task3"}
    assert [task.runs() for task in tasks] == [1, 2, 2, 2, 1]
    assert [task.finished() for task in tasks] == [True, False, True, False, True]


@pytest.mark.timeout(60)
def test_a_process_that_is_killed_in_the_middle_of_telling_stops_nobody(notes, tmp_path):
    tasks = notes(3, task1={"killed": 1, "holding": True})
    assert run(tasks, tmp_path) == []
    assert [task.runs() for task in tasks] == [1, 2, 1]


def test_a_second_chance_has_the_machine_to_itself(notes, tmp_path):
    others = {f"task{n}": {"seconds": 0.5} for n in range(1, 4)}
    tasks = notes(4, task0={"killed": 1, "size": 99}, **others)
    run(tasks, tmp_path)
    again = float((tmp_path / "task0.run.1").read_text().split()[1])
    assert all(task.path.stat().st_mtime <= again for task in tasks[1:])


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("error", [DataError("bad", "mend it"), ValueError("odd")])
def test_an_exception_in_a_task_ends_the_run(notes, tmp_path, workers, error, capfd):
    tasks = notes(4, task0={"error": error, "size": 99}, task3={"seconds": 60.0, "size": 98} if workers == 2 else {})
    began = time.monotonic()
    with pytest.raises(type(error), match=str(error).splitlines()[0]) as caught:
        run(tasks, tmp_path, workers)
    assert time.monotonic() - began < 30  # the one that sleeps was not waited for
    assert getattr(caught.value, "fix", None) == getattr(error, "fix", None)
    assert not tasks[3].finished()
    assert "Traceback" not in capfd.readouterr().err
    assert "Traceback" in (tmp_path / "logs" / "logs" / "task_00000.log").read_text()


def test_the_terminal_stays_clean_and_the_log_tells(notes, tmp_path, capfd):
    for workers in (1, 2):
        run([Note(tmp_path, f"{workers}-{n}") for n in range(2)], tmp_path, workers)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    assert "task 2-0" in (tmp_path / "logs" / "logs" / "task_00000.log").read_text()


class Bar:
    """What a progress bar was told."""

    def __init__(self):
        self.n, self.seen = 0, []

    def update(self, n):
        self.n += n
        self.seen.append(self.n)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.mark.parametrize("workers", [1, 2])
def test_the_bar_ends_full_and_counts_a_killed_task_once(notes, tmp_path, monkeypatch, workers):
    bar = Bar()
    monkeypatch.setattr("unibert.corpus.executors.progress_bar", lambda *_, **__: bar)
    tasks = notes(4, **({"task2": {"killed": 1}} if workers == 2 else {}))
    tasks[0].path.write_text("")
    run(tasks, tmp_path, workers)
    assert bar.seen[0] == 10
    assert bar.n == 40
    assert max(bar.seen) <= 40


SCRIPT = """
import sys
from pathlib import Path
from executor_support import Note
from unibert.corpus.executors import run_tasks
from unibert.recipe import Executor

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    tasks = [Note(folder, f"task{n}", seconds=0.1 if n < 2 else 60) for n in range(6)]
    run_tasks(tasks, Executor(), 2, folder / "logs", "notes")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_command(notes, tmp_path, number):
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py"), str(tmp_path)],
        env=environment,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=heed_interrupts,
    )
    while len(list(tmp_path.glob("*.run.0"))) < 4:
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, number)
    process.communicate(timeout=30)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    else:
        pytest.fail("a worker is still there")
    tasks = notes(6)
    assert [task.finished() for task in tasks] == [True, True, False, False, False, False]
    run(tasks, tmp_path)
    assert [task.runs() for task in tasks] == [1, 1, 2, 2, 1, 1]


def test_workers_that_cannot_start_are_told(notes, tmp_path):
    """A script without `if __name__ == "__main__":` starts itself again in each worker."""
    bare = SCRIPT.replace('if __name__ == "__main__":', "if True:")
    (tmp_path / "script.py").write_text(bare)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    out = subprocess.run(
        [sys.executable, str(tmp_path / "script.py"), str(tmp_path)], env=environment, capture_output=True, text=True
    )
    assert out.returncode != 0
    assert "could not be started (exit code 1)" in out.stderr


def test_the_command_line_starts_without_datatrove():
    script = "import sys, unibert.cli, unibert.stages, unibert.corpus.pipeline; sys.exit('datatrove' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
