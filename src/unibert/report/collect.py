"""Reading a run's folder: what is missing or damaged is noted by name, and the rest is kept."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from unibert.benchmark.results import load_plan, load_results
from unibert.benchmark.schema import Result
from unibert.errors import DataError, RecipeError
from unibert.files import read_json
from unibert.recipe import Recipe
from unibert.recipe_file import load_recipe
from unibert.report.schema import Corpus, HeldOut, Shape, Step, Summary, Tokens, reasons

ROLES = ("student", "teacher")
Kind = Literal["missing", "damaged", "incomplete", "left out", "out of date"]
Part = TypeVar("Part", bound=Shape)


@dataclass(frozen=True)
class Gap:
    """Something the report could not show, or shows with a reservation: which file or cell, and why."""

    part: str
    kind: Kind
    reason: str


@dataclass(frozen=True)
class Training:
    """One pre-training run: its summary and its log, each None or empty where it could not be read."""

    role: str
    summary: Summary | None
    steps: list[Step] = field(default_factory=list)
    held_out: list[HeldOut] = field(default_factory=list)

    @property
    def last_held_out(self) -> HeldOut | None:
        """The summary's evaluation, or the log's last one where the run is not finished."""
        if self.summary and self.summary.heldout:
            return self.summary.heldout
        return self.held_out[-1] if self.held_out else None

    @property
    def shares(self) -> dict[str, float]:
        """Realised share of the samples per language, from the log's last line."""
        return self.steps[-1].shares if self.steps else {}


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

    @property
    def name(self) -> str:
        """The recipe's name, or the folder's."""
        return self.recipe.name if self.recipe else self.folder.resolve().name


