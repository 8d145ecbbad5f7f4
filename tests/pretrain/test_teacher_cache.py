"""The teacher's answers on disk: what is read is what was written, whoever wrote it, and damage costs only time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from teacher_cache_support import TOP, VOCABULARY, Teacher, answers, open_cache
from tests_support import World, make_settings
from unibert.errors import DataError
from unibert.files import read_json
from unibert.models.student import build_student
from unibert.pretrain import teacher_cache as module
from unibert.pretrain.family import Family
from unibert.pretrain.loop import pretrain
from unibert.pretrain.teacher_cache import (
    BLOCK_STEPS,
    TeacherCache,
    bytes_per_row,
    cache_identity,
    decode,
    encode,
    expected_bytes,
    sample_marks,
)
from unibert.pretrain.top_k import TopK, top_k
from unibert.recipe import Architecture, Pretrain
from unibert.recipe import TeacherCache as CacheSettings
from unibert.tokens.batches import Batches, MicroBatch
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


# --- what a row becomes on the disk ---


@settings(deadline=None)
@given(rows=st.integers(0, 5), k=st.integers(1, 9), scale=st.sampled_from([0.0, 1.0, 10.0, 60.0]), seed=st.integers(0))
def test_a_row_is_stored_to_within_its_bound(rows: int, k: int, scale: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed % 2**63)
    top = top_k(scale * torch.randn(rows, 9, generator=generator), k, 1.0)
    stored = encode(top)
    assert stored.shape == (rows, bytes_per_row(k))
    back = decode(stored)
    assert torch.equal(back.ids_MK, top.ids_MK)
    assert back.ids_MK.dtype == torch.int64
    p, q = top.probabilities_MK.double(), back.probabilities_MK.double()
    # A level is 1 / 65535 in sqrt(p); half of it by rounding, a whole one in rows that would sum to more than 1.
    assert ((p.sqrt() - q.sqrt()).abs() <= 1.01 / 65535).all()
    assert (q.sum(dim=1) <= 1 + 1e-6).all()


def test_ids_of_three_bytes_come_back(tmp_path: Path) -> None:
    top = TopK(torch.tensor([[2**24 - 1, 0, 119_546, 65_536]]), torch.tensor([[1.0, 0, 0, 0]]))
    back = decode(encode(top))
    assert torch.equal(back.ids_MK, top.ids_MK)
    assert torch.equal(back.probabilities_MK, top.probabilities_MK)
    with pytest.raises(DataError, match="too large"):
        open_cache(tmp_path, vocabulary_size=2**24 + 1)
    assert open_cache(tmp_path, top=64, vocabulary_size=30).top == 30


# --- reading what was written ---


def test_the_second_run_reads_what_the_first_one_learned_from(batches: Callable[..., Batches], tmp_path: Path) -> None:
    first, second = Teacher(), Teacher()
    with open_cache(tmp_path) as cache:
        written = answers(cache, batches(), range(5), first)
    assert first.asked == sum(len(batches().batch(step)) for step in range(5))
    with open_cache(tmp_path) as cache:
        # Other micro-batches of the same samples.
        assert answers(cache, batches(micro_batch_tokens=24), range(5), second) == written
    assert second.asked == 0
    probabilities = [row for _, rows in written.values() for row in rows]
    assert all(TOP / VOCABULARY < sum(row) <= 1 + 1e-6 for row in probabilities)


def test_a_shorter_prefix_is_used_and_extended(batches: Callable[..., Batches], tmp_path: Path) -> None:
    steps = BLOCK_STEPS + 7  # into the second block
    with open_cache(tmp_path) as cache:
        answers(cache, batches(), range(3), Teacher())
    teacher, alone = Teacher(), Teacher()
    with open_cache(tmp_path) as cache:
        extended = answers(cache, batches(), range(steps), teacher)
    with open_cache(tmp_path / "alone") as cache:
        assert answers(cache, batches(), range(steps), alone) == extended
    assert alone.asked - teacher.asked == sum(len(batches().batch(step)) for step in range(3))
    with open_cache(tmp_path) as cache:
        assert answers(cache, batches(), range(steps), Teacher()) == extended
        assert cache.read(steps, [0], [0]) is None


@pytest.mark.parametrize(("writers", "readers"), [(2, 1), (1, 2), (2, 3)])
def test_any_number_of_processes_reads_what_any_number_wrote(
    batches: Callable[..., Batches], tmp_path: Path, writers: int, readers: int
) -> None:
    written: dict[tuple[int, int], list[Any]] = {}
    caches = [open_cache(tmp_path) for _ in range(writers)]
    for rank, cache in enumerate(caches):
        with cache:
            written |= answers(cache, batches(rank, writers), range(4), Teacher())
    teacher, read = Teacher(), {}
    for rank in range(readers):
        with open_cache(tmp_path) as cache:
            read |= answers(cache, batches(rank, readers), range(4), teacher)
    assert read == written
    assert teacher.asked == 0
    assert len(read) == 4 * 8


def test_what_one_of_two_processes_left_out_is_asked_again(batches: Callable[..., Batches], tmp_path: Path) -> None:
    with open_cache(tmp_path) as cache:
        answers(cache, batches(0, 2), range(2), Teacher())
    teacher = Teacher()
    with open_cache(tmp_path) as cache:
        whole = answers(cache, batches(), range(2), teacher)
    assert teacher.asked > 0
    with open_cache(tmp_path) as cache:
        assert answers(cache, batches(), range(2), Teacher()) == whole


def test_what_is_flushed_can_be_read_at_once(batches: Callable[..., Batches], tmp_path: Path) -> None:
    teacher = Teacher()
    writer, reader = open_cache(tmp_path), open_cache(tmp_path)
    written = answers(writer, batches(), range(2), teacher)
    assert list(writer.folder.glob("*.top")) == []
    writer.flush()
    writer.flush()
    assert len(list(writer.folder.glob("*.top"))) == 1
    asked = teacher.asked
    assert answers(writer, batches(), range(2), teacher) == written
    assert answers(reader, batches(), range(2), teacher) == written
    assert teacher.asked == asked


def test_a_full_buffer_is_written(
    batches: Callable[..., Batches], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BUFFER", 1)
    with open_cache(tmp_path) as cache:
        written = answers(cache, batches(), range(2), Teacher())
    assert len(list(cache.folder.glob("*.top"))) == sum(len(batches().batch(step)) for step in range(2))
    teacher = Teacher()
    with open_cache(tmp_path) as cache:
        assert answers(cache, batches(), range(2), teacher) == written
    assert teacher.asked == 0


def test_samples_without_rows_are_no_special_case(tmp_path: Path) -> None:
    none, some = np.empty(0, dtype=np.int64), np.array([1, 2])
    ids = np.array([2, 7, 8, 9, 3])
    for chosen in ([none, some], [none, none]):
        batch = MicroBatch.of([ids, ids[:4]], chosen, chosen)
        teacher = Teacher()
        with open_cache(tmp_path) as cache:
            first = cache.answer(0, batch, teacher(batch))
        assert len(first) == len(batch.rows)
        with open_cache(tmp_path) as cache:
            again = cache.answer(0, batch, teacher(batch))
        assert teacher.asked == 1
        assert torch.equal(again.ids_MK, first.ids_MK)
        assert torch.equal(again.probabilities_MK, first.probabilities_MK)


# --- whose answers they are ---


def test_an_answer_belongs_to_the_very_tokens_asked(tmp_path: Path) -> None:
    """Same step, place and number of rows, but another piece or another place to predict."""
    ids, chosen = np.array([2, 7, 8, 9, 3]), np.array([1, 3])
    changed = ids.copy()
    changed[2] = 11
    batch = MicroBatch.of([ids], [chosen], [ids[chosen]])
    others = [
        MicroBatch.of([changed], [chosen], [ids[chosen]]),
        MicroBatch.of([ids], [np.array([1, 2])], [ids[[1, 2]]]),
    ]
    teacher = Teacher()
    with open_cache(tmp_path) as cache:
        cache.answer(4, batch, teacher(batch))
    for number, other in enumerate(others, 2):
        assert sample_marks(other) != sample_marks(batch)
        with open_cache(tmp_path) as cache:
            cache.answer(4, other, teacher(other))
        assert teacher.asked == number
    with open_cache(tmp_path) as cache:
        for batch_ in [batch, *others]:
            cache.answer(4, batch_, teacher(batch_))
    assert teacher.asked == 3


def test_a_mark_does_not_depend_on_the_neighbours() -> None:
    long, short = np.array([2, 7, 8, 9, 3]), np.array([2, 5, 3])
    one = MicroBatch.of([long, short], [np.array([1, 2]), np.array([1])], [long[1:3], short[1:2]])
    alone = [
        MicroBatch.of([ids], [places], [ids[places]])
        for ids, places in ((long, np.array([1, 2])), (short, np.array([1])))
    ]
    assert sample_marks(one) == [mark for batch in alone for mark in sample_marks(batch)]


def test_every_setting_that_draws_or_masks_has_a_folder_of_its_own(tmp_path: Path) -> None:
    def folder(settings: Pretrain, top: int = TOP, **changes: Any) -> Path:
        arguments: dict[str, Any] = {
            "seed": 1, "tokens": "aa", "teacher": "bb", "precision": "float32", **changes
        }  # fmt: skip
        identity = cache_identity(settings, **arguments)
        cache = TeacherCache(tmp_path, identity, top, VOCABULARY)
        assert {**read_json(cache.folder / "identity.json"), "top": 0, "schema": 0} == {
            **identity, "top": 0, "schema": 0
        }  # fmt: skip
        return cache.folder

    base = folder(make_settings())
    others = [
        folder(make_settings(batch_size=16)),
        folder(make_settings(context=16)),
        folder(make_settings(alpha=0.3)),
        folder(make_settings(masking={"share": 0.2})),
        folder(make_settings(distillation={"weight": 0, "temperature": 3})),
        folder(make_settings(), top=TOP + 1),
        folder(make_settings(), seed=2),
        folder(make_settings(), tokens="a"),
        folder(make_settings(), teacher="b"),
        folder(make_settings(), precision="bfloat16"),
    ]
    assert len({base, *others}) == 11
    same = [
        folder(make_settings(student="small")),
        folder(make_settings(students=["small", "xxsmall"])),
        folder(make_settings(steps=500)),
        folder(make_settings(distillation={"weight": 0.9}, adversary={"mode": "none", "weight": 0})),
        folder(make_settings(micro_batch_tokens=4096, save_every=1, compile="on")),
    ]
    assert set(same) == {base}


# --- a whole run ---


def test_students_that_read_equal_those_that_asked(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, alone and in a family."""
    special = SpecialIds.of(load_tokenizer(world.tokenizer))
    shape = Architecture(layers=1, hidden=24, heads=2, feed_forward=32, max_positions=32)
    build_student(shape, special.vocabulary_size, special.pad, seed=8).save_pretrained(tmp_path / "teacher")
    cache = CacheSettings(top=TOP, folder=str(tmp_path / "cache"))
    other = {"layers": 2, "hidden": 16, "heads": 2, "feed_forward": 24, "max_positions": 32}
    distillation = {"distillation": {"weight": 0.4, "temperature": 2}}
    asked = 0
    original = Family._most_probable

    def count(family: Family, batch: MicroBatch) -> TopK:
        nonlocal asked
        asked += 1
        return original(family, batch)

    monkeypatch.setattr(Family, "_most_probable", count)

    def train(name: str, **changes: Any) -> dict[str, torch.Tensor]:
        settings_ = make_settings(**{**distillation, **changes})
        pretrain(settings_, **world.arguments(tmp_path / name), teacher=tmp_path / "teacher", cache=cache)
        found = (tmp_path / name).rglob("model/model.safetensors")
        embeddings = "bert.embeddings.word_embeddings.weight"
        return {str(path.parent.parent.relative_to(tmp_path / name)): load_file(path)[embeddings] for path in found}

    first = train("first")
    assert asked == sum(len(batches) for batches in _work(world))
    asked = 0
    assert torch.equal(train("second")["."], first["."])
    family = train("family", students={"one": make_settings().student, "two": other})
    assert torch.equal(family["one"], first["."])
    assert asked == 0
    wider = train("wider", student=other)
    assert torch.equal(wider["."], family["two"])
    assert asked == 0
    # Another temperature is another teacher.
    train("hotter", distillation={"weight": 0.4, "temperature": 3})
    assert asked > 0


def _work(world: World) -> list[list[MicroBatch]]:
    batches = Batches(TokenStore(world.tokens), SpecialIds.of(load_tokenizer(world.tokenizer)), make_settings(), 3)
    return [batches.batch(step) for step in range(make_settings().steps)]


# --- the cost ---


def test_the_cost_is_what_was_said_it_would_be(world: World, batches: Callable[..., Batches], tmp_path: Path) -> None:
    steps = 100
    with open_cache(tmp_path) as cache:
        answers(cache, batches(), range(steps), Teacher())
    rows = sum(len(batch.rows) for step in range(steps) for batch in batches().batch(step))
    assert cache.bytes_on_disk() == 64 + 16 * 8 * steps + 5 * TOP * rows
    expected = expected_bytes(TokenStore(world.tokens), make_settings(steps=steps), TOP)
    assert cache.bytes_on_disk() == pytest.approx(expected, rel=0.1)
    assert bytes_per_row(64) == 320
