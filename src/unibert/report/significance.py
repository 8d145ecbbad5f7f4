"""The significance of a benchmark's differences, for the page, the terminal and other programs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from unibert.benchmark.columns import aligned
from unibert.benchmark.results import load_results
from unibert.benchmark.scores import Board
from unibert.errors import DataError
from unibert.report.comparisons import Comparison, compare
from unibert.report.conclusions import answers, cautions
from unibert.report.copies import contradictions
from unibert.report.gain_groups import GainGroups, gain_groups
from unibert.report.reading import Gap, without_folder
from unibert.report.scores import boards
from unibert.report.statistics import DRAWS, Estimate, Paired
from unibert.report.wording import NOTHING, decimal, plural, signed

SCHEMA = 1
_IS = "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Significance:
    """Every comparison of a report, what may not be concluded from them, and what could not be tested."""

    comparisons: list[Comparison]
    groups: GainGroups | None
    cautions: list[str]
    gaps: list[Gap]

    def as_json(self) -> dict[str, Any]:
        """The same as JSON-like values, with what may be said about each comparison."""
        tree = asdict(self)
        for described, comparison in zip(tree["comparisons"], self.comparisons, strict=True):
            described["answers"] = asdict(answers(comparison))
        return {"schema": SCHEMA, **tree}


def find_significance(
    boards: Sequence[Board],
    folder: Path,
    between_models: bool = False,
    own: Collection[str] | None = None,
    draws: int = DRAWS,
) -> Significance:
    """Compare what a benchmark's results allow to compare.

    Args:
        boards: the results, grouped.
        folder: of the benchmark, with the predictions that the results name.
        between_models: compare also model with model in every setting.
        own: see `gain_groups`.
        draws: of the bootstrap over samples; at 10,000 a comparison takes about a second for 7,000 test samples.
    """
    gaps: list[Gap] = []
    comparisons = compare(boards, folder, gaps, between_models, draws)
    groups = gain_groups(boards, own)
    return Significance(comparisons, groups, cautions(comparisons, boards, groups) if comparisons else [], gaps)


def report_significance(run: Path, between_models: bool = False, draws: int = DRAWS) -> Significance:
    """The significance of the differences in a run's benchmark.

    Args:
        run: the run's folder.
        between_models: see `find_significance`.
        draws: of the bootstrap over samples.

    Raises:
        DataError: there is no such folder, or no result in it that can be used.
    """
    folder = Path(run) / "benchmark"
    results, problems = load_results(folder / "results")
    if not results:
        told = f" ({without_folder(problems[0], Path(run))})" if problems else ""
        raise DataError(
            f"{run}: there are no results of a benchmark in it{told}", "Name the folder of a run that was benchmarked."
        )
    files = [without_folder(problem, Path(run)).partition(": ") for problem in problems]
    contradicting = contradictions(Path(run), results)
    named = {gap.part for gap in contradicting}
    gaps = [Gap(file, "left out", why) for file, _, why in files if file not in named] + contradicting
    found = find_significance(boards(results, gaps), folder, between_models, draws=draws)
    return replace(found, gaps=[*gaps, *found.gaps])


def p_value(p: float | None) -> str:
    """A p-value with four decimals; those below are told to be."""
    return NOTHING if p is None else "< 0.0001" if p < 0.00005 else f"{p:.4f}"


def interval(found: Estimate | Paired | None, digits: int = 2) -> str:
    """`+0.31 to +1.20`."""
    return f"{signed(found.low, digits)} to {signed(found.high, digits)}" if found else NOTHING


def digits(comparison: Comparison) -> int:
    """Decimals of a difference: two in per cent, three of correlations."""
    return 2 if comparison.per_cent else 3


def format_significance(significance: Significance) -> str:
    """Tables for the terminal, one for each benchmark, what may be said about every comparison, and the cautions."""
    parts = []
    for board in dict.fromkeys(comparison.board for comparison in significance.comparisons):
        of_board = [comparison for comparison in significance.comparisons if comparison.board == board]
        parts.append(
            "\n".join([*_table(board, of_board), *(f"- {item.name}: {answers(item).sentence}" for item in of_board)])
        )
    if significance.groups:
        parts.append(groups_sentence(significance.groups))
    if not parts:
        parts.append("nothing to compare: no model has results both in each and in all")
    for title, lines in (
        ("What may not be concluded:", significance.cautions),
        ("Not tested:", [f"{gap.part}: {gap.reason}" for gap in significance.gaps]),
    ):
        if lines:
            parts.append("\n".join([title, *(f"- {line}" for line in lines)]))
    return "\n\n".join(parts)


def _table(board: str, comparisons: Sequence[Comparison]) -> list[str]:
    heading = ["difference", "95 % interval", "p", "Holm", "gain %", "languages", "p", "Holm", "r", "seeds"]
    table = [["first against second", *heading]]
    for comparison in comparisons:
        sampled, languages = comparison.over_samples, comparison.over_languages
        places = digits(comparison)
        difference = sampled.difference if sampled else comparison.first_score - comparison.second_score
        gain = signed(comparison.gain.value, 1) if comparison.gain else NOTHING
        table.append(
            [
                comparison.name,
                signed(difference, places),
                interval(sampled, places),
                p_value(sampled.p if sampled else None),
                p_value(comparison.holm_over_samples),
                gain,
                str(len(comparison.languages)),
                p_value(languages.p),
                p_value(comparison.holm_over_languages),
                signed(languages.rank_biserial),
                str(len(comparison.seeds)),
            ]
        )
    title = (
        f"{board}: {comparisons[0].metric}, first minus second; p over samples (paired bootstrap) "
        "and over languages (Wilcoxon)"
    )
    return [title, *aligned(table, left=1)]


def groups_sentence(groups: GainGroups) -> str:
    """The outcome of the t-test between the gains of the run's models and of the others."""
    test = groups.test
    effect = f"Hedges' g*{_IS}{decimal(test.g)}"
    if test.g_low is not None and test.g_high is not None:
        effect += f" ({decimal(test.g_low)} to {decimal(test.g_high)})"
    return (
        f"Relative gains each → all: {signed(test.mean_a)} % on average for this run's models "
        f"({plural(test.size_a, 'entry', 'entries')}), {signed(test.mean_b)} % for the others "
        f"({plural(test.size_b, 'entry', 'entries')}). Welch's t{_IS}{decimal(test.t, 3)}, {decimal(test.df, 1)} "
        f"degrees of freedom, p{_IS}{p_value(test.p)}; difference {signed(test.difference)} points "
        f"({signed(test.low)} to {signed(test.high)}), {effect}."
    )
