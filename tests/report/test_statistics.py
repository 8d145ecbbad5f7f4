"""Tests and effect sizes against scipy, against enumeration, and against what they promise on simulated data."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from unibert.report import statistics
from unibert.report.statistics import holm, mean_draws, paired_bootstrap, resample, welch, wilcoxon


def mean(sums):
    """A plain mean of the first column; the second counts the samples."""
    return sums[..., 0] / sums[..., 1]


def f1(sums):
    return 200 * sums[..., 0] / np.maximum(sums[..., 1] + sums[..., 2], 1)


def column(values) -> np.ndarray:
    return np.stack([np.asarray(values, dtype=float), np.ones(len(values))], axis=1)


def noise(seed: int, samples: int = 200, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Two systems on the same samples, whose scores go together, the first better by `shift`."""
    generator = np.random.default_rng(seed)
    common = generator.normal(size=samples)
    return column(common + generator.normal(size=samples) + shift), column(common + generator.normal(size=samples))


# Paired bootstrap


def test_bootstrap_agrees_with_a_naive_loop():
    generator = np.random.default_rng(1)
    gold = generator.integers(1, 4, size=80)
    first, second = (
        np.stack([generator.binomial(gold, skill), generator.integers(1, 4, size=80), gold], axis=1).astype(float)
        for skill in (0.7, 0.6)
    )
    found = paired_bootstrap(first, second, f1, draws=4000, seed=3)
    difference = float(f1(first.sum(axis=0)) - f1(second.sum(axis=0)))
    away = []
    for _ in range(4000):
        chosen = generator.integers(0, 80, size=80)
        drawn = sum(first[place] for place in chosen), sum(second[place] for place in chosen)
        away.append(abs(float(f1(drawn[0]) - f1(drawn[1])) - difference))
    half = float(np.quantile(away, 0.95))
    assert found.difference == pytest.approx(difference)
    assert (found.first, found.second) == pytest.approx((f1(first.sum(axis=0)), f1(second.sum(axis=0))))
    assert found.p == pytest.approx(np.mean([value >= abs(difference) for value in away]), abs=0.025)
    assert (found.low, found.high) == pytest.approx((difference - half, difference + half), abs=0.08 * half)
    assert (found.samples, found.draws) == (80, 4000)


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.15])
def test_bootstrap_of_a_mean_is_near_the_z_test(shift):
    first, second = noise(7, 2000, shift)
    apart = first[:, 0] - second[:, 0]
    error = apart.std() / 2000**0.5
    found = paired_bootstrap(first, second, mean)
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(apart.mean()) / error), abs=0.015)
    assert found.high - found.difference == pytest.approx(1.96 * error, rel=0.04)


def test_under_the_null_p_is_uniform_and_the_interval_holds_the_truth():
    p_values, held = [], 0
    for seed in range(600):
        found = paired_bootstrap(*noise(seed), mean, draws=400, seed=seed)
        p_values.append(found.p)
        held += found.low <= 0 <= found.high
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    assert 0.03 <= np.mean(np.array(p_values) <= 0.05) <= 0.075
    assert 0.925 <= held / 600 <= 0.97


def test_under_the_null_p_is_uniform_over_languages_of_other_sizes_and_several_seeds():
    p_values = []
    for seed in range(400):
        drawn = []
        for language, samples in enumerate((60, 150, 90)):
            runs = [noise(10_000 + 100 * seed + 10 * language + run, samples) for run in range(2)]
            first, second = [run[0] for run in runs], [run[1] for run in runs]
            drawn.append(resample(first, second, mean, 300, seed, str(language)))
        p_values.append(mean_draws(drawn).compared().p)
    assert stats.kstest(p_values, "uniform").pvalue > 0.01


def test_a_clear_difference_has_the_smallest_p_there_is():
    first, second = noise(5, 400, 1.0)
    found = paired_bootstrap(first, second, mean, draws=999)
    assert found.p == 1 / 1000 and found.low > 0
    turned = paired_bootstrap(second, first, mean, draws=999)
    assert (turned.difference, turned.low, turned.high, turned.p) == pytest.approx(
        (-found.difference, -found.high, -found.low, found.p)
    )


def test_the_same_predictions_are_no_difference():
    first, _ = noise(2)
    found = paired_bootstrap(first, first.copy(), mean, draws=100)
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), shift=st.floats(-0.6, 0.6), samples=st.integers(2, 120), draws=st.integers(100, 400))
def test_zero_is_outside_the_interval_exactly_when_p_is_at_most_5_per_cent(seed, shift, samples, draws):
    found = paired_bootstrap(*noise(seed, samples, shift), mean, draws=draws, seed=seed)
    assert (found.p <= 0.05) == (not found.low <= 0 <= found.high)
    assert 0 < found.p <= 1 and found.low <= found.difference <= found.high


