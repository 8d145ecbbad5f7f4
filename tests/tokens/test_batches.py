import itertools
import threading

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unibert.errors import DataError, RecipeError
from unibert.recipe import Pretrain
from unibert.tokens.batches import Batches, MicroBatch, cut, held_out_batches, prefetch
from unibert.tokens.store import HELD_OUT, TRAIN, TokenStore
from unibert.tokens.vocabulary import SpecialIds


@pytest.fixture(scope="module")
def store(store_folder):
    return TokenStore(store_folder)


def make_settings(batch_size: int = 12, context: int = 24, micro_batch_tokens: int = 60) -> Pretrain:
    return Pretrain(
        batch_size=batch_size, context=context, micro_batch_tokens=micro_batch_tokens, distillation={"weight": 0}
    )


def rows_of(batches: list[MicroBatch]) -> dict[int, tuple]:
    """By position in the whole batch: (language, index, ids as masked, {place: label})."""
    result = {}
    for batch in batches:
        labels = dict(zip(batch.rows.tolist(), batch.labels.tolist(), strict=True))
        starts = np.cumsum([0, *batch.lengths]).tolist()
        for row, position in enumerate(batch.positions):
            start, stop = starts[row], starts[row + 1]
            ids = batch.input_ids[start:stop].tolist()
            mine = {place - start: label for place, label in labels.items() if start <= place < stop}
            assert len(mine) == batch.rows_per_sample[row]
            assert position not in result
            result[position] = (*batch.samples[row], int(batch.languages[row]), ids, mine)
    return result


STEPS = st.integers(0, 10**6)
SHAPES = st.builds(make_settings, st.integers(1, 40), st.integers(8, 70), st.integers(1, 400))


@given(step=STEPS, shape=SHAPES)
def test_every_token_of_every_sample_is_there_once(store, special, step, shape):
    batches = Batches(store, special, shape, seed=1)
    found = rows_of(batches.batch(step))
    assert sorted(found) == list(range(shape.batch_size))
    drawn = zip(*(part.tolist() for part in batches.mixture.draw(step, shape.batch_size)), strict=True)
    for position, (number, index) in enumerate(drawn):
        language, sample, tensor_number, ids, labels = found[position]
        assert (language, sample, tensor_number) == (store.languages[number], index, number)
        original = store.sample(language, TRAIN, index)[: shape.context - 2].tolist()
        assert (ids[0], ids[-1], len(ids)) == (special.cls, special.sep, len(original) + 2)
        unmasked = [labels.get(place, piece) for place, piece in enumerate(ids)][1:-1]
        assert unmasked == original
        assert labels or set(original) <= set(special.all)
        assert not set(labels.values()) & set(special.all)


@given(step=STEPS, shape=SHAPES)
def test_micro_batches_are_packed(store, special, step, shape):
    batches = Batches(store, special, shape, seed=1).batch(step)
    lengths = []
    for batch in batches:
        assert len(batch.lengths) == 1 or batch.tokens <= shape.micro_batch_tokens
        assert max(batch.lengths) <= shape.context
        assert batch.tokens == sum(batch.lengths) == len(batch.input_ids)
        assert not (batch.input_ids == special.pad).any()
        for tensor in (batch.input_ids, batch.rows, batch.labels, batch.languages):
            assert tensor.dtype == torch.int64
        assert (batch.rows.diff() > 0).all()
        assert batch.input_ids[batch.rows].shape == batch.labels.shape
        assert batch.offsets.tolist() == np.cumsum([0, *batch.lengths]).tolist()
        for number, length in enumerate(batch.lengths):
            start = int(batch.offsets[number])
            assert batch.position_ids[start : start + length].tolist() == list(range(length))
            assert (batch.sample_of[start : start + length] == number).all()
        lengths += batch.lengths
    assert lengths == sorted(lengths, reverse=True)


