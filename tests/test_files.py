import errno
import os
from pathlib import Path

import pytest

from unibert.errors import DataError
from unibert.files import (
    atomic_file,
    atomic_folder,
    expand,
    fingerprint,
    read_json,
    remove_folder,
    remove_leftovers,
    sha256_of_file,
    telling_of_full_disk,
    write_json,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("reason", [ValueError, KeyboardInterrupt])
def test_a_file_that_was_cut_off_leaves_the_old_one_and_nothing_else(
    tmp_path: Path, reason: type[BaseException]
) -> None:
    target = tmp_path / "result.json"
    write_json(target, {"whole": True})
    with pytest.raises(reason), atomic_file(target) as stream:
        stream.write("half")
        raise reason
    assert read_json(target) == {"whole": True}
    assert names(tmp_path) == ["result.json"]


@pytest.mark.skipif(os.name != "posix", reason="needs a umask")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_who_may_read_results_is_for_the_umask_to_say(tmp_path: Path, umask: int, mode: int) -> None:
    """Not for the library that wrote: a model whose weights are private is of no use to others on the machine."""
    before = os.umask(umask)
    try:
        with atomic_folder(tmp_path / "model") as scratch:
            (scratch / "weights").touch(mode=0o600)
        write_json(tmp_path / "summary.json", {})
    finally:
        os.umask(before)
    for name in ("model/weights", "summary.json"):
        assert (tmp_path / name).stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("reason", [ValueError, KeyboardInterrupt])
def test_a_folder_that_was_cut_off_leaves_the_old_one_and_nothing_else(
    tmp_path: Path, reason: type[BaseException]
) -> None:
    target = tmp_path / "model"
    with atomic_folder(target) as scratch:
        (scratch / "a").write_text("whole")
    with pytest.raises(reason), atomic_folder(target) as scratch:
        (scratch / "a").write_text("half")
        raise reason
    assert (target / "a").read_text() == "whole"
    assert names(tmp_path) == ["model"]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "model"
    for content in ("one", "two"):
        with atomic_folder(target) as scratch:
            (scratch / content).write_text(content)
    assert names(target) == ["two"]
    assert names(tmp_path) == ["model"]


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "model"
    with atomic_folder(target) as scratch:
        (scratch / "a").write_text("whole")
    rename = os.replace

    def fail(source: Path, place: Path) -> None:
        if Path(source).name.endswith(".tmp"):
            raise OSError(errno.EIO, "Input/output error")
        rename(source, place)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="Input/output"), atomic_folder(target) as scratch:
        (scratch / "a").write_text("other")
    assert (target / "a").read_text() == "whole"
    assert names(tmp_path) == ["model"]


