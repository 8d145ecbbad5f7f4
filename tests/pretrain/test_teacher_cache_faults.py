"""A cache that is damaged, killed or out of room costs time, never the run."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from teacher_cache_support import IDENTITY, TOP, VOCABULARY, Teacher, answers, open_cache
from tests_support import World, make_settings
from unibert.errors import DataError
from unibert.files import read_json
from unibert.pretrain import teacher_cache as module
from unibert.pretrain.top_k import top_k
from unibert.tokens.batches import Batches
from unibert.tokens.store import TokenStore
from unibert.tokens.vocabulary import SpecialIds, load_tokenizer


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine that runs the tests may have less room than a cache leaves free."""
    monkeypatch.setattr(module, "_RESERVE", 0)


@pytest.fixture
def batches(world: World) -> Callable[..., Batches]:
    def make(rank: int = 0, size: int = 1, **changes: Any) -> Batches:
        special = SpecialIds.of(load_tokenizer(world.tokenizer))
        return Batches(TokenStore(world.tokens), special, make_settings(**changes), 3, rank, size)

    return make


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "cut":
        del content[-1:]
    elif how == "empty":
        content.clear()
    else:
        content[{"header": 9, "checksum": 30, "entries": 70, "rows": len(content) - 1}[how]] ^= 0x10
    path.unlink()
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["cut", "empty", "header", "checksum", "entries", "rows"])
def test_a_damaged_file_is_dropped_and_built_again(batches: Callable[..., Batches], tmp_path: Path, how: str) -> None:
    told: list[str] = []
    with open_cache(tmp_path) as cache:
        written = answers(cache, batches(), range(3), Teacher())
    (path,) = cache.folder.glob("*.top")
    damage(path, how)
    teacher = Teacher()
    with open_cache(tmp_path, tell=told.append) as cache:
        assert answers(cache, batches(), range(3), teacher) == written
    assert teacher.asked > 0
    assert len(told) == 1
    assert str(path) in told[0]
    assert "damaged" in told[0]
    with open_cache(tmp_path, tell=told.append) as cache:
        assert answers(cache, batches(), range(3), teacher := Teacher()) == written
    assert teacher.asked == 0
    assert len(told) == 1


def test_a_lost_identity_is_written_again(batches: Callable[..., Batches], tmp_path: Path) -> None:
    with open_cache(tmp_path) as cache:
        answers(cache, batches(), range(1), Teacher())
    (cache.folder / "identity.json").write_text("{")
    teacher = Teacher()
    with open_cache(tmp_path) as cache:
        answers(cache, batches(), range(1), teacher)
    assert teacher.asked == 0
    assert read_json(cache.folder / "identity.json") == {**IDENTITY, "top": TOP, "schema": 1}


def test_what_is_not_a_number_is_never_written(batches: Callable[..., Batches], tmp_path: Path) -> None:
    batch = batches().batch(0)[0]
    with pytest.raises(DataError, match="not a number at step 7"), open_cache(tmp_path) as cache:
        cache.answer(7, batch, lambda: top_k(torch.full((len(batch.rows), VOCABULARY), torch.nan), TOP, 2.0))
    assert list(cache.folder.glob("*.top")) == []


def test_too_few_pieces_are_a_mistake(batches: Callable[..., Batches], tmp_path: Path) -> None:
    batch = batches().batch(0)[0]
    with pytest.raises(ValueError, match="rows of 8 pieces"), open_cache(tmp_path) as cache:
        cache.answer(0, batch, lambda: top_k(torch.zeros(len(batch.rows), VOCABULARY), TOP - 1, 2.0))


def test_a_folder_that_cannot_be_made_is_told_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot be made") as caught:
        open_cache(tmp_path / "file")
    assert "teacher.cache.folder" in caught.value.fix


