"""The section of the page that tests the benchmark's differences."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from unibert.benchmark.schema import Result
from unibert.benchmark.scores import boards
from unibert.report.blocks import Block, Details, Section
from unibert.report.comparisons import Comparison
from unibert.report.conclusions import answers
from unibert.report.gain_groups import GainGroups
from unibert.report.reading import Gap
from unibert.report.significance import Significance, digits, find_significance, groups_sentence, interval, p_value
from unibert.report.tables import Cell, Column, Table, Value, words
from unibert.report.wording import NOTHING, coded, count, signed

_INTRODUCTION = (
    "For every model that was fine-tuned both ways, all is compared with each on the very same test samples. Three "
    "questions are asked: would the difference be there on other test samples (paired bootstrap), with other seeds "
    "(Student's t), and in other languages (Wilcoxon's signed-rank test)?"
)


def significance_section(
    results: Sequence[Result], folder: Path, gaps: list[Gap], own: Collection[str] | None = None
) -> Section | None:
    """Whether the benchmark's differences can be trusted; None where there is nothing to compare.

    Args:
        results: of the benchmark.
        folder: of the benchmark, with the predictions that the results name.
        gaps: gets what could not be tested.
        own: see `gain_groups`.
    """
    found = find_significance(boards(results), folder, own=own)
    gaps += found.gaps
    if not found.comparisons:
        return None
    return Section("significance", "Significance", blocks(found))


def blocks(significance: Significance) -> list[Block]:
    """The section's text and tables."""
    comparisons = significance.comparisons
    found: list[Block] = [_INTRODUCTION, answers_table(comparisons)]
    if significance.groups:
        found += [groups_sentence(significance.groups)]
    found += [significance.cautions, Details("Tests over samples and seeds", [samples_table(comparisons)])]
    found.append(Details("Tests over languages", [languages_table(comparisons)]))
    if any(comparison.by_language for comparison in comparisons):
        found.append(Details("Tests over samples, every language by itself", [by_language_table(comparisons)]))
    if significance.groups:
        found.append(Details("The gains in the t-test", [gains_table(significance.groups)]))
    return found


_NAMES = [Column("Benchmark", False), Column("Model", False)]


def _names(comparison: Comparison) -> list[Cell]:
    return [words(comparison.benchmark), words(comparison.short_name)]


def _p_cell(p: float | None) -> Cell:
    return Cell(p_value(p), p, note=_NOT_TESTED if p is None else "")


_NOT_TESTED = "not tested over samples"


def _signed(value: float | None, places: int, why: str) -> Cell:
    return Cell(NOTHING, note=why) if value is None else Cell(signed(value, places), value)


def answers_table(comparisons: Sequence[Comparison]) -> Table:
    """Every difference, and what may be said about it."""
    rows = []
    for item in comparisons:
        sampled, found = item.over_samples, answers(item)
        difference = sampled.difference if sampled else item.first_score - item.second_score
        without = f", without {', '.join(item.untested)}" if item.untested else ""
        shown = f"({interval(sampled, digits(item))}{without})" if sampled else ""
        rows.append(
            [
                *_names(item),
                Cell(signed(difference, digits(item)), difference, small=shown, parts=_tested(item)),
                _p_cell(item.holm_over_samples),
                words(found.samples),
                words(found.seeds),
                words(found.languages),
            ]
        )
    columns = [*_NAMES, Column("Difference"), Column("p, Holm")]
    columns += [Column(label, False) for label in ("On other samples", "With other seeds", "In other languages")]
    notes = [
        "Difference: all minus each, the mean over languages in the metric's own unit, with its 95 % interval over "
        "test samples. p belongs to it and is corrected by Holm's method over all rows, as is the test over "
        "languages; that over seeds is not."
    ]
    return Table("significance", "All against each: what can be said", columns, rows, notes, heading_columns=2)


def _tested(comparison: Comparison) -> dict[str, Value]:
    """What stands beside a difference: its interval over samples, and what is not in it."""
    sampled = comparison.over_samples
    if sampled is None:
        return {}
    without: dict[str, Value] = {"without": ", ".join(comparison.untested)} if comparison.untested else {}
    return {"low": sampled.low, "high": sampled.high, **without}


