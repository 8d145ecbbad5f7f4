from pathlib import Path

import pytest

from unibert.errors import DataError
from unibert.files import atomic_file, atomic_folder, expand, fingerprint, read_json, sha256_of_file, write_json


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