def test_memory_is_bounded_and_does_not_show(monkeypatch):
    first, second = noise(4)
    whole = paired_bootstrap(first, second, mean, draws=500)
    sizes = []
    counts = statistics._counts
    monkeypatch.setattr(statistics, "_AT_ONCE", 1700)
    monkeypatch.setattr(
        statistics,
        "_counts",
        lambda generator, samples, rounds: sizes.append(rounds) or counts(generator, samples, rounds),
    )
    assert paired_bootstrap(first, second, mean, draws=500) == whole
    assert sum(sizes) == 500 and max(sizes) * 200 <= 1700


def test_seeds_are_averaged_within_a_draw():
    first, second = noise(9)
    better, worse = np.add(first, [0.5, 0]), np.add(first, [-0.5, 0])
    one = resample([first], [second], mean, 300)
    several = resample([better, worse], [second, second, second], mean, 300)
    assert several.observed == pytest.approx(one.observed)
    assert several.drawn_R2 == pytest.approx(one.drawn_R2)


def test_languages_are_drawn_by_themselves_and_weigh_the_same():
    es, nl = (resample(*([part] for part in noise(seed, size)), mean, 500, 0, name) for seed, size, name in (
        (1, 50, "es"), (2, 500, "nl")))  # fmt: skip
    both = mean_draws([es, nl]).compared()
    assert both.difference == pytest.approx((es.compared().difference + nl.compared().difference) / 2)
    assert both.samples == 550
    expected = np.mean([es.drawn_R2, nl.drawn_R2], axis=0)
    assert both.first - both.second == pytest.approx(float(np.mean(expected[:, 0] - expected[:, 1])), abs=0.02)
    # Draws of another name are others, those of the same name are the same.
    again, other = (resample(*([part] for part in noise(1, 50)), mean, 500, 0, name) for name in ("es", "de"))
    assert (again.drawn_R2 == es.drawn_R2).all() and not (other.drawn_R2 == es.drawn_R2).all()


def test_gain_is_a_share_of_the_second():
    first, second = noise(3, 300, 0.4)
    first, second = np.add(first, [10, 0]), np.add(second, [10, 0])
    draws = resample([first], [second], mean, 2000)
    gain, difference = draws.gain(), draws.compared()
    assert gain is not None
    assert gain.value == pytest.approx(100 * difference.difference / second[:, 0].mean())
    assert gain.high - gain.value == pytest.approx((difference.high - difference.difference) * 10, rel=0.15)
    assert resample([first], [second - [20, 0]], mean, 100).gain() is None


@pytest.mark.parametrize(
    ("first", "second", "draws", "problem"),
    [
        (column([1, 2, 3]), column([1, 2]), 100, "not the same samples: 2 and 3"),
        (column([1]), column([2]), 100, "at least 2"),
        (column([1, math.nan]), column([1, 2]), 100, "not finite"),
        (column([1, 2]), column([1, 2]), 99, "at least 100"),
    ],
)
def test_what_cannot_be_drawn_from_is_refused(first, second, draws, problem):
    with pytest.raises(ValueError, match=problem):
        paired_bootstrap(first, second, mean, draws=draws)


# Wilcoxon


def naive_wilcoxon(differences):
    """p by all signs, and the rank-biserial correlation, from the definition."""
    used = [value for value in differences if value]
    ranks = [
        sum(abs(other) < abs(value) for other in used) + (sum(abs(other) == abs(value) for other in used) + 1) / 2
        for value in used
    ]
    above = sum(rank for rank, value in zip(ranks, used, strict=True) if value > 0)
    below = sum(ranks) - above
    sums = [
        sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign)
        for signs in itertools.product((0, 1), repeat=len(used))
    ]
    p = min(1.0, 2 * sum(value <= min(above, below) for value in sums) / len(sums))
    return p, (above - below) / (above + below) if used else 0.0, min(above, below)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
def test_wilcoxon_is_exact_with_ties_and_zeros(differences):
    found = wilcoxon(differences, draws=100)
    p, lean, statistic = naive_wilcoxon(differences)
    assert (found.p, found.rank_biserial, found.statistic) == pytest.approx((p, lean, statistic))
    assert (found.pairs, found.zeros) == (len(differences) - differences.count(0), differences.count(0))
    assert found.smallest_p <= found.p + 1e-12


@pytest.mark.parametrize("size", [6, 15, 40, 107])
def test_wilcoxon_agrees_with_scipy(size):
    differences = np.random.default_rng(size).normal(0.2, 1, size)
    found, theirs = wilcoxon(list(differences)), stats.wilcoxon(differences, method="exact")
    assert (found.statistic, found.p) == pytest.approx((theirs.statistic, theirs.pvalue))


def test_differences_of_equal_scores_count_as_zero():
    found = wilcoxon([0.1 + 0.2 - 0.3, 0.3, 0.1 * 3], draws=100)
    assert (found.zeros, found.pairs, found.statistic) == (1, 2, 0)


@pytest.mark.parametrize(("size", "smallest"), [(3, 0.25), (5, 0.0625), (6, 0.03125)])
def test_few_languages_cannot_be_significant(size, smallest):
    found = wilcoxon([float(number + 1) for number in range(size)])
    assert (found.p, found.smallest_p, found.rank_biserial) == (smallest, smallest, 1.0)
    assert found.low is None and found.high is None


