"""Tests and effect sizes on plain numbers, each with its source; what they are asked about a run is in `significance`.

Shape suffixes: N samples, K numbers of a sample, R draws, D differences.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats  # type: ignore[import-untyped, unused-ignore]

from unibert.benchmark.gains import relative_gain

Numbers = NDArray[np.float64]
Value = Callable[[Numbers], Numbers]
"""A score from sums of statistics, [..., K] -> [...]; see `Task.value`."""

DRAWS = 10_000
LEVEL = 0.05
"""Below this, a p-value is called significant; intervals hold 1 - LEVEL."""
_AT_ONCE = 250_000
"""So many samples are drawn in one go: about 4 MB, which stays in the processor's cache."""
_FEWEST_DRAWS = 100
_OTHER_SIZES = "not the same samples: {} of them"
_FEWEST_FOR_INTERVAL = 6
_EXACT = 9
"""Decimals at which numbers count as equal: differences of equal scores are not exactly 0 after rounding."""


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Paired:
    """How far apart two systems are on the same samples: first minus second, its 95 % interval, and a two-sided p."""

    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float
    samples: int
    draws: int


@dataclass(frozen=True)
class DrawnScore:
    """The score of one run as it is, and on `R` draws of its samples."""

    observed: float
    drawn_R: Numbers
    samples: int


@dataclass(frozen=True)
class Draws:
    """The scores of two systems as they are, and on `R` draws of the samples, the same for both."""

    observed: tuple[float, float]
    drawn_R2: Numbers
    samples: int

    def compared(self) -> Paired:
        """First minus second, tested by the shifted bootstrap; see `paired_bootstrap`."""
        first, second = self.observed
        away_R = _rounded(np.abs(self.drawn_R2[:, 0] - self.drawn_R2[:, 1] - (first - second)))
        difference = round(first - second, _EXACT)
        half, draws = _half(away_R), len(away_R)
        # The observed samples are one more draw: no p-value of 0 from a finite number of draws.
        p = (1 + int(np.count_nonzero(away_R >= abs(difference)))) / (draws + 1)
        return Paired(first, second, difference, difference - half, difference + half, p, self.samples, draws)

    def gain(self) -> Estimate | None:
        """100 (first - second) / second; None where the second is not above 0, so that a share of it says nothing."""
        first, second = self.observed
        if second <= 0 or bool((self.drawn_R2[:, 1] <= 0).any()):
            return None
        gain = relative_gain(second, first)
        gains_R = 100 * (self.drawn_R2[:, 0] - self.drawn_R2[:, 1]) / self.drawn_R2[:, 1]
        half = _half(np.abs(gains_R - gain))
        return Estimate(gain, gain - half, gain + half)


def _rounded(numbers: Sequence[float] | Numbers) -> Numbers:
    return np.asarray(np.round(np.asarray(numbers, dtype=np.float64), _EXACT), dtype=np.float64)


def _half(away_R: Numbers) -> float:
    """Half the symmetric interval: with it 0 lies outside exactly when p, counted as above, is at most LEVEL."""
    position = int(LEVEL * (len(away_R) + 1))
    return float(np.sort(away_R)[-position])


def paired_bootstrap(
    statistics_a_NK: Numbers, statistics_b_NK: Numbers, value: Value, draws: int = DRAWS, seed: int = 0
) -> Paired:
    """Whether two systems differ on the samples they were both tested on: the paired, shifted bootstrap.

    Samples are drawn with replacement, the same for both systems. Under the null hypothesis the difference scatters
    around 0 as the drawn differences scatter around the observed one; p is the share of draws that are at least as far
    from the observed difference as that is from 0. The interval is the symmetric one, which holds 0 exactly when
    p > 0.05. It is no wider than samples make it: other seeds, test sets and languages are not in it.

    Sources: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 16; Koehn, Statistical significance
    tests for machine translation evaluation (2004); Berg-Kirkpatrick, Burkett and Klein, An empirical investigation of
    statistical significance in NLP (2012), the shift; Hall, On symmetric bootstrap confidence intervals (1988).

    Args:
        statistics_a_NK: of the first system, numbers per sample whose sums decide the score.
        statistics_b_NK: of the second, for the same samples in the same order; K may differ.
        value: the score from such sums.
        draws: at least 100; N times as many random numbers are made.
        seed: of the draws.

    Raises:
        ValueError: fewer than two samples, another number of them for the second, or numbers that are not finite.
    """
    return resample([statistics_a_NK], [statistics_b_NK], value, draws, seed).compared()


