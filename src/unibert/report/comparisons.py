"""A benchmark's rows compared two by two: over test samples, over languages and over seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from statistics import fmean

from unibert.benchmark.schema import Result
from unibert.benchmark.scores import Board, Mean, Row, mean_over_seeds
from unibert.errors import DataError
from unibert.progress import progress_bar
from unibert.report.reading import Gap
from unibert.report.sample_statistics import Kept
from unibert.report.statistics import (
    DrawnScore,
    Draws,
    Estimate,
    Numbers,
    Paired,
    Value,
    Wilcoxon,
    draw_scores,
    holm,
    mean_draws,
    paired_draws,
    wilcoxon,
)
from unibert.report.wording import listing
from unibert.tasks.task import find_task

FEWEST_SAMPLES = 10
"""With fewer, draws of the samples say nothing: a language of so few is not tested."""


@dataclass(frozen=True)
class Side:
    """A row of the benchmark's table: a model in a setting."""

    model: str
    setting: str
    """As tables show it, with what sets it apart from others of its kind."""

    @property
    def name(self) -> str:
        """Both."""
        return f"{self.model}, {self.setting}"


@dataclass(frozen=True)
class Comparison:
    """Two rows of one benchmark; every difference is the first's score minus the second's, in the metric's own unit."""

    board: str
    """The benchmark's title."""
    benchmark: str
    """The task and benchmark in short: `NER`, `NLI: XNLI`."""
    task: str
    metric: str
    per_cent: bool
    first: Side
    second: Side
    languages: list[str]
    """Those that both have; the scores are means over them and over `seeds`."""
    seeds: list[int]
    """Those that both have in every one of the languages."""
    first_score: float
    second_score: float
    differences: dict[str, float]
    """By language, the mean over seeds."""
    over_seeds: Mean
    """The difference, with the interval over seeds (Student's t over the seeds' own differences)."""
    over_languages: Wilcoxon
    over_samples: Paired | None = None
    """The mean over the languages of `by_language`; None where none could be tested."""
    gain: Estimate | None = None
    """The difference in per cent of the second's score, with the interval over samples."""
    by_language: dict[str, Paired] = field(default_factory=dict)
    untested: dict[str, str] = field(default_factory=dict)
    """The languages that could not be tested over samples, and why."""
    holm_over_samples: float | None = None
    """p of `over_samples` after Holm's correction over all comparisons of the report; the others alike."""
    holm_over_languages: float = 1.0
    holm_by_language: dict[str, float] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[str, str]:
        """What tells the two apart: the settings of one model, or two models."""
        if self.first.model == self.second.model:
            return self.first.setting, self.second.setting
        if self.first.setting == self.second.setting:
            return self.first.model, self.second.model
        return self.first.name, self.second.name

    @property
    def name(self) -> str:
        """Both sides in short: `student: all against each`."""
        first, second = self.labels
        whose = self.first.model if self.first.model == self.second.model else self.first.setting
        return f"{whose}: {first} against {second}" if first != self.first.name else f"{first} against {second}"

    @property
    def short_name(self) -> str:
        """The model alone where it is its *all* against its *each*."""
        return self.first.model if self.labels == ("all", "each") else self.name


def compare(
    boards: Sequence[Board], folder: Path, gaps: list[Gap], between_models: bool = False, draws: int = 10_000
) -> list[Comparison]:
    """*all* against *each* for every model that has both.

    Args:
        boards: the benchmark's results, grouped.
        folder: of the benchmark, which holds the predictions.
        gaps: gets what could not be tested and why; the rest is compared all the same.
        between_models: also every two rows of one setting: model against model.
        draws: of the bootstrap over samples.
    """
    kept = Kept(folder)
    found: list[Comparison] = []
    for board in boards:
        sides = _results_by_row(board)
        compared: list[tuple[Comparison, tuple[ByLanguage, ByLanguage]]] = []
        for first, second in [*_settings(board), *(_models(board) if between_models else ())]:
            comparison = _scores_compared(board, first, second)
            if comparison is None:
                told = f"{board.title}: {first.model}, {first.label} and {second.model}, {second.label}"
                gaps.append(
                    Gap(told, "incomplete", "not compared: no seed that both have in every language they share")
                )
                continue
            compared.append((comparison, (sides[id(first)], sides[id(second)])))
        drawn = _drawn(board, compared, kept, draws)
        for comparison, pair in compared:
            found.append(_samples_compared(comparison, pair, drawn))
            gaps += _not_tested(found[-1])
    gaps += kept.gaps()
    return corrected(found)


