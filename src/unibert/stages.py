"""The stages of a recipe, in order: what `unibert run` does, and each verb one part of.

Every stage writes into its own folder below the recipe's, recognises what is finished already, and goes on from there.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from unibert.errors import DataError, RecipeError
from unibert.files import atomic_file
from unibert.recipe import Adversary, Distillation, Pretrain, Recipe
from unibert.recipe_file import load_recipe, to_toml


def build_corpus(recipe: Recipe) -> dict[str, Any]:
    """Dumps and plain text -> clean paragraphs, `corpus/`; returns the statistics."""
    from unibert.corpus.pipeline import build_corpus as build

    if not recipe.corpus.dumps and not recipe.corpus.text:
        raise RecipeError(
            "corpus.dumps and corpus.text are both empty: there is nothing to read", "Name dumps or text."
        )
    statistics = build(recipe.corpus, recipe.output / "corpus", recipe.resolved())
    _save_recipe(recipe, "corpus")
    return statistics


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
    alone = {"mode": "none", "weight": 0.0}
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
    """Train the recipe's student, `student/`; returns its summary."""
    teacher: str | None = recipe.teacher.model
    if recipe.teacher.train is not None:
        _require(recipe.output / "teacher" / "summary.json", "unibert pretrain --only teacher")
        teacher = str(recipe.output / "teacher" / "model")
    return _pretrain(recipe, recipe.pretrain, "student", teacher)


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
    )
    _save_recipe(recipe, "seed", "teacher", *(["pretrain"] if name == "student" else []))
    return summary


def run_benchmark(recipe: Recipe) -> list[dict[str, Any]]:
    """Fine-tune and test every model of the recipe, `benchmark/results/`; returns the results."""
    from unibert.benchmark.grid import run_benchmark as run

    if not recipe.benchmark.ner:
        raise RecipeError("benchmark.ner is empty: there is nothing to test on", "Add a [benchmark.ner.XX] table.")
    own: dict[str, Path | str] = {"student": recipe.output / "student" / "model"}
    if recipe.teacher.train is not None:
        own["teacher"] = recipe.output / "teacher" / "model"
    elif recipe.teacher.model is not None:
        own["teacher"] = recipe.teacher.model
    for name, path in own.items():
        if name in recipe.benchmark.models and isinstance(path, Path):
            _require(path / "config.json", f"unibert pretrain --only {name}")
    results = run(recipe.benchmark, own, recipe.output / "benchmark")
    _save_recipe(recipe, "benchmark")
    return results


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
    if recipe.benchmark.ner:
        stages.append(("benchmark", run_benchmark))
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
    with atomic_file(path) as stream:
        stream.write(to_toml(recipe))


def _require(path: Path, command: str) -> None:
    if not path.exists():
        raise DataError(f"{path}: not there yet", f"Run `{command}` first, or `unibert run` for every stage.")