@pytest.fixture
def disk_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is flushed to the disk and renamed, by name, in order; scratch names are called `scratch`."""
    calls: list[tuple[str, str]] = []
    flush, rename = os.fsync, os.replace

    def called(path: object) -> str:
        name = Path(str(path)).name
        return "scratch" if name.startswith(".") else name

    def fsync(descriptor: int) -> None:
        calls.append(("flush", called(os.readlink(f"/proc/self/fd/{descriptor}"))))
        flush(descriptor)

    def replace(source: Path, target: Path) -> None:
        calls.append((called(source), called(target)))
        rename(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    return calls


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks up which file a descriptor is of")


@needs_proc
def test_after_a_power_cut_a_file_is_there_or_not(tmp_path: Path, disk_calls: list[tuple[str, str]]) -> None:
    """It is on the disk before it gets its name, and the name before the block ends; so are the folders above it."""
    write_json(tmp_path / "run" / "deep" / "result.json", {})
    assert disk_calls == [
        ("flush", "run"),
        ("flush", tmp_path.name),
        ("flush", "scratch"),
        ("scratch", "result.json"),
        ("flush", "deep"),
    ]


@needs_proc
def test_after_a_power_cut_a_folder_is_whole_or_not_there(tmp_path: Path, disk_calls: list[tuple[str, str]]) -> None:
    for content in ("one", "two"):
        with atomic_folder(tmp_path / "model") as scratch:
            (scratch / "below").mkdir()
            (scratch / "below" / content).write_text(content)
    once = [("flush", "below"), ("flush", "scratch"), ("scratch", "model"), ("flush", tmp_path.name)]
    assert [call for call in disk_calls[:5] if call != ("flush", "one")] == once
    again = disk_calls[5:]
    # What stood there is removed only when the new one is there for good.
    assert again.index(("model", "model")) < again.index(("scratch", "model")) < again.index(("flush", tmp_path.name))
    assert again.index(("flush", "two")) < again.index(("scratch", "model"))


def test_a_file_system_that_flushes_no_folders_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flush = os.fsync

    def fsync(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").is_dir():
            raise OSError(errno.EINVAL, "Invalid argument")
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_json(tmp_path / "new" / "result.json", {"whole": True})
    assert read_json(tmp_path / "new" / "result.json") == {"whole": True}


def test_what_killed_writers_left_is_removed_and_what_they_were_replacing_is_put_back(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (run / ".log.jsonl.k3j_x9ab.tmp").write_text("half")
    (run / "checkpoints" / ".step-000000008.k3j_x9ab.tmp").mkdir()
    (run / ".model.k3j_x9ab.old" / "model").mkdir(parents=True)
    (run / ".model.k3j_x9ab.old" / "model" / "config.json").write_text("{}")
    (run / ".checkpoints.k3j_x9ab.old" / "checkpoints").mkdir(parents=True)
    remove_leftovers(run)
    assert names(run) == [".lock", ".my.notes.tmp", "checkpoints", "model"]
    assert names(run / "checkpoints") == ["step-000000004"]
    assert names(run / "model") == ["config.json"]
    remove_leftovers(tmp_path / "nothing there")


def make_run(folder: Path) -> Path:
    run = folder / "run"
    (run / "checkpoints" / "step-000000004").mkdir(parents=True)
    (run / ".lock").write_text("")
    (run / ".my.notes.tmp").write_text("not ours")
    return run


def test_the_names_of_half_written_things_are_recognised(tmp_path: Path) -> None:
    writers = [atomic_file(tmp_path / "a.json"), atomic_folder(tmp_path / "b")]
    for writer in writers:
        writer.__enter__()
    assert len(names(tmp_path)) == 2
    remove_leftovers(tmp_path)
    assert names(tmp_path) == []
    for writer in writers:
        assert not writer.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)


def test_a_folder_whose_removal_is_cut_off_is_gone_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "step-000000004"
    (folder / "below").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shutil.rmtree", lambda *_, **__: None)  # killed before it
        remove_folder(folder)
    assert not folder.exists()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("Error while serializing: I/O error: File too large (os error 27)"),
    ],
)
def test_a_full_disk_is_told_whoever_wrote(tmp_path: Path, error: Exception) -> None:
    with (
        pytest.raises(DataError, match=r"model: cannot be written") as raised,
        telling_of_full_disk(tmp_path / "model"),
    ):
        raise error
    assert "Make room" in raised.value.fix


def test_a_full_disk_is_told_when_it_is_only_the_cause(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No space left"), telling_of_full_disk(tmp_path / "model"):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        finally:
            raise RuntimeError("unexpected pos 704 vs 598")


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), ValueError("os error 280")])
def test_other_errors_are_not_told_as_a_full_disk(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)), telling_of_full_disk(tmp_path / "model"):
        raise error


@pytest.mark.parametrize("content", [b"{", b"\xff", b""])
def test_damaged_json_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.json: not valid JSON"):
        read_json(path)


def test_fingerprints_depend_on_content_and_not_on_order() -> None:
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def test_sha256_is_the_standard_one(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_of_file(tmp_path / "abc").startswith("ba7816bf8f01cfea")


def test_files_folders_and_globs_are_expanded_once_each(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", ".hidden"):
        (tmp_path / name).write_text("x")
    found = expand([tmp_path, str(tmp_path / "*.txt"), tmp_path / "a.txt"], "text")
    assert [path.name for path in found] == ["a.txt", "b.txt"]


def test_a_pattern_without_files_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such dump"):
        expand([tmp_path / "*.bz2"], "dump")
