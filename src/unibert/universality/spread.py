"""The measures of an encoder that are looked at for disparity between languages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import mean

from unibert.benchmark.schema import Result
from unibert.universality.disparity import disparity
from unibert.universality.schema import Disparity, Universality

LEAST_LANGUAGES = 5
"""With fewer a rank correlation says nothing."""


def disparities(found: Universality, metrics: Mapping[str, Mapping[str, float]], seed: int) -> list[Disparity]:
    """Every measure with a value in at least five languages, against resource size and spelling.

    Args:
        found: what was measured.
        metrics: values by language of other measures, such as a benchmark's; higher is better in all of them.
        seed: of the bootstrap over languages.
    """
    measures: dict[str, tuple[Mapping[str, float], bool]] = {}
    for treatment in ("raw", "centred"):
        table = found.retrieval_at(found.layers, "cosine", treatment)
        if table:
            values: dict[str, list[float]] = {}
            for name, score in table.pairs.items():
                values.setdefault(found.pairs[name].language, []).append(score.mean)
            means = {language: sum(scores) / len(scores) for language, scores in values.items()}
            measures[f"retrieval, {treatment}"] = means, True
    spelled = found.spelling
    measures["characters per piece"] = (
        {code: 1 / each.per_character for code, each in spelled.items() if each.per_character},
        True,
    )
    measures["unknown"] = {code: each.unknown for code, each in spelled.items()}, False
    measures |= {name: (values, True) for name, values in metrics.items()}
    properties = {
        "bytes": {code: float(size) for code, size in found.bytes.items()},
        "fertility": {code: each.fertility for code, each in spelled.items()},
        "unknown": {code: each.unknown for code, each in spelled.items()},
    }
    return [
        disparity(name, values, properties, higher_is_better, seed)
        for name, (values, higher_is_better) in measures.items()
        if len(values) >= LEAST_LANGUAGES
    ]


def benchmark_metrics(results: Iterable[Result]) -> dict[str, dict[str, dict[str, float]]]:
    """A benchmark's scores by language, mean over seeds; by model, then by benchmark and setting.

    Languages that were only tested on (zero-shot) are left out: they show transfer, not how a language is treated.
    """
    values: dict[tuple[str, str, str], list[float]] = {}
    for result in results:
        if result.setting == "zero-shot":
            continue
        measure = f"{result.title}, {result.setting} ({result.metric})"
        for language, score in result.scores.items():
            values.setdefault((result.model, measure, language), []).append(score.metrics[result.metric])
    found: dict[str, dict[str, dict[str, float]]] = {}
    for (model, measure, language), scores in values.items():
        found.setdefault(model, {}).setdefault(measure, {})[language] = mean(scores)
    return found