def resample(
    first: Sequence[Numbers], second: Sequence[Numbers], value: Value, draws: int = DRAWS, seed: int = 0, name: str = ""
) -> Draws:
    """Scores of two systems on draws of their samples, the mean over the runs (seeds) of each on the same draws.

    Args:
        first: a [N, K] array for every run of the first system.
        second: for every run of the second.
        value: the score from their sums.
        draws: see `paired_bootstrap`.
        seed: of the draws.
        name: of the test set: those of other names are drawn independently, and the same one always alike.

    Raises:
        ValueError: see `paired_bootstrap`.
    """
    runs = draw_scores([*first, *second], value, draws, seed, name)
    return paired_draws(runs[: len(first)], runs[len(first) :])


def paired_draws(first: Sequence[DrawnScore], second: Sequence[DrawnScore]) -> Draws:
    """Two systems side by side: the mean over the runs of each, which were all scored on the same draws.

    Raises:
        ValueError: runs of different test sets.
    """
    sizes = {run.samples for run in (*first, *second)}
    if len(sizes) > 1:
        raise ValueError(_OTHER_SIZES.format(" and ".join(map(str, sorted(sizes)))))
    observed = [math.fsum(run.observed for run in side) / len(side) for side in (first, second)]
    drawn = [np.mean([run.drawn_R for run in side], axis=0) for side in (first, second)]
    return Draws((observed[0], observed[1]), np.stack(drawn, axis=1), sizes.pop())


