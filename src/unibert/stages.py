"""The stages of a recipe, in order: what `unibert run` does, and each verb one part of.

Every stage writes into its own folder below the recipe's, recognises what is finished already, and goes on from there.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from unibert.errors import DataError, RecipeError
from unibert.files import atomic_file, telling_of_full_disk
from unibert.recipe import Adversary, Benchmark, Distillation, Pretrain, Recipe
from unibert.recipe_file import load_recipe, to_toml
from unibert.universality_settings import UniversalitySettings

if TYPE_CHECKING:
    from unibert.universality.schema import Universality


def build_corpus(recipe: Recipe) -> dict[str, Any]:
    """Dumps and other text -> clean paragraphs and their data set card, `corpus/`; returns the statistics."""
    from unibert.corpus.card import write_card
    from unibert.corpus.pipeline import build_corpus as build

    if not (recipe.corpus.dumps or recipe.corpus.text or recipe.corpus.hub):
        raise RecipeError(
            "corpus.dumps, corpus.text and corpus.hub are all empty: there is nothing to read", "Name dumps or text."
        )
    statistics = build(recipe.corpus, recipe.output / "corpus", recipe.resolved())
    _save_recipe(recipe, "corpus")
    write_card(recipe.output / "corpus", statistics, recipe.corpus)
    return statistics


def corpus_statistics(place: Path, output: Path | None = None) -> tuple[dict[str, Any], Path]:
    """What a corpus is made of; writes the data set card, `README.md`.

    Args:
        place: a corpus folder, a run's folder, or a recipe.
        output: where the card goes; the corpus folder when None.

    Returns:
        The statistics, and the folder of the card.

    Raises:
        DataError: no corpus there, or one of an older version.
    """
    from unibert.corpus.card import CARD, recorded_settings, write_card
    from unibert.corpus.statistics import STATISTICS, read_statistics

    if place.is_dir():
        folder = place if (place / STATISTICS).exists() or not (place / "corpus").is_dir() else place / "corpus"
    elif not place.exists():
        raise DataError(f"{place}: no such folder or recipe", "Name a corpus folder, a run's folder, or a recipe.")
    else:
        folder = load_recipe(place).output / "corpus"
    statistics = read_statistics(folder)
    output = output or folder
    if not write_card(output, statistics, recorded_settings(folder), folder):
        print(f"{output / CARD}: it is your own by now, and stays as it is", file=sys.stderr)
    return statistics, output


def write_corpus_figures(statistics: Mapping[str, Any], output: Path) -> list[Path]:
    """Figure 1 of the paper (`corpus-size.svg`) and the length of the samples (`lengths.svg`); returns their paths."""
    from unibert.report.corpus_figures import corpus_sizes, sample_lengths

    sizes = {code: counts["bytes"] for code, counts in statistics["languages"].items()}
    written = []
    for picture in (corpus_sizes(sizes), sample_lengths(statistics["totals"]["lengths"])):
        if picture is not None:
            written.append(output / f"{picture.name}.svg")
            with atomic_file(written[-1]) as stream:
                stream.write(picture.file)
    return written


def build_tokens(recipe: Recipe) -> dict[str, Any]:
    """Clean paragraphs -> `tokenizer/` and `tokens/`; returns the index."""
    from unibert.tokens.build import build_tokens as build

    _require(recipe.output / "corpus" / "statistics.json", "unibert corpus build")
    index = build(
        recipe.tokens,
        recipe.output / "corpus",
        recipe.output / "tokens",
        recipe.output / "tokenizer",
        recipe.resolved(),
        recipe.seed,
    )
    _save_recipe(recipe, "seed", "tokens")
    return index


def train_teacher(recipe: Recipe) -> str | None:
    """Train the recipe's teacher, `teacher/`, if it asks for one; returns the teacher's folder or hub name."""
    if recipe.teacher.train is None:
        return recipe.teacher.model
    # A teacher learns to fill in the blanks and nothing else.
    alone = {"mode": "none", "weight": 0.0, "start": 0, "full": 0}  # whatever the defaults, it is the same teacher
    settings = recipe.teacher.train.model_copy(
        update={
            "adversary": Adversary.model_validate(alone),
            "distillation": Distillation(weight=0.0),
            "mlm_weight": 1.0,
        }
    )
    _pretrain(recipe, settings, "teacher", teacher=None)
    return str(recipe.output / "teacher" / "model")


def train_student(recipe: Recipe) -> dict[str, Any]:
    """Train the recipe's student, `student/`, or its family, `students/`; returns the summary, or one per member."""
    teacher: str | None = recipe.teacher.model
    if recipe.teacher.train is not None:
        _require(recipe.output / "teacher" / "summary.json", "unibert pretrain --only teacher")
        teacher = str(recipe.output / "teacher" / "model")
    return _pretrain(recipe, recipe.pretrain, "student" if recipe.pretrain.students is None else "students", teacher)