def samples_table(comparisons: Sequence[Comparison]) -> Table:
    """The tests over samples and over seeds in numbers."""
    rows = []
    for item in comparisons:
        sampled, seeds, places, gain = item.over_samples, item.over_seeds, digits(item), item.gain
        margin, one = seeds.margin, "needs two seeds that both have"
        share = "not tested over samples, or no share can be taken of the score"
        tested = list(item.by_language)
        rows.append(
            [
                *_names(item),
                Cell(", ".join(tested) or NOTHING, ", ".join(tested), note="" if tested else _NOT_TESTED),
                Cell(count(sampled.samples), sampled.samples) if sampled else Cell(NOTHING, note=_NOT_TESTED),
                _signed(sampled.difference if sampled else None, places, _NOT_TESTED),
                _signed(sampled.low if sampled else None, places, _NOT_TESTED),
                _signed(sampled.high if sampled else None, places, _NOT_TESTED),
                _p_cell(sampled.p if sampled else None),
                _p_cell(item.holm_over_samples),
                _signed(gain.value if gain else None, 2, share),
                _signed(gain.low if gain else None, 2, share),
                _signed(gain.high if gain else None, 2, share),
                Cell(count(len(item.seeds)), len(item.seeds)),
                _signed(None if margin is None else seeds.value - margin, places, one),
                _signed(None if margin is None else seeds.value + margin, places, one),
            ]
        )
    labels = ("Samples", "Difference", "Low", "High", "p", "p, Holm", "Gain, %", "Low gain", "High gain", "Seeds")
    columns = [*_NAMES, Column("Languages", False), *(Column(label) for label in labels)]
    columns += [Column("Low over seeds"), Column("High over seeds")]
    notes = [
        "Difference, low, high and p: all minus each and the paired bootstrap over test samples, each language drawn "
        f"by itself, the same draws for both and for all seeds{_draws(comparisons)}. Gain: the difference in per "
        "cent of each.",
        "Low and high are the ends of 95 % intervals: over test samples, and over seeds by Student's t.",
    ]
    return Table(
        "significance-samples", "Differences over test samples and seeds", columns, rows, notes, heading_columns=2
    )


def _draws(comparisons: Sequence[Comparison]) -> str:
    draws = {item.over_samples.draws for item in comparisons if item.over_samples}
    return f", {count(max(draws))} draws" if draws else ""


def languages_table(comparisons: Sequence[Comparison]) -> Table:
    """Wilcoxon's signed-rank test over languages, with its effect size."""
    rows = []
    for item in comparisons:
        tested, why = item.over_languages, "needs six languages, and differences to both sides"
        above = sum(difference > 0 for difference in item.differences.values())
        rows.append(
            [
                *_names(item),
                *(Cell(count(number), number) for number in (len(item.languages), above, tested.zeros)),
                *(_p_cell(p) for p in (tested.p, item.holm_over_languages, tested.smallest_p)),
                *(_signed(value, 2, why) for value in (tested.rank_biserial, tested.low, tested.high)),
            ]
        )
    labels = ("Languages", "All better", "Equal", "p", "p, Holm", "Least p", "r", "Low", "High")
    columns = [*_NAMES, *(Column(label) for label in labels)]
    notes = [
        "One difference for each language, the mean over seeds. Wilcoxon's signed-rank test, exact and two-sided; "
        "languages without a difference are left out of it. Least p: what p would be if all had the same sign.",
        "r is the matched-pairs rank-biserial correlation: 1 where all is better in every language, −1 where each is. "
        "Low and high are its 95 % interval, a bootstrap over languages.",
    ]
    return Table("significance-languages", "Differences over languages", columns, rows, notes, heading_columns=2)


def by_language_table(comparisons: Sequence[Comparison]) -> Table:
    """The test over samples in every language by itself."""
    rows = []
    for item in comparisons:
        places = digits(item)
        for code, tested in item.by_language.items():
            rows.append(
                [
                    *_names(item),
                    words(coded(code)),
                    *(_signed(value, places, "") for value in (tested.difference, tested.low, tested.high)),
                    _p_cell(tested.p),
                    _p_cell(item.holm_by_language[code]),
                    Cell(count(tested.samples), tested.samples),
                ]
            )
    labels = ("Difference", "Low", "High", "p", "p, Holm", "Samples")
    columns = [*_NAMES, Column("Language", False)]
    note = "All minus each. Paired bootstrap over test samples; Holm's correction is over all rows of this table."
    return Table(
        "significance-by-language",
        "Differences over test samples, by language",
        [*columns, *(Column(label) for label in labels)],
        rows,
        [note],
        heading_columns=3,
    )


def gains_table(groups: GainGroups) -> Table:
    """What the t-test was made of."""
    rows = [
        [words(whose), words(entry.model), words(entry.board), Cell(f"{signed(entry.percent)} %", entry.percent)]
        for whose, entries in (("this run's", groups.own), ("others", groups.others))
        for entry in entries
    ]
    columns = [Column(label, False) for label in ("Group", "Model", "Benchmark")]
    note = "Ratios of means over seeds. Correlations are mapped to (r + 1) / 2 before the ratio is taken."
    return Table(
        "significance-gains",
        "Relative gain of all over each, by model and benchmark",
        [*columns, Column("Relative gain")],
        rows,
        [note],
        heading_columns=3,
    )