@given(step=STEPS, world_size=st.integers(1, 12), micro_batch_tokens=st.integers(1, 400))
def test_the_union_over_processes_does_not_depend_on_their_number(store, special, step, world_size, micro_batch_tokens):
    whole = rows_of(Batches(store, special, make_settings(), seed=4).batch(step))
    shape = make_settings(micro_batch_tokens=micro_batch_tokens)
    parts = [rows_of(Batches(store, special, shape, 4, rank, world_size).batch(step)) for rank in range(world_size)]
    for one, other in itertools.combinations(parts, 2):
        assert not one.keys() & other.keys()
    assert {position: row for part in parts for position, row in part.items()} == whole


def test_seed_and_step_change_draws_and_masks(store, special):
    shape = make_settings()
    first = rows_of(Batches(store, special, shape, seed=1).batch(5))
    assert first == rows_of(Batches(store, special, shape, seed=1).batch(5))
    assert first != rows_of(Batches(store, special, shape, seed=2).batch(5))
    assert first != rows_of(Batches(store, special, shape, seed=1).batch(6))


def test_the_same_sample_gets_other_masks_at_another_step_or_place(store_writer, tmp_path, special):
    store = TokenStore(store_writer(tmp_path, {"de": {TRAIN: [list(range(5, 45))]}}))
    batches = Batches(store, special, make_settings(batch_size=2, context=50), seed=1)
    masks = {tuple(row[4]) for step in range(10) for row in rows_of(batches.batch(step)).values()}
    assert len(masks) == 20


def test_languages_of_a_step(store, special):
    one = Batches(store, special, make_settings(), seed=1, rank=0, world_size=2)
    other = Batches(store, special, make_settings(), seed=1, rank=1, world_size=2)
    for step in range(5):
        counted = np.zeros(3, dtype=int)
        for batch in one.batch(step) + other.batch(step):
            counted += np.bincount(batch.languages.numpy(), minlength=3)
        assert (counted == one.languages_of(step)).all()
        assert counted.sum() == 12


def test_realised_shares_are_those_of_the_mixture(store, special):
    batches = Batches(store, special, make_settings(batch_size=7), seed=1)
    total = sum(batches.languages_of(step) for step in range(batches.mixture.epoch_size))  # seven whole epochs
    assert (total == 7 * batches.mixture.quotas).all()


def test_held_out_batches_are_complete_and_always_the_same(store, special):
    shape = make_settings()
    found = held_out_batches(store, special, shape, seed=1)
    assert list(found) == ["de", "en"]  # sw has none
    for language, batches in found.items():
        rows = rows_of(batches)
        assert [row[1] for _, row in sorted(rows.items())] == list(range(store.samples(language, HELD_OUT)))
        for name, index, number, ids, labels in rows.values():
            assert (name, number) == (language, store.languages.index(language))
            unmasked = [labels.get(place, piece) for place, piece in enumerate(ids)][1:-1]
            assert unmasked == store.sample(language, HELD_OUT, index)[: shape.context - 2].tolist()
    again = held_out_batches(store, special, make_settings(micro_batch_tokens=33, batch_size=3), seed=1)
    assert {name: rows_of(part) for name, part in again.items()} == {name: rows_of(p) for name, p in found.items()}
    other = held_out_batches(store, special, shape, seed=2)
    assert rows_of(other["de"]) != rows_of(found["de"])


def test_held_out_masks_do_not_depend_on_the_other_languages(store_writer, tmp_path, special):
    ids = [list(range(5, 40))]
    alone = TokenStore(store_writer(tmp_path / "a", {"sw": {TRAIN: ids, HELD_OUT: ids}}))
    both = TokenStore(store_writer(tmp_path / "b", {"de": {TRAIN: ids}, "sw": {TRAIN: ids, HELD_OUT: ids}}))
    first, second = (held_out_batches(store, special, make_settings(), 1)["sw"] for store in (alone, both))
    assert first[0].rows.tolist() == second[0].rows.tolist()