def collect(folder: Path) -> Run:
    """Read what there is in a run's folder.

    Raises:
        DataError: there is no such folder, or nothing in it belongs to a run.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such run folder", "Name the folder of a run, for example runs/quickstart.")
    gaps: list[Gap] = []
    recipe, recipe_text = _recipe(folder, gaps)
    corpus = _part(folder, "corpus/statistics.json", Corpus, gaps)
    tokens = _part(folder, "tokens/index.json", Tokens, gaps)
    trainings = {role: _training(folder, role, recipe, gaps) for role in ROLES}
    results = _results(folder, recipe, gaps)
    stages = _stages(folder, gaps)
    known = {role: training for role, training in trainings.items() if training is not None}
    if not (recipe_text or corpus or tokens or known or results or stages) and all(
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
    return Run(folder, recipe, recipe_text, corpus, tokens, known, results, stages, gaps)


def _recipe(folder: Path, gaps: list[Gap]) -> tuple[Recipe | None, str]:
    path = folder / "recipe.toml"
    if not path.exists():
        gaps.append(Gap("recipe.toml", "missing", "no such file: settings and planned runs are unknown"))
        return None, ""
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        return load_recipe(path), text
    except RecipeError as error:
        gaps.append(Gap("recipe.toml", "damaged", _without_folder(error.message, folder)))
        return None, text


def _part(folder: Path, name: str, shape: type[Part], gaps: list[Gap]) -> Part | None:
    """One JSON file of the run, checked; None, and a gap, where it is not there or not what it should be."""
    path = folder / name
    if not path.exists():
        gaps.append(Gap(name, "missing", "no such file: this stage was not run here, or not finished"))
        return None
    try:
        return shape.model_validate(read_json(path))
    except (DataError, OSError) as error:
        gaps.append(Gap(name, "damaged", _reason(error, folder, name)))
    except ValidationError as error:
        gaps.append(Gap(name, "damaged", reasons(error)))
    return None


def _training(folder: Path, role: str, recipe: Recipe | None, gaps: list[Gap]) -> Training | None:
    """The teacher or the student; None where there is no such run, a gap too where there should be one."""
    if not (folder / role).is_dir():
        if role == "student" or (recipe is not None and recipe.teacher.train is not None):
            gaps.append(Gap(f"{role}/", "missing", "no such folder: the model was not trained here"))
        return None
    summary = _part(folder, f"{role}/summary.json", Summary, gaps)
    steps: dict[int, Step] = {}
    held_out: dict[int, HeldOut] = {}

    def keep(record: Any) -> None:
        # A resumed run may tell a step twice; the later line is the one that led to the weights.
        kind = record.get("kind") if isinstance(record, dict) else None
        if kind == "train":
            step = Step.model_validate(record)
            steps[step.step] = step
        elif kind == "heldout":
            evaluation = HeldOut.model_validate(record)
            held_out[evaluation.step] = evaluation
        else:
            raise ValueError("neither a train nor a heldout record")

    _read_lines(folder, f"{role}/log.jsonl", keep, gaps)
    broken = [number for number, step in steps.items() if not math.isfinite(step.loss)]
    if broken:
        gaps.append(
            Gap(
                f"{role}/log.jsonl",
                "incomplete",
                f"the loss is not a finite number at {len(broken)} logged steps, the first at step {min(broken)}; "
                "the curves leave them out",
            )
        )
    ordered = [steps[number] for number in sorted(steps)]
    return Training(role, summary, ordered, [held_out[number] for number in sorted(held_out)])


def _read_lines(folder: Path, name: str, keep: Callable[[Any], None], gaps: list[Gap]) -> None:
    """Give every line of a JSON-lines file to `keep`; the numbers of those it cannot read become one gap."""
    path = folder / name
    if not path.exists():
        gaps.append(Gap(name, "missing", "no such file: there are no curves to draw"))
        return
    bad: list[str] = []
    with path.open(encoding="utf-8", errors="replace") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                keep(json.loads(line))
            except (ValueError, RecursionError):  # bad JSON, a wrong shape, a foreign record
                bad.append(str(number))
    if bad:
        shown = ", ".join(bad[:5]) + (f" and {len(bad) - 5} more" if len(bad) > 5 else "")
        lines = "line" if len(bad) == 1 else "lines"
        gaps.append(Gap(name, "damaged", f"{lines} {shown} cannot be read; the other lines are shown"))


def _results(folder: Path, recipe: Recipe | None, gaps: list[Gap]) -> list[Result]:
    name = "benchmark/results"
    if not (folder / name).is_dir():
        if recipe is None or recipe.benchmark.ner:
            gaps.append(Gap(f"{name}/", "missing", "no such folder: no model was benchmarked here"))
        return []
    found, problems = load_results(folder / name)
    for problem in problems:
        file, _, reason = _without_folder(problem, folder).partition(": ")
        gaps.append(Gap(file, "left out", reason))
    for path in _failures(folder / "benchmark"):
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n") or [""]
        last = next((line for line in reversed(lines) if line.strip()), "no reason was written")
        gaps.append(Gap(f"benchmark/failures/{path.name}", "incomplete", f"{lines[0]} failed: {last.strip()}"))
    if not found:
        gaps.append(Gap(f"{name}/", "missing", "the folder holds no usable result"))
    return found


def _failures(folder: Path) -> list[Path]:
    """What was written about runs that failed, without those that are not planned any more."""
    try:
        planned = load_plan(folder)
    except DataError:  # told with the results
        planned = None
    found = sorted((folder / "failures").glob("*.txt"))
    return [path for path in found if planned is None or path.stem in planned]


def _stages(folder: Path, gaps: list[Gap]) -> dict[str, dict[str, Any]]:
    """Every run.json of the folder itself and of its stages: when, with which versions, on which machine."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted([*folder.glob("run.json"), *folder.glob("*/run.json")]):
        name = path.relative_to(folder).as_posix()
        try:
            content = read_json(path)
        except (DataError, OSError) as error:
            gaps.append(Gap(name, "damaged", _reason(error, folder, name)))
            continue
        if isinstance(content, dict):
            found[path.parent.name if path.parent != folder else "run"] = content
        else:
            gaps.append(Gap(name, "damaged", "not a JSON object"))
    return found


def _reason(error: Exception, folder: Path, name: str) -> str:
    """What an error says, without the name of the file, which stands beside it."""
    return _without_folder(getattr(error, "message", str(error)), folder).removeprefix(f"{name}: ")


def _without_folder(message: str, folder: Path) -> str:
    """A message with paths relative to the run: the page may travel to people who have no such folder."""
    return message.replace(f"{folder}/", "").replace("\n", "; ")
