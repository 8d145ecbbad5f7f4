"""What follows from the paper's printed rows, and what does not: averages, Figure 3, the t-test, all recomputed.

The paper leaves open on which scale the correlations of STS enter its averages over tasks, and how many baselines its
t-test compares with. Every reading is computed here, and the printed numbers decide between them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from statistics import fmean

from unibert.benchmark.gains import Gain, relative_gain
from unibert.report.paper import FOUR_TASKS, TABLES, Claim, PrintedTable, paper_board, paper_claims, paper_models
from unibert.report.statistics import Welch, welch
from unibert.report.wording import decimal, plural

SCALES: Mapping[str, Callable[[float], float]] = {
    "r": lambda r: r,
    "(r + 1) / 2": lambda r: (r + 1) / 2,
    "100 r": lambda r: 100 * r,
    "100 (r + 1) / 2": lambda r: 50 * (r + 1),
}
"""What STS enters an average over tasks as; the other tasks' scores go from 0 to 100 in all four."""

AVERAGES = {
    "printed": "printed averages",
    "rows": "means of the rows",
    "shared": "means over the languages that each and all share",
}
"""What may stand for a model's average over languages. In STS `each` has seven languages and `all` has ten."""

_EXACT = 9
"""Decimals to which means are exact: the binary 2.675 must not count as less than 2.675."""


@dataclass(frozen=True)
class Check:
    """A printed number beside what is computed from the printed rows.

    Args:
        claim: what the number is of.
        place: where it stands.
        printed: the number.
        decimals: how many are printed.
        recomputed: the same from the printed rows.
        how: from which rows, and how.
    """

    claim: str
    place: str
    printed: float
    decimals: int
    recomputed: float
    how: str

    @property
    def difference(self) -> float:
        """Recomputed minus printed."""
        return self.recomputed - self.printed

    @property
    def rounded(self) -> bool:
        """Whether the recomputed number, rounded, is the printed one."""
        # Half a unit either way: what the authors' program did with a tie is not known.
        return abs(self.difference) <= 0.5 * 10**-self.decimals + 10**-_EXACT

    @property
    def cut_off(self) -> bool:
        """Whether it is the printed one if further decimals are dropped instead of rounded."""
        unit = 10**-self.decimals
        return abs(math.trunc(round(self.recomputed / unit, _EXACT)) * unit - self.printed) < 10**-_EXACT

    @property
    def follows(self) -> bool:
        """Whether the printed number is the recomputed one, rounded or cut off."""
        return self.rounded or self.cut_off

    @property
    def verdict(self) -> str:
        """What is to be said about it, in words."""
        if self.rounded:
            return "follows"
        return "follows, cut off instead of rounded" if self.cut_off else "does not follow"


def average_checks(table: PrintedTable) -> list[Check]:
    """Every printed average of one of the Tables 2 to 6 beside the mean of its row."""
    found = []
    for row in paper_board(table).rows:
        scores = [seeds[0] for seeds in row.scores.values()]
        assert row.quoted_average is not None  # reading the file saw to it
        name = f"{row.model}, {row.setting}: average"
        how = f"mean of the row's {plural(len(scores), 'score')}"
        decimals = 2 if table.per_cent else 3
        found.append(Check(name, f"Table {table.number}", row.quoted_average, decimals, fmean(scores), how))
    return found


@cache
def averages(table: PrintedTable, which: str = "printed") -> Mapping[tuple[str, str], float]:
    """The average of every model and setting of a table; `which` is a key of `AVERAGES`."""
    board = paper_board(table)
    common = [code for code in board.languages if all(code in row.scores for row in board.rows)]
    found = {}
    for row in board.rows:
        mean = fmean(row.scores[code][0] for code in (common if which == "shared" else row.scores))
        printed = row.quoted_average if which == "printed" else None
        found[row.model, row.setting] = mean if printed is None else printed
    return found


