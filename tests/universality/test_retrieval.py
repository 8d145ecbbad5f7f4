"""Retrieval against naive loops and scikit-learn: ties, hubs, centring, groups, and pools larger than a block."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.neighbors import NearestNeighbors

from unibert.errors import DataError
from unibert.universality import disparity, retrieval
from unibert.universality.retrieval import (
    accuracy_at_1,
    centred,
    csls,
    measure_retrieval,
)
from unibert.universality.schema import Pair, Score

SIMILARITIES = ("cosine", "csls")


def sides(count: int = 60, width: int = 8, noise: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sentences and their translations, near to each other."""
    generator = np.random.default_rng(seed)
    first = generator.normal(size=(count, width))
    return first, first + noise * generator.normal(size=(count, width))


def pair(code: str, sentences: int = 60) -> Pair:
    return Pair(language=code, other="en", sentences=sentences, chance=1 / sentences)


# By hand -------------------------------------------------------------------------------------------------------------


def naive_cosine(x, y) -> float:
    lengths = math.sqrt(sum(a * a for a in x)) * math.sqrt(sum(b * b for b in y))
    return sum(a * b for a, b in zip(x, y, strict=True)) / lengths if lengths else 0.0


def naive_nearness(x, others, k: int) -> float:
    nearest = sorted((naive_cosine(x, y) for y in others), reverse=True)[:k]
    return sum(nearest) / len(nearest)


def naive_share(queries, candidates, similarity: str, k: int) -> float:
    """A point per query, shared among all candidates that are as near as the nearest one."""
    points = 0.0
    for row, x in enumerate(queries):
        found = []
        for y in candidates:
            value = naive_cosine(x, y)
            if similarity == "csls":
                value = 2 * value - naive_nearness(x, candidates, k) - naive_nearness(y, queries, k)
            found.append(value)
        tied = [column for column, value in enumerate(found) if value > max(found) - 1e-12]
        points += row in tied and 1 / len(tied)
    return points / len(queries)


@st.composite
def few_sides(draw):
    """Small whole numbers, of which many vectors are the same, or opposite, or zero."""
    shape = (draw(st.integers(1, 7)), draw(st.integers(1, 3)))
    numbers = arrays.arrays(np.float32, shape, elements=st.integers(-2, 2).map(float))
    return draw(numbers), draw(numbers)


@settings(deadline=None)
@given(few_sides(), st.sampled_from(SIMILARITIES), st.integers(1, 9))
def test_equals_a_naive_double_loop(vectors, similarity, neighbours):
    first, second = vectors
    found = accuracy_at_1(first, second, similarity, neighbours)
    assert found.forth == pytest.approx(naive_share(first.tolist(), second.tolist(), similarity, neighbours))
    assert found.back == pytest.approx(naive_share(second.tolist(), first.tolist(), similarity, neighbours))


@pytest.mark.parametrize("noise", [0.3, 1.0, 3.0])
def test_equals_scikit_learn(noise):
    first, second = sides(200, 12, noise)
    found = accuracy_at_1(first, second, "cosine")
    for queries, candidates, share in ((first, second, found.forth), (second, first, found.back)):
        search = NearestNeighbors(n_neighbors=1, metric="cosine").fit(candidates)
        nearest = search.kneighbors(queries, return_distance=False)[:, 0]
        assert share == pytest.approx((nearest == np.arange(200)).mean())
    assert noise < 1 or found.forth != found.back


def test_csls_is_equation_3():
    first, second = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides(30))
    cosines = first @ second[:20].T
    rows, columns = (NearestNeighbors(n_neighbors=10, metric="cosine").fit(side) for side in (second[:20], first))
    to_second = 1 - rows.kneighbors(first)[0].mean(axis=1)
    to_first = 1 - columns.kneighbors(second[:20])[0].mean(axis=1)
    assert np.allclose(csls(cosines), 2 * cosines - to_second[:, None] - to_first)
    assert np.allclose(csls(cosines, 999), 2 * cosines - cosines.mean(1)[:, None] - cosines.mean(0))