def _settings(board: Board) -> Iterator[tuple[Row, Row]]:
    yield from ((joint, each) for each, joint in board.each_and_all)


def _models(board: Board) -> Iterator[tuple[Row, Row]]:
    yield from ((two, one) for one, two in combinations(board.rows, 2) if one.setting == two.setting)


ByLanguage = Mapping[str, Mapping[int, Result]]


def _results_by_row(board: Board) -> dict[int, ByLanguage]:
    """The results behind every row, by language and seed; keyed by the rows' identity."""
    of_score = {id(score): result for result in board.results for score in result.scores.values()}
    # A row keeps scores by seed and their details in step.
    return {
        id(row): {
            language: dict(zip(row.scores[language], (of_score[id(score)] for score in details), strict=True))
            for language, details in row.details.items()
        }
        for row in board.rows
    }


def _scores_compared(board: Board, first: Row, second: Row) -> Comparison | None:
    """What the scores alone tell; None where there is no seed to compare."""
    languages = [code for code in board.languages if first.scores.get(code) and second.scores.get(code)]
    seeds = [seed for seed in first.per_seed(languages) if seed in second.per_seed(languages)]
    if not seeds:
        return None
    differences = {
        code: fmean(first.scores[code][seed] - second.scores[code][seed] for seed in seeds) for code in languages
    }
    firsts, seconds = (row.per_seed(languages) for row in (first, second))
    return Comparison(
        board=board.title,
        benchmark=board.short_title,
        task=board.task,
        metric=board.metric_name,
        per_cent=board.per_cent,
        first=Side(first.model, first.label),
        second=Side(second.model, second.label),
        languages=languages,
        seeds=seeds,
        first_score=fmean(firsts[seed] for seed in seeds),
        second_score=fmean(seconds[seed] for seed in seeds),
        differences=differences,
        over_seeds=mean_over_seeds([firsts[seed] - seconds[seed] for seed in seeds]),
        over_languages=wilcoxon(list(differences.values())),
    )


_UNREAD = "without statistics"
Drawn = Mapping[tuple[str, str], DrawnScore | str]
"""The scores on draws by language and a result's address, or why there are none."""


def _drawn(
    board: Board, compared: Sequence[tuple[Comparison, tuple[ByLanguage, ByLanguage]]], kept: Kept, draws: int
) -> Drawn:
    """The scores of all results that are compared, drawn once for each language however many comparisons there are."""
    asked: dict[str, dict[str, Result]] = defaultdict(dict)
    for comparison, sides in compared:
        for code in comparison.languages:
            for side in sides:
                asked[code] |= {side[code][seed].address: side[code][seed] for seed in comparison.seeds}
    found: dict[tuple[str, str], DrawnScore | str] = {}
    try:
        value = find_task(board.task).value
    except DataError:  # of another version
        why = f"no task {board.task} in this version"
        return {(code, address): why for code, results in asked.items() for address in results}
    # Most reports are made in seconds, and need no bar.
    with progress_bar(len(asked), f"comparing {board.name}", "language", delay=5.0) as bar:
        for code, results in asked.items():
            found |= _drawn_of_language(code, results, value, kept, draws, f"{board.benchmark} {code}")
            bar.update()
    return found


def _drawn_of_language(
    code: str, results: Mapping[str, Result], value: Value, kept: Kept, draws: int, name: str
) -> dict[tuple[str, str], DrawnScore | str]:
    """The scores of results, given by address, on draws of one language's test samples; `name`: of the test set."""
    found: dict[tuple[str, str], DrawnScore | str] = {}
    by_size: dict[int, dict[str, Numbers]] = defaultdict(dict)
    for address, result in results.items():
        rows_NK = (kept.of(result) or {}).get(code)
        if rows_NK is None:
            found[code, address] = _UNREAD
        elif len(rows_NK) < FEWEST_SAMPLES:
            found[code, address] = f"fewer than {FEWEST_SAMPLES} test samples"
        else:
            by_size[len(rows_NK)][address] = rows_NK
    for of_size in by_size.values():
        drawn = _drawn_together(list(of_size.values()), value, draws, name)
        found |= {(code, address): scores for address, scores in zip(of_size, drawn, strict=True)}
    return found


