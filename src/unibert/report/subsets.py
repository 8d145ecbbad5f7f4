"""A report about some of a run's models, languages and tasks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from unibert.benchmark.schema import Result
from unibert.errors import check_names
from unibert.recipe import Recipe
from unibert.report.collect import Run
from unibert.report.latency_file import only
from unibert.report.reading import Gap
from unibert.report.wording import plural
from unibert.universality.schema import Universality


def chosen(run: Run, models: Sequence[str] = (), languages: Sequence[str] = (), tasks: Sequence[str] = ()) -> Run:
    """The run as if only some of its models, languages and tasks had been benchmarked.

    Languages are those that are tested on: a model that learned from all of them stays the one that it is. Corpus and
    tokens stay whole; of the trainings only those of `models` are kept. Of the universality of encoders only what is
    told language by language is cut: what was measured over all languages stays. What is left out becomes a gap.

    Args:
        run: the whole.
        models: their names in the results; none means all.
        languages: codes; none means all.
        tasks: names of tasks (`ner`) or of benchmarks; none means all.

    Raises:
        RecipeError: a name that is not in the run; tells the nearest, or what there is.
    """
    if not (models or languages or tasks):
        return run
    plan = list((run.planned or {}).values())
    names = [*run.trainings, *(result.model for result in run.results), *(str(entry["model"]) for entry in plan)]
    names += [encoder.model for encoder in run.universality]
    names += [model.name for model in run.latency.models] if run.latency else []
    _check("--model", models, names)
    codes = [
        *(code for result in run.results for code in result.scores),
        *(c for entry in plan for c in entry["tested"]),
        *(code for encoder in run.universality for code in _measured(encoder)),
    ]
    _check("--language", languages, codes)
    benchmarks = _benchmarks(run, plan)
    _check("--task", tasks, [*benchmarks.values(), *benchmarks])
    asked = {name for name, task in benchmarks.items() if not tasks or name in tasks or task in tasks}
    found = [
        part
        for result in run.results
        if result.benchmark in asked and (not models or result.model in models) and (part := _part(result, languages))
    ]
    scores, kept = (sum(len(result.scores) for result in results) for results in (run.results, found))
    gaps = list(run.gaps)
    if kept < scores:
        told = "; ".join(
            f"{what} {', '.join(names)}"
            for what, names in (("models", models), ("languages", languages), ("tasks", tasks))
            if names
        )
        reason = f"{plural(scores - kept, 'score')} of {scores}: this report was asked for {told}"
        gaps.append(Gap("benchmark/results/", "left out", reason))
    encoders = [encoder for encoder in run.universality if not models or encoder.model in models]
    if languages and encoders:
        reason = "only what is told by language is cut to those asked for: probe, geometry and disparity are of all"
        gaps.append(Gap("universality/", "left out", reason))
    return replace(
        run,
        results=found,
        universality=[_cut(encoder, set(languages)) if languages else encoder for encoder in encoders],
        latency=only(run.latency, models),
        gaps=gaps,
        trainings={role: training for role, training in run.trainings.items() if not models or role in models},
        planned=_planned(run.planned, asked, models, languages),
        recipe=_recipe(run.recipe, asked, models, languages),
    )


def _check(option: str, asked: Iterable[str], there: Iterable[str]) -> None:
    check_names(option, asked, sorted(set(there)), "this run")


def _benchmarks(run: Run, plan: Iterable[dict[str, Any]]) -> dict[str, str]:
    """The task of every benchmark; its own name where only the plan knows of it."""
    found = {str(entry["benchmark"]): str(entry["benchmark"]) for entry in plan}
    if run.recipe:
        found |= {name: data.task or name for name, data in run.recipe.benchmark.data.items()}
    return found | {result.benchmark: result.task for result in run.results}


def _part(result: Result, languages: Sequence[str]) -> Result | None:
    """The result with the scores of some languages; None if it has none of them."""
    if not languages:
        return result
    # In `each` a model counts for the language that it learned from only.
    own = [code for code in languages if result.setting != "each" or code in result.languages]
    scores = {code: score for code, score in result.scores.items() if code in own}
    data = {code: files for code, files in result.data.items() if code in languages or code in result.languages}
    return result.model_copy(update={"scores": scores, "data": data}) if scores else None


def _measured(encoder: Universality) -> set[str]:
    """The languages that an encoder was measured on."""
    return {*encoder.languages, *(pair.language for pair in encoder.pairs.values())}


def _cut(encoder: Universality, languages: set[str]) -> Universality:
    """What is known of some languages by themselves, beside what was measured over all of them."""
    pairs = {name: pair for name, pair in encoder.pairs.items() if pair.language in languages}
    changes: dict[str, Any] = {
        name: {code: its for code, its in getattr(encoder, name).items() if code in languages}
        for name in ("spelling", "bytes")
    }
    changes["pairs"] = pairs
    changes["retrieval"] = [
        table.model_copy(update={"pairs": {name: score for name, score in table.pairs.items() if name in pairs}})
        for table in encoder.retrieval
    ]
    changes["geometry"] = [
        shape.model_copy(
            update={
                "distances": {
                    one: {other: far for other, far in row.items() if other in languages}
                    for one, row in shape.distances.items()
                    if one in languages
                }
            }
        )
        for shape in encoder.geometry
    ]
    changes["maps"] = []
    for points in encoder.maps:
        kept = [place for place, code in enumerate(points.languages) if code in languages]
        update = {
            name: [getattr(points, name)[place] for place in kept] for name in ("x", "y", "languages", "meanings")
        }
        changes["maps"].append(points.model_copy(update=update))
    return encoder.model_copy(update=changes)


def _planned(
    planned: dict[str, dict[str, Any]] | None, benchmarks: set[str], models: Sequence[str], languages: Sequence[str]
) -> dict[str, dict[str, Any]] | None:
    """The planned runs that are asked for: what was not asked for is not missing."""
    if planned is None:
        return None
    found = {}
    for address, entry in planned.items():
        tested = [code for code in entry["tested"] if not languages or code in languages]
        # In `each` a run is of the language that it learns from.
        own = entry["languages"] if entry["setting"] == "each" else tested
        if entry["benchmark"] in benchmarks and (not models or entry["model"] in models) and set(own) & set(tested):
            found[address] = {**entry, "tested": tested}
    return found


def _recipe(
    recipe: Recipe | None, benchmarks: set[str], models: Sequence[str], languages: Sequence[str]
) -> Recipe | None:
    """The recipe, whose benchmarks are what is planned where there is no plan."""
    if recipe is None:
        return None
    data = {
        name: settings.model_copy(
            update={"files": {code: own for code, own in settings.files.items() if not languages or code in languages}}
        )
        for name, settings in recipe.benchmark.data.items()
        if name in benchmarks
    }
    named = [model for model in recipe.benchmark.models if not models or model in models]
    return recipe.model_copy(update={"benchmark": recipe.benchmark.model_copy(update={"data": data, "models": named})})
