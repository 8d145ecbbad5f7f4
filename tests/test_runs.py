import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from unibert.errors import DataError, RunMismatch, UniBertError
from unibert.files import read_json
from unibert.runs import claim, differences, open_run, run_lock, shared_work

fcntl = pytest.importorskip("fcntl")


def test_the_same_run_is_recognised_and_another_is_refused_with_the_difference(tmp_path: Path) -> None:
    identity = {"settings": {"steps": 10, "adversary": {"mode": "none"}}, "seed": 1}
    mark = open_run(tmp_path, "pretrain", identity, {"name": "x"})
    (tmp_path / "log.jsonl").touch()
    assert open_run(tmp_path, "pretrain", identity, {}) == mark
    other = {"settings": {"steps": 10, "adversary": {"mode": "confusion"}}, "seed": 1}
    with pytest.raises(RunMismatch, match=r"settings\.adversary\.mode: none -> confusion"):
        open_run(tmp_path, "pretrain", other, {})


def test_a_run_of_which_nothing_came_gives_way_to_the_corrected_one(tmp_path: Path) -> None:
    """Settings that turn out not to work are refused after the folder was claimed."""
    with run_lock(tmp_path):
        open_run(tmp_path, "pretrain", {"heads": 5}, {})
    with run_lock(tmp_path):
        mark = open_run(tmp_path, "pretrain", {"heads": 4}, {})
    assert read_json(tmp_path / "run.json")["identity"] == {"heads": 4}
    (tmp_path / "checkpoints").mkdir()
    assert open_run(tmp_path, "pretrain", {"heads": 4}, {}) == mark
    with pytest.raises(RunMismatch, match="heads: 4 -> 5"):
        open_run(tmp_path, "pretrain", {"heads": 5}, {})


def test_a_full_disk_is_told_by_the_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("unibert.runs.write_json", full)
    with pytest.raises(DataError, match=r"run\.json: cannot be written"):
        open_run(tmp_path, "pretrain", {}, {})


def test_a_run_says_with_what_it_was_made(tmp_path: Path) -> None:
    open_run(tmp_path, "corpus", {"a": 1}, {"name": "x"})
    saved = read_json(tmp_path / "run.json")
    assert saved["recipe"] == {"name": "x"}
    assert saved["versions"]["unibert"]
    assert saved["hardware"]["cores"] >= 1


def test_a_foreign_run_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(DataError, match="not a run file"):
        open_run(tmp_path, "corpus", {}, {})


def test_differences_name_every_leaf() -> None:
    assert list(differences({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "d": 4})) == [
        "a.b: 1 -> 3",
        "c: 2 -> (none)",
        "d: (none) -> 4",
    ]


@contextmanager
def other_process_in(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until it is killed or the block ends."""
    script = """
import sys
from pathlib import Path
from unibert.runs import run_lock
with run_lock(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""
    command = [sys.executable, "-c", script, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield process
        process.communicate("")


def test_a_second_process_is_refused_and_told_which_is_the_first(tmp_path: Path) -> None:
    with other_process_in(tmp_path / "run") as other:
        for _ in range(2):  # being refused takes nothing from the first
            says = f"process {other.pid} on {socket.gethostname()} is at work here"
            with pytest.raises(UniBertError, match=says), run_lock(tmp_path / "run"):
                pass
    with run_lock(tmp_path / "run"):
        pass


def test_a_lock_is_gone_with_its_process(tmp_path: Path) -> None:
    with other_process_in(tmp_path) as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
        with run_lock(tmp_path):
            assert (tmp_path / ".lock").read_text() == f"process {os.getpid()} on {socket.gethostname()}"
        assert (tmp_path / ".lock").read_text() == ""


@pytest.mark.parametrize("reason", [ValueError, KeyboardInterrupt])
def test_a_lock_is_gone_with_its_block(tmp_path: Path, reason: type[BaseException]) -> None:
    with pytest.raises(reason), run_lock(tmp_path):
        raise reason
    with other_process_in(tmp_path):
        pass


def test_a_lock_makes_the_folder_and_clears_up_after_killed_writers(tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints" / ".step-000000004.k3j_x9ab.tmp").mkdir(parents=True)
    (tmp_path / "run" / ".summary.json.k3j_x9ab.tmp").write_text("{")
    with run_lock(tmp_path / "run"):
        assert sorted(path.name for path in (tmp_path / "run").rglob("*")) == [".lock", "checkpoints"]
    with run_lock(tmp_path / "new" / "run"):
        assert (tmp_path / "new" / "run").is_dir()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_told_and_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    scratch = tmp_path / ".step-000000004.k3j_x9ab.tmp"
    scratch.mkdir()
    monkeypatch.setattr(fcntl, "flock", refuse)
    with run_lock(tmp_path):
        assert scratch.exists()  # another process may be writing it
    told = capsys.readouterr().err
    assert told.count("cannot be locked") == 1
    assert os.strerror(number) in told


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_folder_that_cannot_be_written_can_still_be_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    entered = False
    with run_lock(tmp_path):
        entered = True
    assert entered


def test_a_full_disk_is_told_by_the_lock_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(DataError, match="No space left"), run_lock(tmp_path):
        pass


def test_a_claim_is_one_processes_and_gone_with_it(tmp_path: Path) -> None:
    path = tmp_path / "claims" / "a.lock"
    with claim(path) as first:
        assert first
        assert path.read_text() == f"process {os.getpid()} on {socket.gethostname()}"
        with claim(path) as second:
            assert not second
        assert path.read_text() != "", "who was refused has wiped out whose it is"
        with claim(tmp_path / "claims" / "b.lock") as other:
            assert other
    assert path.read_text() == ""
    with pytest.raises(ValueError, match="odd"), claim(path):
        raise ValueError("odd")
    with claim(path) as again:
        assert again


def test_without_locks_everybody_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with claim(tmp_path / "a.lock") as first, claim(tmp_path / "a.lock") as second:
        assert first and second
    assert "cannot be locked (No locks available)" in capsys.readouterr().err
    leftover = tmp_path / ".x.json.abcdefgh.tmp"
    leftover.touch()
    with shared_work(tmp_path):
        assert leftover.exists(), "somebody may be writing it"


def test_leftovers_are_removed_by_who_is_alone(tmp_path: Path) -> None:
    leftover = tmp_path / "results" / ".x.json.abcdefgh.tmp"
    leftover.parent.mkdir()
    with shared_work(tmp_path):
        leftover.touch()
        with shared_work(tmp_path):
            assert leftover.exists()
    with shared_work(tmp_path):
        assert not leftover.exists()