def _drawn_together(runs: Sequence[Numbers], value: Value, draws: int, name: str) -> list[DrawnScore | str]:
    """The scores of all runs; where some have none, those are found by trying one by one."""
    try:
        return list(draw_scores(runs, value, draws, name=name))
    except (ValueError, IndexError) as error:
        if len(runs) == 1:
            return [f"statistics that cannot be used ({error})"]
        return [scores for run in runs for scores in _drawn_together([run], value, draws, name)]


def _samples_compared(comparison: Comparison, sides: tuple[ByLanguage, ByLanguage], scores: Drawn) -> Comparison:
    """The comparison with what the test samples tell, language by language and in the mean."""
    drawn: dict[str, Draws] = {}
    untested: dict[str, str] = {}
    for code in comparison.languages:
        runs = [[side[code][seed] for seed in comparison.seeds] for side in sides]
        found = _draws(runs[0], runs[1], code, scores)
        if isinstance(found, str):
            untested[code] = found
        else:
            drawn[code] = found
    if not drawn:
        return replace(comparison, untested=untested)
    mean = mean_draws(list(drawn.values()))
    by_language = {code: found.compared() for code, found in drawn.items()}
    return replace(
        comparison, over_samples=mean.compared(), gain=mean.gain(), by_language=by_language, untested=untested
    )


def _draws(first: Sequence[Result], second: Sequence[Result], language: str, scores: Drawn) -> Draws | str:
    """The scores of both sides on draws of a language's test samples; or why there are none."""
    results = [*first, *second]
    tests = {((result.data.get(language) or {}).get("test") or {}).get("sha256") for result in results}
    if len(tests - {None}) > 1:
        return "tested on files of different content"
    runs = [scores[language, result.address] for result in results]
    drawn = [run for run in runs if isinstance(run, DrawnScore)]
    if len(drawn) < len(runs):
        reasons = [run for run in runs if isinstance(run, str)]
        return _UNREAD if _UNREAD in reasons else reasons[0]
    try:
        pair = paired_draws(drawn[: len(first)], drawn[len(first) :])
    except ValueError as error:
        return f"statistics that cannot be used ({error})"
    shown = (fmean(result.scores[language].metrics[result.metric] for result in side) for side in (first, second))
    apart = max(abs(observed - score) for observed, score in zip(pair.observed, shown, strict=True))
    # Rounding is no reason to doubt, another version of the metric is.
    return (
        pair
        if apart < (0.01 if first[0].per_cent else 0.0001)
        else "the predictions give other scores than the results"
    )


def _not_tested(comparison: Comparison) -> list[Gap]:
    """Why languages are not in the test over samples; files that cannot be read are told by their own names."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for code, why in comparison.untested.items():
        if why != _UNREAD:
            reasons[why].append(code)
    part = f"{comparison.board}: {comparison.name}"
    return [
        Gap(part, "incomplete", f"{listing(codes)} not tested over samples: {why}") for why, codes in reasons.items()
    ]


def corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with Holm's correction, one for each kind of test over all of them together."""
    sampled = [comparison.over_samples.p for comparison in comparisons if comparison.over_samples]
    single = [tested.p for comparison in comparisons for tested in comparison.by_language.values()]
    over_samples, by_language = iter(holm(sampled)), iter(holm(single))
    over_languages = holm([comparison.over_languages.p for comparison in comparisons])
    return [
        replace(
            comparison,
            holm_over_samples=next(over_samples) if comparison.over_samples else None,
            holm_over_languages=p,
            holm_by_language={code: next(by_language) for code in comparison.by_language},
        )
        for comparison, p in zip(comparisons, over_languages, strict=True)
    ]