def mean_gains(scale: str, which: str = "printed") -> list[Gain]:
    """Figure 3: for every model the relative gain of `all` over `each`, of its averages over the four tasks.

    Args:
        scale: of STS, a key of `SCALES`.
        which: of the averages over languages, a key of `AVERAGES`.
    """
    found = []
    for model in paper_models():
        each, joint = (
            fmean(_scaled(table, averages(table, which)[model.name, setting], scale) for table in FOUR_TASKS)
            for setting in ("each", "all")
        )
        percent = relative_gain(each, joint)
        found.append(Gain(model.name, each, joint, percent, None, None, 1, [], quoted=True))
    return found


def task_gains(model: str, scale: str, which: str = "printed") -> list[float]:
    """The relative gain of `all` over `each` on each of the four tasks, per cent; arguments as of `mean_gains`."""
    found = []
    for table in FOUR_TASKS:
        each, joint = (_scaled(table, averages(table, which)[model, setting], scale) for setting in ("each", "all"))
        found.append(relative_gain(each, joint))
    return found


def _scaled(table: PrintedTable, score: float, scale: str) -> float:
    return score if table.per_cent else SCALES[scale](score)


def gain_checks(scale: str) -> list[Check]:
    """Figure 3's numbers, model by model, with STS on a scale."""
    recomputed = {gain.model: gain.percent for gain in mean_gains(scale)}
    how = f"(all − each) / each of the averages over four tasks, STS as {scale}"
    return [_check(claim, recomputed[claim.subject], how) for claim in paper_claims() if claim.claim == "gain"]


@cache
def best_scale() -> str:
    """The scale of STS with which most numbers of Figure 3 follow; of those that are equal in it, the closest."""

    def quality(scale: str) -> tuple[int, float]:
        checks = gain_checks(scale)
        return sum(check.rounded for check in checks), -sum(abs(check.difference) for check in checks)

    return max(SCALES, key=quality)


def model_groups() -> tuple[list[str], list[str]]:
    """The paper's own models, and the baselines in the order of Table 1."""
    own = [model.name for model in paper_models() if model.own]
    return own, [model.name for model in paper_models() if not model.own]


@dataclass(frozen=True)
class Reading:
    """Welch's t-test on the per-task gains of the paper's models against those of so many baselines."""

    scale: str
    baselines: int
    which: str
    """Of the averages over languages, a key of `AVERAGES`."""
    entries: tuple[int, int]
    result: Welch


def t_test(scale: str, baselines: int, which: str = "printed") -> Reading:
    """Welch's t-test under one reading; `baselines`: so many, from the top of Table 1."""
    own, others = model_groups()
    a, b = (
        [gain for model in models for gain in task_gains(model, scale, which)] for models in (own, others[:baselines])
    )
    return Reading(scale, baselines, which, (len(a), len(b)), welch(a, b))


@cache
def t_readings() -> tuple[Reading, ...]:
    """The t-test under every reading. Factors that all scores of a task share leave relative gains as they are."""
    several = len(model_groups()[1])
    return tuple(
        t_test(scale, number, which)
        for scale in ("r", "(r + 1) / 2")
        for number in (several - 1, several)
        for which in AVERAGES
    )


def best_t_test() -> Reading:
    """The reading whose t is closest to the printed one."""
    (printed,) = (claim.value for claim in paper_claims() if claim.claim == "t")
    return min(t_readings(), key=lambda reading: abs(reading.result.t - printed))


def checks() -> list[Check]:
    """Every number of the text and of Figure 3 beside what follows from the tables, in the order of `claims.csv`."""
    scale, test = best_scale(), best_t_test()
    of_figure = iter(gain_checks(scale))
    found = []
    for claim in paper_claims():
        if claim.claim == "gain":
            found.append(next(of_figure))
        elif claim.claim == "mean-gain":
            found.append(_mean_gain(claim, scale))
            own = claim.subject == "UniBERT"
            mean = test.result.mean_a if own else test.result.mean_b
            how = f"mean of the {test.entries[not own]} gains that the t-test compares, STS as {test.scale}"
            found.append(_check(claim, mean, how, "as the mean of what the t-test compares"))
        else:
            found.append(_of_t_test(claim, test))
    return found


