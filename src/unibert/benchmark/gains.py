"""What training on every language at once brings: the relative gain each -> all, with an interval over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from unibert.benchmark.scores import Board, Mean, mean_over_seeds


def relative_gain(before: float, after: float) -> float:
    """(after - before) / before in per cent: the one place where this ratio is taken; `before` is above 0."""
    return 100 * (after - before) / before


@dataclass(frozen=True)
class Gain:
    """The paper's Figure 3 for one model: (all - each) / each, in per cent, of the averages over languages."""

    model: str
    each: float
    """The mean over the seeds that both settings have; `all` alike."""
    all: float
    percent: float
    low: float | None
    """With `high`, the 95 % interval of `percent` over seeds; None where there is none (see `gain_interval`)."""
    high: float | None
    seeds: int
    languages: list[str]
    quoted: bool = False
    """Whether it follows from the scores of a publication, which say nothing about seeds."""
    difference: Mean | None = None
    """all - each over seeds: its direction may be clear where its share of each is not."""

    @property
    def verdict(self) -> str:
        """What may be said about it, in words."""
        if self.quoted:
            return "printed without an interval: nothing can be concluded"
        bounded = self.low is not None and self.high is not None
        if not bounded and (self.difference is None or self.difference.margin is None):
            return "one seed: nothing can be concluded"
        if not self.direction:
            return "cannot be told from no difference"
        which = "gain" if self.direction > 0 else "loss"
        return f"a {which} over these seeds" + ("" if bounded else "; how large a share is open")

    @property
    def direction(self) -> int:
        """1 for what may be called a gain over these seeds, -1 for a loss, 0 where neither can be told."""
        if self.quoted:
            return 0
        if self.low is not None and self.high is not None:
            return (self.low > 0) - (self.high < 0)
        difference, margin = self.difference, self.difference.margin if self.difference else None
        if difference is None or margin is None or abs(difference.value) <= margin:
            return 0
        return 1 if difference.value > 0 else -1


def gain_interval(each: Sequence[float], joint: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % interval of the ratio of two means as a gain in per cent: Fieller's theorem, for paired numbers.

    It holds those ratios r for which a paired t-test does not tell the mean of `joint` from r times that of `each`, so
    it is exact for normal scores with as few as two seeds (the delta method and a bootstrap over three seeds are much
    too narrow), it need not be symmetric, and 0 lies outside exactly when Student's interval of the difference leaves
    out 0.

    Source: Fieller, Some problems in interval estimation (1954), with the covariance of paired numbers.

    Args:
        each: a number per seed, [N].
        joint: those of the same seeds in the same order.

    Returns:
        Its ends; None with fewer than two seeds, or where the mean of `each` is not clearly above 0 (its own 95 %
        interval holds 0): the ratios are then not bounded.
    """
    number = len(each)
    if number < 2:
        return None
    from scipy.stats import t  # type: ignore[import-untyped, unused-ignore]

    before, after = fmean(each), fmean(joint)
    if before <= 0:
        return None
    ratio = after / before
    errors = [(y - after) - ratio * (x - before) for x, y in zip(each, joint, strict=True)]
    squared = float(t.ppf(0.975, number - 1)) ** 2 / (number * (number - 1))
    spread = squared * math.fsum((x - before) ** 2 for x in each)
    shared = squared * math.fsum((x - before) * error for x, error in zip(each, errors, strict=True))
    noise = squared * math.fsum(error**2 for error in errors)
    # (before * d)^2 <= noise - 2 d shared + d^2 spread, for a ratio that lies d beside the one of the means.
    clear = before**2 - spread
    if clear <= 0:
        return None
    root = math.sqrt(shared**2 + clear * noise)
    low, high = ((-shared + sign * root) / clear for sign in (-1, 1))
    return 100 * (ratio + low - 1), 100 * (ratio + high - 1)


def gains(board: Board, mapped: bool = False) -> list[Gain]:
    """Each -> all for every model that has both, over the languages that both have.

    The ratio is that of the two means over the seeds that both have, so that a seed in which *each* happens to be near
    0 does not decide it. It is not defined where the mean of *each* is no more than nothing.

    Args:
        board: the benchmark's results.
        mapped: correlations enter as (r + 1) / 2, as in the paper's footnote 7, which is never below 0.
    """
    found = []
    for pair in board.each_and_all:
        languages = [code for code in board.languages if all(row.scores.get(code) for row in pair)]
        per_seed = [row.per_seed(languages) for row in pair]
        common = [seed for seed in per_seed[0] if seed in per_seed[1]]
        each, joint = ([setting[seed] for seed in common] for setting in per_seed)
        if mapped and not board.per_cent:
            each, joint = ([(value + 1) / 2 for value in setting] for setting in (each, joint))
        if not common or fmean(each) <= 0:
            continue
        before, after = fmean(each), fmean(joint)
        low, high = gain_interval(each, joint) or (None, None)
        difference = mean_over_seeds([y - x for x, y in zip(each, joint, strict=True)])
        percent, quoted = relative_gain(before, after), bool(board.quoted)
        name = pair[1].name
        found.append(Gain(name, before, after, percent, low, high, len(common), languages, quoted, difference))
    return found