def test_interval_of_the_rank_biserial_correlation():
    differences = list(np.random.default_rng(8).normal(0.5, 1, 30))
    found = wilcoxon(differences, draws=4000)
    generator = np.random.default_rng(9)
    leans = []
    for _ in range(1500):
        drawn = generator.choice(differences, 30)
        ranks = stats.rankdata(np.abs(drawn))
        leans.append((ranks * np.sign(drawn)).sum() / ranks.sum())
    assert (found.low, found.high) == pytest.approx(np.percentile(leans, [2.5, 97.5]), abs=0.04)
    assert wilcoxon(differences, draws=4000) == found


def test_nothing_differs():
    found = wilcoxon([0.0] * 8)
    assert (found.p, found.rank_biserial, found.pairs, found.zeros) == (1, 0, 0, 8)


@pytest.mark.parametrize("differences", [[], [1.0, math.nan], [math.inf]])
def test_wilcoxon_refuses(differences):
    with pytest.raises(ValueError, match="finite numbers, at least one"):
        wilcoxon(differences)


# Welch

GROUP = st.lists(st.floats(-1e3, 1e3).map(lambda value: round(value, 3)), min_size=3, max_size=20)


@settings(max_examples=80, deadline=None)
@given(GROUP, GROUP)
def test_welch_agrees_with_scipy(a, b):
    assume(np.std(a) > 1e-3 and np.std(b) > 1e-3)
    found, theirs = welch(a, b), stats.ttest_ind(a, b, equal_var=False)
    assert (found.t, found.df, found.p) == pytest.approx((theirs.statistic, theirs.df, theirs.pvalue))
    ends = theirs.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high), rel=1e-6, abs=1e-6)
    assert (found.mean_a - found.mean_b, found.size_a) == pytest.approx((found.difference, len(a)))
    if found.g_low is not None and found.g_high is not None:
        assert found.g_low <= found.g <= found.g_high
        if abs(found.p - 0.05) > 1e-3:
            assert (found.p < 0.05) == (not found.g_low <= 0 <= found.g_high)


def test_effect_size_in_groups_of_equal_variance_is_hedges_g():
    a, b = [3.0, 4.0, 5.0, 6.0, 7.0], [1.0, 2.0, 3.0, 4.0, 5.0]
    correction = math.gamma(4) / (math.gamma(3.5) * 4**0.5)  # 8 degrees of freedom; about 1 - 3 / (4 * 8 - 1)
    assert correction == pytest.approx(1 - 3 / 31, abs=1e-3)
    assert welch(a, b).g == pytest.approx(correction * 2 / 2.5**0.5)


@pytest.mark.parametrize(("sizes", "spreads"), [((12, 16), (1.0, 1.0)), ((8, 20), (2.0, 0.7))])
def test_interval_of_the_effect_size_holds_the_truth(sizes, spreads):
    generator = np.random.default_rng(11)
    truth = 0.8
    shift = truth * ((spreads[0] ** 2 + spreads[1] ** 2) / 2) ** 0.5
    held = []
    for _ in range(300):
        found = welch(generator.normal(shift, spreads[0], sizes[0]), generator.normal(0, spreads[1], sizes[1]))
        assert found.g_low is not None and found.g_high is not None
        held.append(found.g_low <= truth <= found.g_high)
    assert 0.90 <= np.mean(held) <= 0.985


def test_one_group_may_have_no_spread():
    found = welch([1.0, 1.0, 1.0], [2.0, 3.0, 5.0])
    theirs = stats.ttest_ind([1.0, 1.0, 1.0], [2.0, 3.0, 5.0], equal_var=False)
    assert (found.t, found.p) == pytest.approx((theirs.statistic, theirs.pvalue))
    assert welch([1.0, 1.0], [2.0, 3.0]).g_low is None


@pytest.mark.parametrize(
    ("a", "b"), [([1.0], [1.0, 2.0]), ([], [1.0, 2.0]), ([1.0, math.nan], [1.0, 2.0]), ([0.1 * 3] * 3, [0.3] * 2)]
)
def test_welch_refuses(a, b):
    with pytest.raises(ValueError, match="Welch's t-test needs"):
        welch(a, b)


# Holm


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == [] and holm([0.3]) == [0.3]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0.001, 0.5))
def test_holm_rejects_what_stepping_down_rejects(p_values, level):
    rejected, ordered = set(), sorted(range(len(p_values)), key=lambda place: p_values[place])
    for rank, place in enumerate(ordered):
        if p_values[place] * (len(p_values) - rank) > level:
            break
        rejected.add(place)
    found = holm(p_values)
    assert {place for place, p in enumerate(found) if p <= level} == rejected
    assert all(p <= corrected <= 1 for p, corrected in zip(p_values, found, strict=True))


@pytest.mark.parametrize("p_values", [[-0.1], [1.1, 0.2], [math.nan]])
def test_holm_refuses(p_values):
    with pytest.raises(ValueError, match="from 0 to 1"):
        holm(p_values)
