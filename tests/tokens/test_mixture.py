import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unibert.tokens.mixture import Mixture, permute, quotas, shares

COUNTS = st.lists(st.integers(0, 60), min_size=1, max_size=8).filter(any)
ALPHA = st.floats(0, 1)
SEED = st.integers(0, 2**70)


def mixture(counts: list[int], alpha: float, seed: int) -> Mixture:
    return Mixture({f"l{number}": count for number, count in enumerate(counts)}, alpha, seed)


def all_draws(mix: Mixture, epochs: int, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    return mix.draws(np.arange(first * mix.epoch_size, (first + epochs) * mix.epoch_size))


@given(st.integers(1, 3000), st.integers(0, 2**64 - 1))
def test_every_permutation_is_a_bijection(size, key):
    image = permute(np.arange(size), np.int64(size), np.uint64(key))
    assert sorted(image) == list(range(size))


def test_small_permutations_are_all_about_equally_likely():
    keys = np.arange(12_000, dtype=np.uint64)
    images = np.stack([permute(np.full(keys.size, place), np.int64(3), keys) for place in range(3)])
    seen = Counter(map(tuple, images.T))
    assert set(seen) == set(itertools.permutations(range(3)))
    # 2,000 expected, standard deviation 41; the keys are fixed, so this cannot flicker.
    assert all(1800 < number < 2200 for number in seen.values()), seen


def test_neighbours_are_scattered():
    image = permute(np.arange(100_000), np.int64(100_000), np.uint64(3))
    steps = np.diff(image)
    assert abs(np.corrcoef(image[:-1], image[1:])[0, 1]) < 0.01
    assert len(np.unique(steps)) > 50_000


def test_indices_beyond_32_bits():
    size = 2**40 + 7
    index = np.array([0, 1, 2**33, size - 1])
    image = permute(index, np.int64(size), np.uint64(9))
    assert len(set(image)) == 4
    assert (image >= 0).all() and (image < size).all()
    assert image.max() > 2**33


@given(COUNTS, ALPHA)
def test_quotas_sum_up_and_leave_out_nobody(counts, alpha):
    sizes = np.array(counts)
    probabilities, total = shares(sizes, alpha), int(sizes.sum())
    result = quotas(probabilities, total)
    assert result.sum() == total
    assert ((result > 0) == (sizes > 0)).all()
    assert (np.abs(result - probabilities * total) < 1).all()


def test_shares_follow_the_exponent():
    sizes = np.array([1000, 10, 0])
    assert shares(sizes, 1.0) == pytest.approx([1000 / 1010, 10 / 1010, 0])
    assert shares(sizes, 0.0) == pytest.approx([0.5, 0.5, 0])
    assert shares(sizes, 0.5)[0] / shares(sizes, 0.5)[1] == pytest.approx(10)


@given(COUNTS, ALPHA, SEED, st.integers(0, 5))
def test_an_epoch_has_exactly_the_quotas(counts, alpha, seed, epoch):
    mix = mixture(counts, alpha, seed)
    languages, _ = all_draws(mix, 1, first=epoch)
    assert (np.bincount(languages, minlength=len(counts)) == mix.quotas).all()


@given(COUNTS, ALPHA, SEED, st.integers(1, 6))
def test_samples_of_a_language_are_seen_equally_often(counts, alpha, seed, epochs):
    mix = mixture(counts, alpha, seed)
    languages, samples = all_draws(mix, epochs)
    for number, count in enumerate(counts):
        seen = np.bincount(samples[languages == number], minlength=count)
        assert len(seen) == count  # no sample that does not exist
        if count:
            assert seen.max() - seen.min() <= 1
            assert seen.sum() == epochs * mix.quotas[number]


@given(COUNTS, SEED)
def test_with_alpha_one_an_epoch_is_the_corpus(counts, seed):
    mix = mixture(counts, 1.0, seed)
    drawn = set(zip(*(part.tolist() for part in all_draws(mix, 1)), strict=True))
    assert drawn == {(number, index) for number, count in enumerate(counts) for index in range(count)}


@given(COUNTS, ALPHA, SEED, st.integers(1, 9), st.permutations(range(7)))
def test_steps_do_not_depend_on_the_order_of_calls(counts, alpha, seed, batch_size, order):
    forward = mixture(counts, alpha, seed)
    expected = [forward.draw(step, batch_size) for step in range(7)]
    shuffled = mixture(counts, alpha, seed)
    for step in order:
        for found, wanted in zip(shuffled.draw(step, batch_size), expected[step], strict=True):
            assert (found == wanted).all()


@given(COUNTS, ALPHA, SEED, st.integers(0, 10**7), st.integers(1, 20))
def test_a_double_batch_is_two_batches(counts, alpha, seed, step, batch_size):
    mix = mixture(counts, alpha, seed)
    double = mix.draw(step, 2 * batch_size)
    halves = zip(mix.draw(2 * step, batch_size), mix.draw(2 * step + 1, batch_size), strict=True)
    for found, parts in zip(double, halves, strict=True):
        assert (found == np.concatenate(parts)).all()


@settings(max_examples=30)
@given(st.integers(0, 2**64), st.integers(1, 2**64))
def test_other_seeds_give_other_streams(seed, offset):
    one, other = (mixture([50, 80], 0.7, value).draw(0, 40) for value in (seed, seed + offset))
    assert any((a != b).any() for a, b in zip(one, other, strict=True))


def test_each_pass_has_an_order_of_its_own():
    mix = mixture([40, 20, 10, 10], 0.0, 1)
    assert mix.quotas.tolist() == [20] * 4  # so two epochs are a pass over the first language
    halves = []
    for epoch in (0, 1, 2, 3):
        languages, samples = all_draws(mix, 1, first=epoch)
        halves.append(set(samples[languages == 0].tolist()))
    assert halves[0] | halves[1] == halves[2] | halves[3] == set(range(40))
    assert halves[0] not in (halves[2], halves[3])


def test_epochs_differ_in_order():
    mix = mixture([40, 60], 1.0, 1)
    first, second = all_draws(mix, 1), all_draws(mix, 1, first=1)
    assert (first[0] != second[0]).any()
    assert (first[1][first[0] == 0] != second[1][second[0] == 0]).any()


@pytest.mark.parametrize(
    ("counts", "alpha"), [({}, 0.5), ({"de": 0}, 0.5), ({"de": -1, "en": 5}, 0.5), ({"de": 1}, 1.1)]
)
def test_impossible_mixtures_are_refused(counts, alpha):
    with pytest.raises(ValueError):
        Mixture(counts, alpha, 1)