def test_a_sample_of_unknown_pieces_has_nothing_to_predict(store_writer, tmp_path, special):
    store = TokenStore(store_writer(tmp_path, {"dv": {TRAIN: [[1, 1, 1]]}}))
    (batch,) = Batches(store, special, make_settings(batch_size=2), seed=1).batch(0)
    assert batch.rows.shape == batch.labels.shape == (0,)
    assert batch.input_ids.tolist() == [2, 1, 1, 1, 3] * 2
    assert batch.rows_per_sample == [0, 0]


def test_too_many_processes(store, special):
    with pytest.raises(RecipeError, match="batch_size is 4, too few for 5 processes"):
        Batches(store, special, make_settings(batch_size=4), 1, 0, 5)
    with pytest.raises(ValueError, match="rank 2"):
        Batches(store, special, make_settings(), 1, 2, 2)


def test_another_vocabulary_size(store):
    with pytest.raises(DataError, match="vocabulary of 50 pieces, but this tokenizer has 60"):
        Batches(store, SpecialIds(0, 1, 2, 3, 4, 60), make_settings(), 1)


def test_nothing_to_train_on(store_writer, tmp_path, special):
    store = TokenStore(store_writer(tmp_path, {"de": {HELD_OUT: [[5]]}}))
    with pytest.raises(DataError, match="no training samples"):
        Batches(store, special, make_settings(), 1)


def test_samples_are_packed_longest_first():
    with pytest.raises(ValueError, match="longest first"):
        MicroBatch.of([torch.ones(2), torch.ones(3)])


# ---- cutting


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(3, 40), min_size=1, max_size=40), st.integers(1, 300))
def test_the_fewest_groups_that_fit(lengths, most):
    lengths = sorted(lengths, reverse=True)
    groups = cut(lengths, most)
    assert [place for start, end in groups for place in range(start, end)] == list(range(len(lengths)))
    for start, end in groups:
        assert end - start == 1 or sum(lengths[start:end]) <= most
    one_after_another, room = 0, 0
    for length in lengths:
        if length > room:
            one_after_another, room = one_after_another + 1, most
        room -= length
    assert len(groups) == one_after_another


def test_the_work_is_spread_evenly():
    groups = cut([10] * 90, 500)
    assert [end - start for start, end in groups] == [45, 45]


# ---- prefetching


def running() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("prefetch")]


def test_prefetching_changes_nothing(store, special):
    batches = Batches(store, special, make_settings(), seed=1)
    with prefetch(batches.batch, 3, 9) as stream:
        found = [(step, rows_of(made)) for step, made in stream]
    assert found == [(step, rows_of(batches.batch(step))) for step in range(3, 9)]
    assert not running()


@pytest.mark.parametrize(("start", "stop"), [(4, 4), (5, 4)])
def test_prefetching_nothing(start, stop):
    with prefetch(lambda step: step, start, stop) as stream:
        assert list(stream) == []


def test_one_step_is_made_ahead_and_no_more():
    made = []
    ready = threading.Event()

    def make(step: int) -> int:
        made.append(step)
        if step == 1:
            ready.set()
        return step

    with prefetch(make, 0, 10) as stream:
        next(stream)
        assert ready.wait(30)  # made while nobody asks for it
    assert made == [0, 1]
    assert not running()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_the_thread_ends_when_the_loop_fails(error):
    with pytest.raises(error), prefetch(lambda step: step, 0, 10) as stream:
        for _ in stream:
            raise error
    assert not running()


def test_a_failure_is_raised_at_its_own_step():
    def make(step: int) -> int:
        if step == 2:
            raise DataError("damaged")
        return step

    seen = []
    with pytest.raises(DataError, match="damaged"), prefetch(make, 0, 10) as stream:
        for step, _ in stream:
            seen.append(step)
    assert seen == [0, 1]
    assert not running()