def _mean_gain(claim: Claim, scale: str) -> Check:
    """A mean over models of Figure 3; over which baselines, the printed number decides."""
    own, others = model_groups()
    gains = {gain.model: gain.percent for gain in mean_gains(scale)}
    if claim.subject == "UniBERT":
        return _check(claim, fmean(gains[model] for model in own), f"mean over the three models, STS as {scale}")
    told = {c.subject: c.value for c in paper_claims() if c.claim == "gain"}
    four = others[:-1]
    readings = [
        (fmean(gains[model] for model in four), f"mean over the first {len(four)} baselines, STS as {scale}"),
        (fmean(gains[model] for model in others), f"mean over all {len(others)} baselines, STS as {scale}"),
        (
            fmean(told[model] for model in others),
            f"mean of the {len(others)} numbers that Figure 3 prints, {others[-1]}'s {told[others[-1]]:g} included",
        ),
    ]
    return _check(claim, *min(readings, key=lambda reading: abs(reading[0] - claim.value)))


def _of_t_test(claim: Claim, test: Reading) -> Check:
    how = f"Welch's t-test on the gains per task, STS as {test.scale}, first {test.baselines} baselines, "
    how += AVERAGES[test.which]
    if claim.claim == "entries":
        own = claim.subject == "UniBERT"
        models = 3 if own else test.baselines
        return _check(claim, test.entries[not own], f"{models} models x {len(FOUR_TASKS)} tasks")
    return _check(claim, test.result.t if claim.claim == "t" else test.result.p, how)


_CLAIMS = {
    "gain": "gain of {}, %",
    "mean-gain": "mean gain of {}, %",
    "t": "t",
    "p": "p",
    "entries": "entries of {} in the t-test",
}


def _check(claim: Claim, recomputed: float, how: str, more: str = "") -> Check:
    name = _CLAIMS[claim.claim].format(claim.subject) + (f", {more}" if more else "")
    return Check(name, claim.place, claim.value, claim.decimals, recomputed, how)


def findings() -> list[str]:
    """What the recalculation shows, in sentences."""
    of_figure = gain_checks(best_scale())
    exact = [check.rounded for check in of_figure]
    raw = [check.difference for check, follows in zip(gain_checks("r"), exact, strict=True) if follows]
    text = (
        f"Of the {len(exact)} numbers in Figure 3, {sum(exact)} follow to the last decimal from the printed averages "
    )
    text += f"when STS enters as {best_scale()}, beside the other tasks' 0 to 100; with STS as printed they follow "
    text += f"within {decimal(max(map(abs, raw)))} points."
    for check in (check for check in of_figure if not check.follows):
        text += f" The {check.claim.removesuffix(', %')} does not: {decimal(check.printed)} % is printed, "
        text += f"{decimal(check.recomputed)} % follows."
    test = best_t_test()
    tested = f"The printed t-test is Welch's, on the gains per task with {test.baselines} baselines: "
    tested += f"t = {decimal(test.result.t, 3)}, p = {decimal(test.result.p, 4)}. What it compares are means of "
    tested += f"{decimal(test.result.mean_a)} % and {decimal(test.result.mean_b)} %, not those of Figure 3."
    rows = [check for table in TABLES for check in average_checks(table)]
    off = [check for check in rows if not check.follows]
    cut = [check for check in rows if check.cut_off and not check.rounded]
    mean = (
        f"Of {len(rows)} printed row averages {len(rows) - len(off) - len(cut)} are the mean of their row, {len(cut)} "
    )
    mean += f"are it with decimals cut off, {len(off)} are not; the largest difference is "
    worst = max(off, key=lambda check: abs(check.difference))
    mean += f"{decimal(abs(worst.difference))} ({worst.place}, {worst.claim.removesuffix(': average')})."
    return [text, tested, mean]