@pytest.mark.parametrize("trouble", ["full", "nearly full", "read-only"])
def test_training_goes_on_where_the_disk_cannot_be_written(
    batches: Callable[..., Batches], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    told: list[str] = []
    with open_cache(tmp_path) as cache:
        written = answers(cache, batches(), range(2), Teacher())
    before = sorted(cache.folder.iterdir())

    def fail(*_: Any) -> Any:
        number = errno.ENOSPC if trouble == "full" else errno.EROFS
        raise OSError(number, os.strerror(number))

    if trouble == "nearly full":
        monkeypatch.setattr(module, "_RESERVE", 1 << 62)
    else:
        monkeypatch.setattr(module, "atomic_file", fail)
    monkeypatch.setattr(module, "BLOCK_STEPS", 3)
    teacher = Teacher()
    with open_cache(tmp_path, tell=told.append) as cache:
        for _ in range(2):
            found = answers(cache, batches(), range(9), teacher)
    assert {key: found[key] for key in written} == written
    assert len(told) == 1
    assert "not written any more" in told[0]
    assert {"full": "No space left", "nearly full": "checkpoints", "read-only": "Read-only"}[trouble] in told[0]
    assert sorted(cache.folder.iterdir()) == before


SCRIPT = """
import sys
from pathlib import Path
import numpy as np, torch
from unibert.pretrain import teacher_cache
from unibert.pretrain.teacher_cache import TeacherCache
from unibert.pretrain.top_k import top_k
from unibert.tokens.batches import MicroBatch

teacher_cache._RESERVE = 0
if int(sys.argv[2]):
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
cache = TeacherCache(Path(sys.argv[1]), {"seed": 3}, 8, 100)
print("ready", flush=True)
for step in range(int(sys.argv[3])):
    ids = np.array([2, *np.random.default_rng(step).integers(5, 90, 400), 3])
    chosen = np.arange(1, 401)
    batch = MicroBatch.of([ids], [chosen], [ids[chosen]])
    logits = torch.randn(400, 100, generator=torch.Generator().manual_seed(step))
    top = cache.answer(step, batch, lambda: top_k(logits, 8, 1.0))
    assert torch.equal(top.ids_MK, top_k(logits, 8, 1.0).ids_MK)
    cache.flush()
print("done", flush=True)
"""


def run(folder: Path, limit: int, steps: int) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, str(folder), str(limit), str(steps)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_killed_writer_leaves_no_damage(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for _ in range(2):
        process = run(tmp_path, 0, 1_000_000)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1 + 0.3 * generator.random())
        process.send_signal(signal.SIGKILL)
        process.communicate()
    folder = open_cache(tmp_path).folder
    assert len(list(folder.glob("*.top"))) > 2
    out, errors = run(tmp_path, 0, 5).communicate()
    assert out.split() == ["ready", "done"], errors
    assert errors == ""
    # What it was writing goes when it is old enough that nobody can still be writing it.
    scratch = folder / ".000000000-0123456789abcdef.top.abcdefgh.tmp"
    scratch.write_bytes(b"half")
    open_cache(tmp_path)
    assert scratch.exists()
    os.utime(scratch, (time.time() - 7200,) * 2)
    open_cache(tmp_path)
    assert not scratch.exists()


def test_files_that_may_not_grow_stop_the_cache_and_not_the_run(tmp_path: Path) -> None:
    """The system's own error: a limit on the size of files, below one step's 400 rows of 40 bytes."""
    out, errors = run(tmp_path, 10_000, 5).communicate()
    assert out.split() == ["ready", "done"], errors
    assert errors.count("not written any more") == 1
    assert [path.name for path in open_cache(tmp_path).folder.iterdir()] == ["identity.json"]


def test_two_runs_may_write_at_the_same_time(tmp_path: Path) -> None:
    processes = [run(tmp_path, 0, 40) for _ in range(2)]
    for process in processes:
        out, errors = process.communicate()
        assert out.split() == ["ready", "done"], errors
        assert errors == ""
    folder = open_cache(tmp_path).folder
    assert len(list(folder.glob("*.top"))) == 40
    assert list(folder.glob(".*")) == []
