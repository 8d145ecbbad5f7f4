from pathlib import Path

import pytest

from unibert.errors import DataError, RunMismatch
from unibert.files import read_json
from unibert.runs import differences, open_run


def test_the_same_run_is_recognised_and_another_is_refused_with_the_difference(tmp_path: Path) -> None:
    identity = {"settings": {"steps": 10, "adversary": {"mode": "none"}}, "seed": 1}
    mark = open_run(tmp_path, "pretrain", identity, {"name": "x"})
    assert open_run(tmp_path, "pretrain", identity, {}) == mark
    other = {"settings": {"steps": 10, "adversary": {"mode": "confusion"}}, "seed": 1}
    with pytest.raises(RunMismatch, match=r"settings\.adversary\.mode: none -> confusion"):
        open_run(tmp_path, "pretrain", other, {})


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
