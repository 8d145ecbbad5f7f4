"""The relative gain and Fieller's interval against the t-test that defines it, and against a simulation."""

from __future__ import annotations

import math
from statistics import fmean

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from unibert.benchmark.gains import Gain, gain_interval, gains, relative_gain
from unibert.benchmark.scores import Board, Mean, Row


def board(each: dict[int, float], joint: dict[int, float], per_cent: bool = True) -> Board:
    rows = [Row("m", setting, "") for setting in ("each", "all")]
    for row, scores in zip(rows, (each, joint), strict=True):
        row.scores["es"].update(scores)
    return Board("ner", "ner", "ner", "f1", per_cent, ["es"], rows)


@pytest.mark.parametrize(
    ("each", "joint", "direction", "verdict"),
    [
        ({1: 50, 2: 51, 3: 50}, {1: 60, 2: 61, 3: 60.5}, 1, "a gain over these seeds"),
        ({1: 60, 2: 61, 3: 60.5}, {1: 50, 2: 51, 3: 50}, -1, "a loss over these seeds"),
        ({1: 50, 2: 60, 3: 55}, {1: 60, 2: 50, 3: 56}, 0, "cannot be told from no difference"),
        ({1: 5, 2: 15, 3: 1}, {1: 35, 2: 45, 3: 31.5}, 1, "a gain over these seeds; how large a share is open"),
        ({1: 50}, {1: 90}, 0, "one seed: nothing can be concluded"),
    ],
)
def test_its_direction_and_its_words_agree(each, joint, direction, verdict):
    (gain,) = gains(board(each, joint))
    assert (gain.direction, gain.verdict) == (direction, verdict)


scores = st.lists(st.tuples(st.floats(1, 100), st.floats(1, 100)), min_size=2, max_size=6)


@given(scores)
def test_its_ends_are_where_a_paired_t_test_turns(pairs):
    each, joint = map(list, zip(*pairs, strict=True))
    found = gain_interval(each, joint)
    below = stats.ttest_1samp(each, 0.0).confidence_interval().low if np.ptp(each) > 0 else 1.0
    assume(abs(below) > 1e-3)
    if found is None:
        assert below < 0
        return
    assert below > 0
    for end in found:
        # The ratio at the end of the interval: all - ratio * each is just not told from 0.
        off = np.asarray(joint) - (1 + end / 100) * np.asarray(each)
        half = stats.t.ppf(0.975, len(off) - 1) * off.std(ddof=1) / math.sqrt(len(off))
        assert abs(off.mean()) == pytest.approx(half, rel=1e-6, abs=1e-6)
    percent = relative_gain(fmean(each), fmean(joint))
    assert found[0] <= percent + 1e-9 and percent - 1e-9 <= found[1]


@given(scores)
def test_it_leaves_out_nothing_exactly_when_the_difference_does(pairs):
    each, joint = map(list, zip(*pairs, strict=True))
    found = gain_interval(each, joint)
    differences = np.subtract(joint, each)
    assume(found is not None and np.ptp(differences) > 1e-6)
    p = stats.ttest_1samp(differences, 0.0).pvalue
    assume(abs(p - 0.05) > 1e-6)
    assert (found[0] > 0 or found[1] < 0) == (p < 0.05)


def test_it_holds_the_true_gain_as_often_as_it_says_with_three_seeds():
    generator = np.random.default_rng(3)
    each = generator.normal(60, 3, size=(4000, 3))
    joint = 1.1 * each + generator.normal(0, 4, size=each.shape)
    found = [gain_interval(before, after) for before, after in zip(each.tolist(), joint.tolist(), strict=True)]
    assert all(found)
    held = fmean(low <= 10 <= high for low, high in found)
    assert held == pytest.approx(0.95, abs=0.01)


def test_equal_numbers_have_an_interval_without_width():
    assert gain_interval([50.0, 50.0], [55.0, 55.0]) == pytest.approx((10, 10))
    assert gain_interval([50.0, 60.0, 55.0], [55.0, 66.0, 60.5]) == pytest.approx((10, 10))


@pytest.mark.parametrize("each", [[5.0], [0.0, 20.0, 1.0], [-1.0, -2.0], [0.0, 0.0, 0.0]])
def test_there_is_none_where_the_share_has_no_bounds(each):
    assert gain_interval(each, [value + 30 for value in each]) is None


def test_the_gain_is_the_ratio_of_the_means_over_the_seeds_that_both_have():
    found = board({1: 2.0, 2: 20.0, 3: 14.0, 4: 90.0}, {1: 30.0, 2: 34.0, 3: 32.0, 5: 1.0})
    (gain,) = gains(found)
    assert (gain.each, gain.all, gain.seeds) == (12, 32, 3)
    assert gain.percent == pytest.approx(100 * 20 / 12)  # the mean of the three ratios would be 533
    assert (gain.low, gain.high) == (None, None)
    assert gain.difference == Mean(20, pytest.approx(4.302653 * math.sqrt(52) / math.sqrt(3)), 3)
    assert gain.verdict == "a gain over these seeds; how large a share is open"


def test_a_seed_without_a_score_does_not_take_the_gain_away():
    (gain,) = gains(board({1: 0.0, 2: 5.0}, {1: 10.0, 2: 10.0}))
    assert gain.percent == pytest.approx(300) and gain.low is None
    assert gain.verdict == "cannot be told from no difference"
    assert gains(board({1: -5.0, 2: 5.0}, {1: 10.0, 2: 10.0})) == []


def test_mapped_correlations_have_a_gain_below_nothing_too():
    negative = board({1: -0.2}, {1: 0.2}, per_cent=False)
    assert gains(negative) == []
    (gain,) = gains(negative, mapped=True)
    assert gain.percent == pytest.approx(100 * (0.6 - 0.4) / 0.4)
    (plain,) = gains(board({1: 40.0}, {1: 60.0}), mapped=True)
    assert plain.percent == pytest.approx(50)


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [
        (Mean(-3.0, 1.0, 3), "a loss over these seeds; how large a share is open"),
        (Mean(3.0, 4.0, 3), "cannot be told from no difference"),
        (Mean(3.0, None, 1), "one seed: nothing can be concluded"),
    ],
)
def test_without_an_interval_the_difference_tells(difference, verdict):
    assert Gain("m", 1.0, 4.0, 300.0, None, None, difference.seeds, ["es"], difference=difference).verdict == verdict