def draw_scores(
    runs: Sequence[Numbers], value: Value, draws: int = DRAWS, seed: int = 0, name: str = ""
) -> list[DrawnScore]:
    """The score of every run as it is and on draws of the samples, the same draws for all.

    To draw takes much longer than to score: runs of one test set are better drawn for together.

    Args:
        runs: a [N, K] array of statistics for each.
        value: the score from their sums.
        draws: see `paired_bootstrap`.
        seed: of the draws.
        name: see `resample`.

    Raises:
        ValueError: see `paired_bootstrap`.
    """
    arrays = [np.asarray(run, dtype=np.float64) for run in runs]
    samples = _checked(arrays, draws)
    joined_NK = np.concatenate(arrays, axis=1)
    ends = np.cumsum([run.shape[1] for run in arrays])[:-1]

    def scores(sums_RK: Numbers) -> Numbers:
        return np.stack([value(part) for part in np.split(sums_RK, ends, axis=1)])

    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    drawn = []
    rounds = max(1, _AT_ONCE // samples)
    for start in range(0, draws, rounds):
        drawn.append(scores(_counts(generator, samples, min(rounds, draws - start)) @ joined_NK))
    observed = scores(joined_NK.sum(axis=0, keepdims=True))[:, 0]
    drawn_runs = np.concatenate(drawn, axis=1)
    return [DrawnScore(float(score), drawn_R, samples) for score, drawn_R in zip(observed, drawn_runs, strict=True)]


def _checked(runs: Sequence[Numbers], draws: int) -> int:
    """The number of samples that all runs have."""
    if draws < _FEWEST_DRAWS:
        raise ValueError(f"{draws} draws: at least {_FEWEST_DRAWS} are needed")
    sizes = {len(run) for run in runs}
    if len(sizes) > 1:
        raise ValueError(_OTHER_SIZES.format(" and ".join(map(str, sorted(sizes)))))
    if min(sizes) < 2:
        raise ValueError(f"{min(sizes)} samples: at least 2 are needed")
    if not all(np.isfinite(run).all() for run in runs):
        raise ValueError("statistics that are not finite numbers")
    return sizes.pop()


def _counts(generator: np.random.Generator, samples: int, rounds: int) -> Numbers:
    """How often each sample is drawn in each of so many rounds, [rounds, N]."""
    counts_RN = np.empty((rounds, samples))
    for counts_N, drawn_N in zip(counts_RN, generator.integers(0, samples, size=(rounds, samples)), strict=True):
        counts_N[:] = np.bincount(drawn_N, minlength=samples)
    return counts_RN


def mean_draws(languages: Sequence[Draws]) -> Draws:
    """The mean over languages, each of which was resampled by itself: a stratified bootstrap.

    Raises:
        ValueError: no languages, or other numbers of draws.
    """
    first, second = (math.fsum(found.observed[side] for found in languages) / len(languages) for side in (0, 1))
    drawn_R2 = np.mean(np.stack([found.drawn_R2 for found in languages]), axis=0)
    return Draws((first, second), drawn_R2, sum(found.samples for found in languages))


@dataclass(frozen=True)
class Wilcoxon:
    """Whether differences lie around 0; the matched-pairs rank-biserial correlation says how far they lean to a side.

    It is 1 where all are above 0 and -1 where all are below.
    """

    statistic: float
    """The smaller of the two sums of ranks."""
    p: float
    pairs: int
    """Differences that are not 0; only these count."""
    zeros: int
    smallest_p: float
    """What p would be if all these differences had the same sign."""
    rank_biserial: float
    low: float | None
    """With `high`, its 95 % interval; None with fewer than six differences, or all to one side: no draw varies then."""
    high: float | None


def wilcoxon(differences: Sequence[float], draws: int = DRAWS, seed: int = 0) -> Wilcoxon:
    """Wilcoxon's signed-rank test (1945), two-sided and exact, also with ties; differences of 0 are left out and told.

    The null distribution is that of all 2^n signs of the ranks that are there (n the differences that are not 0). The
    rank-biserial correlation is the difference of the two rank sums over their total (Kerby, The simple difference
    formula, 2014); its interval is the percentile bootstrap over the differences.

    Raises:
        ValueError: no differences, or some are not finite.
    """
    differences_D = _rounded(differences)
    if not len(differences_D) or not np.isfinite(differences_D).all():
        raise ValueError("differences have to be finite numbers, at least one")
    signed_ranks_D = _signed_ranks(differences_D[None])[0]
    pairs = int(np.count_nonzero(differences_D))
    above, below = float(signed_ranks_D[signed_ranks_D > 0].sum()), float(-signed_ranks_D[signed_ranks_D < 0].sum())
    ranks_D = np.abs(signed_ranks_D[signed_ranks_D != 0])
    lean = (above - below) / (above + below) if pairs else 0.0
    low, high = None, None
    if len(differences_D) >= _FEWEST_FOR_INTERVAL and abs(lean) < 1 and pairs:
        chosen_RD = np.random.default_rng(seed).integers(0, len(differences_D), size=(draws, len(differences_D)))
        drawn_RD = _signed_ranks(differences_D[chosen_RD])
        total_R = np.abs(drawn_RD).sum(axis=1)
        leans_R = drawn_RD.sum(axis=1) / np.maximum(total_R, 1)
        low, high = (float(end) for end in np.percentile(leans_R, [50 * LEVEL, 100 - 50 * LEVEL]))
    smaller = min(above, below)
    return Wilcoxon(
        smaller, _signed_rank_p(ranks_D, smaller), pairs, len(differences_D) - pairs,
        min(1.0, 2.0 ** (1 - pairs)), lean, low, high,
    )  # fmt: skip


def _signed_ranks(differences_RD: Numbers) -> Numbers:
    """Ranks of the absolute values that are not 0, from 1, ties at their mean, with the differences' signs."""
    ranks_RD = np.asarray(stats.rankdata(np.abs(differences_RD), axis=1))
    zeros_R1 = (differences_RD == 0).sum(axis=1, keepdims=True)  # they have the lowest ranks
    return np.asarray(np.sign(differences_RD) * (ranks_RD - zeros_R1), dtype=np.float64)


def _signed_rank_p(ranks_D: Numbers, smaller: float) -> float:
    """Twice the probability that ranks with random signs have a sum of the positive ones of at most `smaller`."""
    doubled = np.rint(2 * ranks_D).astype(int)  # ties have halves
    chance = np.zeros(doubled.sum() + 1)
    chance[0] = 1.0
    for rank in doubled:
        with_it = np.zeros_like(chance)
        with_it[rank:] = chance[: len(chance) - rank]
        chance = (chance + with_it) / 2
    return min(1.0, 2 * float(chance[: round(2 * smaller) + 1].sum()))


@dataclass(frozen=True)
class Welch:
    """Welch's t-test of two groups, first minus second, with the effect size that belongs to it."""

    t: float
    df: float
    p: float
    mean_a: float
    mean_b: float
    size_a: int
    size_b: int
    difference: float
    low: float
    """With `high`, the 95 % interval of the difference."""
    high: float
    g: float
    """Hedges' g*: the difference over the root of the mean of the two variances, with the small-sample correction."""
    g_low: float | None
    """With `g_high`, its 95 % interval; None where the groups are too far apart for the distribution's numerics."""
    g_high: float | None


def welch(a: Sequence[float], b: Sequence[float]) -> Welch:
    """Whether two groups of independent numbers have other means: Welch's t-test (1947), two-sided.

    The groups' variances may differ. The effect size and its interval (from the non-central t distribution, at Welch's
    degrees of freedom) follow Delacre, Lakens, Ley, Liu and Leys, Why Hedges' g*s based on the non-pooled standard
    deviation should be reported with Welch's t-test (2021). Its interval holds 0 exactly when p > 0.05.

    Raises:
        ValueError: fewer than two numbers in a group, some that are not finite, or no spread in either group.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if min(len(first), len(second)) < 2 or not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("Welch's t-test needs two finite numbers or more in each group")
    size_a, size_b = len(first), len(second)
    variance_a, variance_b = float(first.var(ddof=1)), float(second.var(ddof=1))
    error_a, error_b = variance_a / size_a, variance_b / size_b
    # What is left of equal numbers after rounding is not a spread.
    if math.sqrt(error_a + error_b) <= 1e-12 * max(1.0, float(np.abs([*first, *second]).max())):
        raise ValueError("Welch's t-test needs numbers that differ within a group")
    mean_a, mean_b = float(first.mean()), float(second.mean())
    difference, error = mean_a - mean_b, math.sqrt(error_a + error_b)
    t = difference / error
    df = (error_a + error_b) ** 2 / (error_a**2 / (size_a - 1) + error_b**2 / (size_b - 1))
    half = float(stats.t.ppf(1 - LEVEL / 2, df)) * error
    spread = math.sqrt((variance_a + variance_b) / 2)
    df_g = (variance_a + variance_b) ** 2 / (variance_a**2 / (size_a - 1) + variance_b**2 / (size_b - 1))
    correction = math.exp(special.gammaln(df_g / 2) - special.gammaln((df_g - 1) / 2)) / math.sqrt(df_g / 2)
    ends = [_non_centrality(t, df, tail) for tail in (1 - LEVEL / 2, LEVEL / 2)]
    # Nothing is left of an effect whose correction is 0: two numbers against a group without spread.
    g_low, g_high = (None if end is None or not correction else correction * end * error / spread for end in ends)
    p = 2 * float(stats.t.sf(abs(t), df))
    return Welch(
        t, df, p, mean_a, mean_b, size_a, size_b, difference, difference - half, difference + half,
        correction * difference / spread, g_low, g_high,
    )  # fmt: skip


def _non_centrality(t: float, df: float, below: float) -> float | None:
    """The non-centrality with which a t of at most this has the probability `below`."""

    def off(centre: float) -> float:
        return float(stats.nct.cdf(t, df, centre)) - below

    reach = 10.0 + 2 * abs(t)
    try:
        found = float(optimize.brentq(off, t - reach, t + reach))
    except ValueError:  # no change of sign, or not a number: beyond what the distribution can be computed for
        return None
    return found if math.isfinite(found) and abs(off(found)) < 1e-4 else None


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for there being many, in the same order: Holm's step-down method (1979).

    Calling those of at most 0.05 significant makes the chance of even one wrong call at most 5 %, however the tests
    depend on each other.

    Raises:
        ValueError: a p-value that is not from 0 to 1.
    """
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError("p-values go from 0 to 1")
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected
