"""Reading a run's folder: what is missing or damaged is noted by name, and the rest is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unibert.benchmark.models import OWN_MODELS
from unibert.benchmark.results import load_planned, load_results
from unibert.benchmark.schema import Result
from unibert.errors import DataError, RecipeError
from unibert.files import read_json
from unibert.recipe import Pretrain, Recipe
from unibert.recipe_file import load_recipe
from unibert.report.latency_file import Latency, latency_of
from unibert.report.reading import Gap, may_exist, part, reason, without_folder
from unibert.report.schema import Corpus, Tokens
from unibert.report.trainings import Training, trainings
from unibert.universality.schema import Universality, load_universality


@dataclass(frozen=True)
class Run:
    """Everything the report knows, and what it does not."""

    folder: Path
    recipe: Recipe | None
    recipe_text: str
    corpus: Corpus | None
    tokens: Tokens | None
    trainings: dict[str, Training]
    results: list[Result]
    stages: dict[str, dict[str, Any]]
    """The content of every run.json, by the name of its folder."""
    gaps: list[Gap]
    awaited: list[str] = field(default_factory=list)
    """The folders of models that are being trained or still to be trained."""
    planned: dict[str, dict[str, Any]] | None = None
    """The benchmark's runs by address; None where there is no plan."""
    universality: list[Universality] = field(default_factory=list)
    """An entry per encoder, the smallest first."""
    latency: Latency | None = None
    """How fast its models were found to be."""

    @property
    def name(self) -> str:
        """The recipe's name, or the folder's."""
        return self.recipe.name if self.recipe else self.folder.resolve().name

    @property
    def groups(self) -> dict[str, list[Training]]:
        """The trainings by the folder they share: those of a family were trained together, on the same samples."""
        found: dict[str, list[Training]] = {}
        for training in self.trainings.values():
            found.setdefault(training.group, []).append(training)
        return found

    def settings(self, group: str) -> Pretrain | None:
        """The recipe's settings for the models of a group."""
        if self.recipe is None:
            return None
        return self.recipe.teacher.train if group == "teacher" else self.recipe.pretrain


def collect(folder: Path) -> Run:
    """Read what there is in a run's folder.

    Raises:
        DataError: there is no such folder, or nothing in it belongs to a run.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such run folder", "Name the folder of a run, for example runs/quickstart.")
    gaps: list[Gap] = []
    recipe, recipe_text = _recipe(folder, gaps)
    corpus = part(folder, "corpus/statistics.json", Corpus, gaps)
    tokens = part(folder, "tokens/index.json", Tokens, gaps)
    stages = _stages(folder, gaps)
    known, awaited = trainings(folder, recipe, stages, gaps)
    if not (corpus or tokens or known) and recipe is not None and not set(OWN_MODELS) & set(recipe.benchmark.models):
        # A benchmark of finished models: there was nothing to be made before it.
        gaps[:] = [gap for gap in gaps if gap.kind != "missing"]
    results = _results(folder, recipe, gaps, expected=not awaited)
    measured, latency = _universality(folder, gaps), latency_of(folder, gaps)
    if (measured or latency) and not (corpus or tokens or known or results):
        # The universality or the latency of finished models: there was nothing to be made before it.
        gaps[:] = [gap for gap in gaps if gap.kind != "missing"]
    elif not (recipe_text or corpus or tokens or known or results or stages) and all(
        gap.kind == "missing" for gap in gaps
    ):
        raise DataError(
            f"{folder}: holds nothing of a run (no recipe, corpus, tokens, models or results)",
            "Name the folder of a run, the one that holds recipe.toml.",
        )
    if corpus:
        for source in corpus.files:
            if source.damage:
                gaps.append(
                    Gap(f"corpus input {source.file}", "damaged", f"{source.damage}; what could be read is included")
                )
    planned = _planned(folder / "benchmark")
    return Run(
        folder, recipe, recipe_text, corpus, tokens, known, results, stages, gaps, awaited, planned, measured, latency
    )


def _recipe(folder: Path, gaps: list[Gap]) -> tuple[Recipe | None, str]:
    path = folder / "recipe.toml"
    if not may_exist(path):
        gaps.append(Gap("recipe.toml", "missing", "no such file: settings and planned runs are unknown"))
        return None, ""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        gaps.append(Gap("recipe.toml", "damaged", f"cannot be read ({error.strerror})"))
        return None, ""
    try:
        return load_recipe(path), text
    except RecipeError as error:
        gaps.append(Gap("recipe.toml", "damaged", without_folder(error.message, folder)))
        return None, text


def _results(folder: Path, recipe: Recipe | None, gaps: list[Gap], expected: bool) -> list[Result]:
    """`expected`: the models are there, so their results should be."""
    name = "benchmark/results"
    if not (folder / name).is_dir():
        if expected and (recipe is None or recipe.benchmark.data):
            gaps.append(Gap(f"{name}/", "missing", "no such folder: no model was benchmarked here"))
        return []
    found, problems = load_results(folder / name)
    for problem in problems:
        file, _, why = without_folder(problem, folder).partition(": ")
        gaps.append(Gap(file, "left out", why))
    for path in _failures(folder / "benchmark"):
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n") or [""]
        last = next((line for line in reversed(lines) if line.strip()), "no reason was written")
        gaps.append(Gap(f"benchmark/failures/{path.name}", "incomplete", f"{lines[0]} failed: {last.strip()}"))
    if not found:
        gaps.append(Gap(f"{name}/", "missing", "the folder holds no usable result"))
    return found


def _universality(folder: Path, gaps: list[Gap]) -> list[Universality]:
    """What was measured of every encoder, each once."""
    found: dict[str, Universality] = {}
    for path in sorted((folder / "universality").glob("*.json")):
        if path.name == "run.json":
            continue
        name = path.relative_to(folder).as_posix()
        measured = load_universality(path)
        if isinstance(measured, str):
            gaps.append(Gap(name, "damaged", without_folder(measured, folder).removeprefix(f"{name}: ")))
        elif measured.model in found:
            gaps.append(Gap(name, "left out", f"{measured.model} is there twice; the first file is used"))
        else:
            found[measured.model] = measured
    for path in sorted((folder / "universality").glob("*.failed")):
        reason = " ".join(path.read_text(encoding="utf-8", errors="replace").split())
        gaps.append(Gap(path.relative_to(folder).as_posix(), "incomplete", reason or "no reason was written"))
    return sorted(found.values(), key=lambda encoder: (encoder.parameters, encoder.model))


def _failures(folder: Path) -> list[Path]:
    """What was written about runs that failed, without those that are not planned any more."""
    planned = _planned(folder)
    found = sorted(path for path in (folder / "failures").glob("*.txt") if path.is_file())
    return [path for path in found if planned is None or path.stem in planned]


def _planned(folder: Path) -> dict[str, dict[str, Any]] | None:
    try:
        return load_planned(folder)
    except DataError:  # told with the results
        return None


def _stages(folder: Path, gaps: list[Gap]) -> dict[str, dict[str, Any]]:
    """Every run.json of the folder itself and of its stages: when, with which versions, on which machine."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted([*folder.glob("run.json"), *folder.glob("*/run.json")]):
        name = path.relative_to(folder).as_posix()
        try:
            content = read_json(path)
        except (DataError, OSError) as error:
            gaps.append(Gap(name, "damaged", reason(error, folder, name)))
            continue
        if isinstance(content, dict):
            found[path.parent.name if path.parent != folder else "run"] = content
        else:
            gaps.append(Gap(name, "damaged", "not a JSON object"))
    return found