def test_csls_takes_away_from_hubs():
    """One sentence of the second side is near to all of the first one, as the mean of all is."""
    first, second = sides(40, 30, 1.0)
    first += 2
    second += 2
    second[7] = first.mean(axis=0)
    by_cosine, by_csls = (accuracy_at_1(first, second, similarity) for similarity in SIMILARITIES)
    assert by_csls.forth > by_cosine.forth


# What shares a point -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("point", [np.full(16, 0.1), np.zeros(16), np.arange(16) * 1e-8])
def test_all_in_one_point_is_chance(similarity, point):
    same = np.tile(point.astype(np.float32), (300, 1))
    for treated in (same, centred(same)):
        found = accuracy_at_1(treated, treated, similarity)
        assert (found.forth, found.back) == (pytest.approx(1 / 300), pytest.approx(1 / 300))


def test_a_sentence_that_is_there_twice_counts_half():
    first, _ = sides(50)
    first[1] = first[0]
    assert accuracy_at_1(first, first, "cosine") == Score(forth=49 / 50, back=49 / 50)


def test_rounding_does_not_break_ties():
    """Lengths do not count, but dividing by them leaves other last digits."""
    same = np.outer(np.linspace(0.1, 7, 40), np.array([0.1, -0.7, 0.3]))
    assert accuracy_at_1(same, same[::-1], "cosine").mean == pytest.approx(1 / 40)
    first, _ = sides(50)
    first[1] = 0.3 * first[0]
    assert accuracy_at_1(first, first, "csls").mean == pytest.approx(49 / 50)


def test_nearly_the_same_direction_is_told_apart():
    """As in encoders whose embeddings all have a large part in common."""
    first, _ = sides(50)
    shifted = first * 1e-4 + 1
    assert accuracy_at_1(shifted, shifted, "cosine").mean == 1
    assert accuracy_at_1(shifted.astype(np.float32), shifted.astype(np.float32), "cosine").mean == 1


# What does not matter ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize(("at_once", "block"), [(1, 1), (61, 1), (7 * 61, 3 * 61), (61 * 61 - 1, 61), (61 * 61, 100)])
def test_blocks_change_nothing(monkeypatch, similarity, at_once, block):
    first, second = sides(61)
    expected = accuracy_at_1(first, second, similarity)
    monkeypatch.setattr(retrieval, "_AT_ONCE", at_once)
    monkeypatch.setattr(retrieval, "_BLOCK", block)
    counted, computed = [], []

    def counting(rows, start, count=retrieval._hits):
        counted.append(rows.shape)
        return count(rows, start)

    def computing(self, back, compute=retrieval._Cosines._computed):
        for rows in compute(self, back):
            computed.append(rows.numel())
            yield rows

    monkeypatch.setattr(retrieval, "_hits", counting)
    monkeypatch.setattr(retrieval._Cosines, "_computed", computing)
    found = accuracy_at_1(first, second, similarity)
    assert (found.forth, found.back) == (pytest.approx(expected.forth), pytest.approx(expected.back))
    assert max(computed) <= max(at_once, 61)
    assert max(rows * columns for rows, columns in counted) <= max(block, 61)
    assert sum(rows for rows, _ in counted) == 2 * 61


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_order_length_and_rotation_do_not_matter(similarity):
    first, second = sides(80)
    expected = accuracy_at_1(first, second, similarity)
    generator = np.random.default_rng(1)
    order = generator.permutation(80)
    rotation = np.linalg.qr(generator.normal(size=(8, 8)))[0]
    lengths = generator.uniform(0.1, 10, size=(80, 1))
    found = accuracy_at_1((first * lengths)[order] @ rotation, second[order] @ rotation, similarity)
    assert found.forth == pytest.approx(expected.forth)
    assert found.back == pytest.approx(expected.back)
    swapped = accuracy_at_1(second, first, similarity)
    assert (swapped.forth, swapped.back) == (pytest.approx(expected.back), pytest.approx(expected.forth))


