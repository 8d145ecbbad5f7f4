"""Processes that do one item after the other: whoever is killed, whatever an item raises."""

from pathlib import Path

import pytest

from crew_support import prepare, prepare_nothing
from unibert.crew import Crew
from unibert.errors import DataError, UniBertError


def crew(folder: Path, workers: int) -> Crew[int]:
    return Crew(workers, prepare, (folder,), lambda code: UniBertError(f"did not start: {code}"))


def written(folder: Path) -> dict[int, int]:
    return {int(path.name): int(path.read_text().split()[0]) for path in folder.iterdir()}


def test_every_item_is_done_and_told(tmp_path):
    begun, done, shown = [], [], []
    assert crew(tmp_path, 2).run([5, 0, 3, 1], done.append, shown.append, begun.append) == []
    assert written(tmp_path) == {5: 10, 0: 0, 3: 6, 1: 2}
    assert begun == [5, 0, 3, 1]
    assert sorted(done) == [0, 1, 3, 5]
    assert max(shown) <= 9


def test_killed_items_come_back_and_the_others_are_done(tmp_path):
    done = []
    assert crew(tmp_path, 2).run([1, -1, 2, -1, 3], done.append, lambda amount: None) == [-1, -1]
    assert written(tmp_path) == {1: 2, 2: 4, 3: 6}
    assert sorted(done) == [1, 2, 3]


def test_what_an_item_raises_is_raised_here_with_its_place(tmp_path):
    with pytest.raises(DataError, match="the item is wrong") as caught:
        crew(tmp_path, 1).run([1, -2, 2], lambda item: None, lambda amount: None)
    assert caught.value.fix == "Mend it."
    assert "in a worker process" in caught.value.__notes__[0]
    assert written(tmp_path) == {1: 2}
    with pytest.raises(RuntimeError, match="nobody knows this elsewhere"):
        crew(tmp_path, 1).run([-3], lambda item: None, lambda amount: None)


def test_processes_that_cannot_start_are_told():
    idle: Crew[int] = Crew(1, prepare_nothing, (), lambda code: UniBertError(f"did not start: {code}"))
    with pytest.raises(UniBertError, match="did not start: 7"):
        idle.run([1], lambda item: None, lambda amount: None)