def student_folders(recipe: Recipe) -> dict[str, Path]:
    """Where each student of the recipe is trained, by name: `student/`, or of a family `students/NAME/`."""
    if recipe.pretrain.students is None:
        return {"student": recipe.output / "student"}
    return {member: recipe.output / "students" / member for member in recipe.pretrain.members}


def _pretrain(recipe: Recipe, settings: Pretrain, name: str, teacher: str | None) -> dict[str, Any]:
    from unibert.pretrain.loop import pretrain

    _require(recipe.output / "tokens" / "index.json", "unibert tokens build")
    summary = pretrain(
        settings,
        name=name,
        seed=recipe.seed,
        tokens=recipe.output / "tokens",
        tokenizer=recipe.output / "tokenizer",
        output=recipe.output / name,
        teacher=teacher,
        recipe=recipe.resolved(),
        cache=recipe.teacher.cache if name != "teacher" else None,
    )
    _save_recipe(recipe, "seed", "teacher", *(["pretrain"] if name != "teacher" else []))
    return summary


def run_benchmark(
    recipe: Recipe,
    *,
    retry_failed: bool = False,
    only_benchmarks: Sequence[str] = (),
    only_models: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Fine-tune and test every model of the recipe, `benchmark/results/`; returns the results.

    The cards of the models that the recipe trained get the results of the whole benchmark.

    Args:
        recipe: with a `benchmark.data`.
        retry_failed: do again what has failed before.
        only_benchmarks: when given, only these of `benchmark.data`.
        only_models: when given, only these of `benchmark.models`; `student` stands for every member of a family.
    """
    from unibert.benchmark.cards import refresh_cards
    from unibert.benchmark.grid import run_benchmark as run
    from unibert.benchmark.results import load_results

    settings, own, wanted = _benchmark(recipe, only_models)
    results = run(
        settings,
        own,
        recipe.output / "benchmark",
        retry_failed=retry_failed,
        only_benchmarks=only_benchmarks,
        only_models=wanted,
    )
    _save_recipe(recipe, "benchmark")
    trained = {name: model for name, model in own.items() if isinstance(model, Path)}
    for card in refresh_cards(trained, load_results(recipe.output / "benchmark" / "results")[0]):
        print(f"{card}: your own or of an older version: it stays as it is, without the results", file=sys.stderr)
    return results


def benchmark_plan(recipe: Recipe, only_benchmarks: Sequence[str] = (), only_models: Sequence[str] = ()) -> str:
    """What `run_benchmark` would do, and about how long that takes; nothing is trained or written."""
    from unibert.benchmark.overview import format_plan
    from unibert.benchmark.plan import plan

    settings, own, wanted = _benchmark(recipe, only_models)
    planned = plan(settings, own, only_benchmarks, wanted)
    return format_plan(planned, recipe.output / "benchmark", settings.executor.workers)


def _benchmark(recipe: Recipe, only_models: Sequence[str]) -> tuple[Benchmark, dict[str, Path | str], list[str]]:
    """The benchmark with the members of a family in place of `student`, and where the recipe's own models are."""
    if not recipe.benchmark.data:
        raise RecipeError(
            "benchmark.data is empty: there is nothing to test on",
            "Add a table [benchmark.data.NAME]; `unibert data list` names what is known.",
        )
    own = _own_models(recipe)
    models = _with_members(recipe, recipe.benchmark.models)
    wanted = _with_members(recipe, only_models)
    _require_trained(own, wanted or models)
    return recipe.benchmark.model_copy(update={"models": models}), own, wanted


def _own_models(recipe: Recipe) -> dict[str, Path | str]:
    """Where the recipe's own models are, by name."""
    own: dict[str, Path | str] = {name: folder / "model" for name, folder in student_folders(recipe).items()}
    if recipe.teacher.train is not None:
        own["teacher"] = recipe.output / "teacher" / "model"
    elif recipe.teacher.model is not None:
        own["teacher"] = recipe.teacher.model
    return own


def _with_members(recipe: Recipe, names: Sequence[str]) -> list[str]:
    """The names, each once, with the members of a family in place of `student`."""
    members = list(student_folders(recipe))
    return list(dict.fromkeys(model for name in names for model in (members if name == "student" else [name])))


def _require_trained(own: Mapping[str, Path | str], names: Sequence[str]) -> None:
    for name, path in own.items():
        if name in names and isinstance(path, Path):
            _require(path / "config.json", f"unibert pretrain --only {'teacher' if name == 'teacher' else 'student'}")


def measure_run(recipe: Recipe, output: Path | None = None) -> tuple[Path, list[Universality]]:
    """Measure how alike the languages are to the recipe's models, `universality/`; then the report.

    Args:
        recipe: with a `universality.parallel` or `universality.text`.
        output: another folder for results and report than the recipe's own.

    Returns:
        The path of the report, and what was measured.

    Raises:
        EncodersFailed: some models could not be measured; the report on the others is written.
    """
    from unibert.benchmark.models import find_models, model_names
    from unibert.benchmark.results import load_results
    from unibert.universality.material import corpus_sizes, find_material
    from unibert.universality.measure import measure_universality
    from unibert.universality.overview import EncodersFailed
    from unibert.universality.spread import benchmark_metrics

    settings, own = recipe.universality, _own_models(recipe)
    named = settings.models or recipe.benchmark.models
    names = _with_members(recipe, model_names(named))
    _require_trained(own, names)
    material = find_material(settings, corpus_sizes(recipe.output / "corpus"))
    folder = output or recipe.output
    metrics = benchmark_metrics(load_results(recipe.output / "benchmark" / "results")[0])
    encoders = find_models(names, own)
    found, failed = measure_universality(settings, encoders, material, folder / "universality", metrics)
    if output is None:
        _save_recipe(recipe, "universality")
    page = make_report(recipe) if output is None else _report_of(output)
    if failed:
        raise EncodersFailed(failed, page, found)
    return page, found


def measure_encoders(settings: UniversalitySettings, output: Path) -> tuple[Path, list[Universality]]:
    """The same for encoders that are no run's, `output/universality/`; the report goes to `output/report/`."""
    from unibert.benchmark.models import find_models, model_names
    from unibert.universality.material import find_material
    from unibert.universality.measure import measure_universality
    from unibert.universality.overview import EncodersFailed

    encoders = find_models(model_names(settings.models), {})
    found, failed = measure_universality(settings, encoders, find_material(settings), output / "universality")
    page = _report_of(output)
    if failed:
        raise EncodersFailed(failed, page, found)
    return page, found


def _report_of(folder: Path) -> Path:
    from unibert.report.page import build_report

    return build_report(folder)


def make_report(recipe: Recipe) -> Path:
    """One page about everything the run has so far, `report/index.html`; returns its path."""
    from unibert.report.page import build_report

    return build_report(recipe.output, recipe.name)


def run_recipe(recipe: Recipe) -> Path:
    """Every stage the recipe describes, one after the other; returns the report's path."""
    stages: list[tuple[str, Callable[[Recipe], object]]] = [
        ("corpus", build_corpus),
        ("tokens", build_tokens),
        ("teacher", train_teacher),
        ("student", train_student),
    ]
    if recipe.benchmark.data:
        stages.append(("benchmark", run_benchmark))
    if recipe.universality.parallel or recipe.universality.text:
        stages.append(("universality", measure_run))
    for position, (name, stage) in enumerate(stages, start=1):
        print(f"\n[{position}/{len(stages) + 1}] {name}", file=sys.stderr, flush=True)
        stage(recipe)
    print(f"\n[{len(stages) + 1}/{len(stages) + 1}] report", file=sys.stderr, flush=True)
    return make_report(recipe)


def _save_recipe(recipe: Recipe, *sections: str) -> None:
    """Keep beside the results the settings they were made with: after a stage, that stage's sections are replaced.

    A later stage may refuse to go on with changed settings, and what stands there must not claim otherwise.
    """
    path = recipe.output / "recipe.toml"
    if path.exists():
        with contextlib.suppress(RecipeError, ValidationError):
            made, asked = load_recipe(path).resolved(), recipe.resolved()
            recipe = Recipe.model_validate({**made, **{section: asked[section] for section in sections}})
    text = to_toml(recipe)
    # What is finished can be asked for again where nothing may be written.
    if path.exists() and path.read_bytes() == text.encode():
        return
    with telling_of_full_disk(path), atomic_file(path) as stream:
        stream.write(text)


def _require(path: Path, command: str) -> None:
    if not path.exists():
        raise DataError(f"{path}: not there yet", f"Run `{command}` first, or `unibert run` for every stage.")
