"""Results put together: models and settings as rows, languages as columns, seeds behind every cell.

The terminal's table and the report's page both show what is computed here, and compute no score themselves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

from unibert.benchmark.schema import LanguageScore, Result
from unibert.errors import DataError
from unibert.tasks.task import Task, find_task

_ORDER = {"each": 0, "all": 1, "mono": 2, "zero-shot": 3}


@dataclass(frozen=True)
class Mean:
    """A mean over seeds, and half the width of its 95 % interval (Student's t); None with a single seed."""

    value: float
    margin: float | None
    seeds: int


def mean_over_seeds(values: Sequence[float]) -> Mean:
    """The mean of one value per seed with its 95 % interval."""
    if len(values) < 2:
        return Mean(fmean(values), None, len(values))
    from scipy.stats import t  # type: ignore[import-untyped, unused-ignore]

    quantile = float(t.ppf(0.975, len(values) - 1))
    return Mean(fmean(values), quantile * stdev(values) / len(values) ** 0.5, len(values))


@dataclass
class Row:
    """One model in one setting: `scores[language][seed]`, the first metric."""

    model: str
    setting: str
    """As tables show it, such as `zero-shot from en`."""
    variant: str
    """What sets this row apart from others of the same model and setting; empty for most."""
    scores: dict[str, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    details: dict[str, list[LanguageScore]] = field(default_factory=lambda: defaultdict(list))
    quoted_average: float | None = None
    """The average as the source of a quoted row prints it, which need not be the mean of its scores."""

    @property
    def name(self) -> str:
        """The model, with what sets it apart."""
        return f"{self.model} ({self.variant})" if self.variant else self.model

    @property
    def label(self) -> str:
        """The setting, with what sets it apart."""
        return f"{self.setting} ({self.variant})" if self.variant else self.setting

    def cell(self, language: str) -> Mean | None:
        """The score on one language, over the seeds that were run."""
        seeds = self.scores.get(language)
        return mean_over_seeds(list(seeds.values())) if seeds else None

    def per_seed(self, languages: Sequence[str]) -> dict[int, float]:
        """The average over `languages` for every seed that has them all."""
        common = (
            set.intersection(*(set(self.scores.get(language, {})) for language in languages)) if languages else set()
        )
        return {seed: fmean(self.scores[language][seed] for language in languages) for seed in sorted(common)}

    def average(self, languages: Sequence[str]) -> Mean | None:
        """The average over languages, over the seeds that have them all; None where no seed does.

        Averages over fewer languages are not given, since they cannot be compared with the others.
        """
        per_seed = self.per_seed(languages)
        return mean_over_seeds(list(per_seed.values())) if per_seed else None


@dataclass(frozen=True)
class Board:
    """The scores of one task on one benchmark; rows by size of the model, model, `each` before `all` and the rest."""

    task: str
    benchmark: str
    benchmark_title: str
    """As tables call it."""
    metric: str
    """The key of the metric that is shown."""
    per_cent: bool
    """Whether metrics go from 0 to 100; else they are correlations."""
    languages: list[str]
    rows: list[Row]
    results: list[Result] = field(default_factory=list)
    """What the rows are made of; none where they are quoted."""
    repeated: list[tuple[Result, str]] = field(default_factory=list)
    """Scores that are there twice, of which the first one is used: where the second was found, and which it is."""
    number: int = 1
    """More than 1 where the names of other benchmarks would make the same file name."""
    quoted: str = ""
    """The publication that the scores are quoted from, with the place in it; empty for results of one's own."""

    @property
    def title(self) -> str:
        """The task in words, and the benchmark where it has a name of its own."""
        task = _task(self.task)
        title = task.TITLE if task else self.task.upper()
        return title if self.benchmark_title == self.task else f"{title}: {self.benchmark_title}"

    @property
    def short_title(self) -> str:
        """The same with the task in letters, for places with little room: `NER: CoNLL-2002`."""
        task = self.task.upper()
        return task if self.benchmark_title == self.task else f"{task}: {self.benchmark_title}"

    @property
    def known(self) -> bool:
        """Whether this version has the task; a result may be of another version."""
        return _task(self.task) is not None

    @property
    def name(self) -> str:
        """The task and benchmark as a file name."""
        words = [self.task] if self.benchmark == self.task else [self.task, self.benchmark]
        name = "-".join("".join(sign if sign.isalnum() else "-" for sign in word) for word in words).lower()
        return name if self.number == 1 else f"{name}-{self.number}"

    @property
    def metric_names(self) -> dict[str, str]:
        """Every metric of the task by key, the one that is shown first."""
        task = _task(self.task)
        if task:
            return dict(task.METRICS)
        return {key: key for result in self.results[:1] for key in next(iter(result.scores.values())).metrics}

    @property
    def metric_name(self) -> str:
        """The metric that is shown, in words: `entity F1`."""
        return self.metric_names.get(self.metric, self.metric)

    @property
    def support(self) -> str:
        """What is counted in the scores' support, in words: `entities`; empty for a task of another version."""
        task = _task(self.task)
        return task.SUPPORT if task else ""

    @property
    def each_and_all(self) -> list[tuple[Row, Row]]:
        """The two rows of every model, and variant of it, that has both settings."""
        found: dict[tuple[str, str], dict[str, Row]] = defaultdict(dict)
        for row in self.rows:
            found[row.model, row.variant][row.setting] = row
        return [(its["each"], its["all"]) for its in found.values() if its.keys() >= {"each", "all"}]

    @property
    def seeds(self) -> list[int]:
        """Every seed of any result."""
        return sorted({result.seed for result in self.results})

    @property
    def fewest_seeds(self) -> int:
        """The smallest number of seeds behind any score or average."""
        averages = [average.seeds for row in self.rows if (average := row.average(self.languages))]
        return min([*averages, *(len(seeds) for row in self.rows for seeds in row.scores.values())], default=0)


def _task(name: str) -> Task | None:
    try:
        return find_task(name)
    except DataError:  # of another version
        return None


def boards(results: Iterable[Result]) -> list[Board]:
    """Group results by task and benchmark."""
    groups: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in results:
        groups[result.task, result.benchmark].append(result)
    return [_board(task, benchmark, group) for (task, benchmark), group in sorted(groups.items())]


def _board(task: str, benchmark: str, results: list[Result]) -> Board:
    variants = _variants(results)
    rows: dict[tuple[str, str, str], Row] = {}
    repeated: list[tuple[Result, str]] = []
    order: dict[str, int] = {}
    for result in results:
        setting = setting_label(result.setting, result.languages)
        order[setting] = _ORDER[result.setting]
        key = (result.model, setting, variants[result.address])
        row = rows.setdefault(key, Row(*key))
        for language, score in result.scores.items():
            # In "each" a model is tested on the language it was trained on; other entries would be zero-shot.
            if result.setting == "each" and language not in result.languages:
                continue
            if result.seed in row.scores[language]:
                repeated.append((result, f"{row.model}, {row.label}, {language}, seed {result.seed}"))
                continue
            row.scores[language][result.seed] = score.metrics[result.metric]
            row.details[language].append(score)
    languages = sorted({language for row in rows.values() for language in row.scores})
    ordered = sorted(
        rows.values(),
        key=lambda row: (_size(row.model, results), row.model, row.variant, order[row.setting], row.setting),
    )
    first = results[0]
    kind = (first.title, first.metric, first.per_cent)
    return Board(task, benchmark, *kind, languages, ordered, results, repeated)


def setting_label(setting: str, languages: Sequence[str]) -> str:
    """A setting as tables show it: `zero-shot` with the language that was trained on."""
    return f"zero-shot from {languages[0]}" if setting == "zero-shot" else setting


def _size(model: str, results: list[Result]) -> int:
    return max((result.parameters for result in results if result.model == model), default=0)


def _variants(results: list[Result]) -> dict[str, str]:
    """For every address, what tells its weights and settings from others under the same name; empty if nothing does."""
    fingerprints: dict[str, set[str]] = defaultdict(set)
    trained_on: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for result in results:
        fingerprints[result.model].add(result.model_fingerprint)
        trained_on[result.setting].add(tuple(sorted(result.languages)))
    keys = sorted({key for result in results for key in result.settings if key != "distillation"})
    differing = [key for key in keys if len({repr(result.settings.get(key)) for result in results}) > 1]
    described = {}
    for result in results:
        parts = []
        if len(fingerprints[result.model]) > 1:
            parts.append(f"weights {result.model_fingerprint[:8]}")
        if result.setting in ("all", "mono") and len(trained_on[result.setting]) > 1:
            parts.append("trained on " + ", ".join(sorted(result.languages)))
        lesson = result.settings.get("distillation")
        if isinstance(lesson, dict):
            parts.append(f"taught by {lesson.get('teacher')}")
        parts += [f"{key.replace('_', ' ')} {_shown(result.settings.get(key))}" for key in differing]
        described[result.address] = "; ".join(parts)
    return described


def _shown(value: Any) -> str:
    return "unset" if value is None else str(value)
