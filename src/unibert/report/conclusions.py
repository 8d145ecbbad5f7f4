"""What may be concluded from comparisons, and what may not, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unibert.benchmark.scores import Board
from unibert.report.comparisons import Comparison
from unibert.report.gain_groups import GainGroups
from unibert.report.statistics import LEVEL
from unibert.report.wording import listing, plural

_SMALL = 100
"""Below this many test samples the bootstrap's intervals are known to be too narrow."""
_FEW_SEEDS = 5


@dataclass(frozen=True)
class Answers:
    """What may be said about a difference on other test samples, with other seeds and in other languages, in short."""

    samples: str
    seeds: str
    languages: str

    @property
    def sentence(self) -> str:
        """All three."""
        return f"on other samples: {self.samples}; with other seeds: {self.seeds}; in other languages: {self.languages}"


_UNKNOWN = "cannot be told"


def answers(comparison: Comparison) -> Answers:
    """What may be said about one comparison; over samples and languages after Holm's correction."""
    return Answers(_on_samples(comparison), _with_seeds(comparison), _in_languages(comparison))


def _on_samples(comparison: Comparison) -> str:
    if comparison.over_samples is None or comparison.holm_over_samples is None:
        return "not tested"
    if comparison.holm_over_samples > LEVEL:
        return _UNKNOWN
    return _better(comparison, comparison.over_samples.difference)


def _with_seeds(comparison: Comparison) -> str:
    margin = comparison.over_seeds.margin
    if margin is None:
        return "one seed, not tested"
    return _better(comparison, comparison.over_seeds.value) if abs(comparison.over_seeds.value) > margin else _UNKNOWN


def _in_languages(comparison: Comparison) -> str:
    tested, number = comparison.over_languages, len(comparison.languages)
    if number == 1:
        return "one language, not tested"
    better = _better(comparison, tested.rank_biserial)
    if comparison.holm_over_languages <= LEVEL:
        return better
    if tested.pairs == number and abs(tested.rank_biserial) == 1:
        return f"{better} in all {number}: too few to tell"
    return f"{number}: too few to tell" if 2.0 ** (1 - number) > LEVEL else _UNKNOWN


def _better(comparison: Comparison, difference: float) -> str:
    return f"{comparison.labels[0 if difference > 0 else 1]} is better"


def cautions(comparisons: Sequence[Comparison], boards: Sequence[Board], groups: GainGroups | None) -> list[str]:
    """What may not be concluded from the tests of a report, one sentence or two for each reason."""
    tests = plural(len(comparisons), "comparison")
    found = [
        f"A difference that is not significant is not shown to be none. Holm's correction covers {tests} of this "
        "report, for each kind of test by itself; comparisons that were looked at elsewhere are not in it.",
        "The test over samples asks about other samples of the same test sets, for the models as they were trained. "
        "Other seeds, another pre-training, other test sets and domains, and other fine-tuning settings are not in its "
        "p-values.",
        "Fine-tuning on all languages sees more samples and makes more steps than fine-tuning on one: a gain may come "
        "from more data, and not from languages helping each other.",
    ]
    fewest = min(len(comparison.seeds) for comparison in comparisons)
    if fewest < _FEW_SEEDS:
        found.append(
            f"Some comparisons have only {plural(fewest, 'seed')}: "
            + ("how far other seeds would differ is unknown." if fewest == 1 else "intervals over so few are wide.")
        )
    if any(len(comparison.languages) > 1 for comparison in comparisons):
        found.append(
            "The test over languages takes them for independent draws. They are not: related languages, shared "
            "training data and test sets that are translations of each other can make its p-values too small, and in "
            "the mean over such languages also those over samples, since every language is drawn by itself."
        )
    few = {item.board: None for item in comparisons if 2.0 ** (1 - len(item.languages)) > LEVEL}
    if few:
        found.append(
            f"{listing(list(few))}: with fewer than six languages Wilcoxon's test cannot give a p-value of 0.05 or "
            "less, whatever the scores are."
        )
    small = _small(comparisons)
    if small:
        found.append(f"Fewer than {_SMALL} test samples ({listing(small)}): intervals over samples are too narrow.")
    if any(len(result.tried) > 1 for board in boards for result in board.results):
        found.append(
            "Learning rates were chosen by the dev score of each run, and the chance in that choice is in the "
            "differences; no p-value accounts for it."
        )
    if groups:
        found.append(
            "Welch's t-test takes the gains for independent. Those of one model on several tasks are not, nor those of "
            "models that were trained alike or tested on the same samples: its p-value may be too small, here and in "
            "the paper."
        )
    if any(not comparison.per_cent for comparison in comparisons):
        found.append(
            "A gain in per cent of a correlation depends on where its scale starts, and cannot be set beside gains in "
            "F1."
        )
    return found


def _small(comparisons: Sequence[Comparison]) -> list[str]:
    found: dict[str, dict[str, int]] = {}
    for comparison in comparisons:
        for code, tested in comparison.by_language.items():
            if tested.samples < _SMALL:
                found.setdefault(comparison.board, {})[code] = tested.samples
    return [f"{board} {', '.join(sorted(codes))}" for board, codes in found.items()]