# Bad input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_embeddings_that_are_not_finite_are_refused(bad):
    first, second = sides()
    second[3, 2] = bad
    with pytest.raises(DataError, match="xx-en: the embedding of sentence 4 is not finite"):
        measure_retrieval(0, {"xx-en": (first, second)}, {"xx-en": pair("xx")})


def test_sides_that_are_not_aligned_are_refused():
    first, second = sides()
    with pytest.raises(DataError, match=r"\(60, 8\) and \(59, 8\) embeddings are not aligned"):
        accuracy_at_1(first, second[1:], "cosine")
    with pytest.raises(DataError, match="no embeddings"):
        accuracy_at_1(first[:0], second[:0], "cosine")


# Over pairs ----------------------------------------------------------------------------------------------------------


def shifted_sides() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Two files; German lies far off from where English does, Urdu does not."""
    german, english = sides(60, 8, 0.1)
    urdu, english_again = sides(40, 8, 0.1, seed=3)
    return {"de-en": (german + 50 * np.arange(8), english), "ur-en": (urdu, english_again)}


PAIRS = {"de-en": pair("de"), "ur-en": pair("ur", 40)}


def test_centring_finds_what_an_offset_hid():
    advanced = []
    found = measure_retrieval(3, shifted_sides(), PAIRS, advance=lambda: advanced.append(1))
    assert len(advanced) == 2
    tables = {(each.treatment, each.similarity): each for each in found}
    assert set(tables) == set(itertools.product(("raw", "centred"), SIMILARITIES))
    raw, without = tables["raw", "cosine"], tables["centred", "cosine"]
    assert raw.layer == 3
    assert raw.pairs["de-en"].mean < 0.5
    assert without.pairs["de-en"].mean == raw.pairs["ur-en"].mean == 1


def test_centring_removes_each_sides_own_mean():
    (german, english), _ = shifted_sides().values()
    (_, by_hand) = (accuracy_at_1(german - german.mean(0), english - english.mean(0), each) for each in SIMILARITIES)
    found = measure_retrieval(0, {"de-en": (german, english)}, PAIRS, similarities=["csls"])
    assert [each.pairs["de-en"] for each in found if each.treatment == "centred"] == [by_hand]
    assert np.allclose(centred(german).mean(axis=0), 0)
    assert centred(german.astype(np.float32)).dtype == np.float64


def test_means_may_come_from_other_text():
    embedded = {"de-en": shifted_sides()["de-en"]}
    right = {"de": 50.0 * np.arange(8), "en": np.zeros(8)}
    scores = []
    for means in (right, {**right, "de": np.zeros(8)}):
        found = measure_retrieval(0, embedded, PAIRS, means, similarities=["cosine"])
        scores.append(next(each.mean for each in found if each.treatment == "centred"))
    assert scores[0] == 1
    assert scores[1] == accuracy_at_1(*embedded["de-en"], "cosine").mean
    with pytest.raises(DataError, match="no mean of en"):
        measure_retrieval(0, embedded, PAIRS, {"de": np.zeros(8)})


def test_a_projection_is_a_treatment_of_its_own():
    """The offset lies along one direction, which is taken out."""
    direction = np.arange(8) / np.linalg.norm(np.arange(8))
    found = measure_retrieval(
        0, shifted_sides(), PAIRS, project=lambda x: x - np.outer(x @ direction, direction), similarities=["cosine"]
    )
    assert [each.treatment for each in found] == ["raw", "centred", "projected"]
    assert found[2].mean > 0.9 > found[0].mean


# Groups --------------------------------------------------------------------------------------------------------------


@given(st.dictionaries(st.text("abcdef", min_size=2, max_size=3), st.integers(0, 5)))
def test_thirds_are_of_one_size_and_in_order(sizes):
    found = disparity.resource_thirds(sizes)
    assert found.keys() == sizes.keys()
    members = [[code for code in sizes if found[code] == name] for name in disparity.RESOURCES]
    counts = [len(group) for group in members]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] - counts[-1] <= 1
    for larger, smaller in itertools.pairwise(members):
        assert all(sizes[a] >= sizes[b] for a in larger for b in smaller)
