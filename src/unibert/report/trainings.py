"""The models that are or were trained in a run's folder: the student or a family of students, and the teacher."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from unibert.recipe import Recipe
from unibert.report.reading import Gap, may_exist, part, read_lines
from unibert.report.schema import HeldOut, Shares, Step, Summary, reasons

GROUPS = ("student", "students", "teacher")
"""The folders in which models are trained; `students` has a folder for every member of a family."""


@dataclass(frozen=True)
class Training:
    """One pre-training run: its summary and its log, each None or empty where it could not be read."""

    role: str
    """What the model is called: `student`, `teacher`, or a family member's name."""
    summary: Summary | None
    steps: list[Step] = field(default_factory=list)
    held_out: list[HeldOut] = field(default_factory=list)
    shares: dict[str, float] = field(default_factory=dict)
    """Realised share of the samples per language, from the log's last line."""
    folder: str = ""
    """Of its files, relative to the run's; named like the role when empty."""
    planned_steps: int | None = None
    """Where it is to end, as far as that is known."""
    finished: bool = True
    """Whether summary.json is there; it is written last."""
    written: float | None = None
    """When something was last written into its log, in seconds since 1970."""

    @property
    def group(self) -> str:
        """The one of `GROUPS` that it belongs to."""
        return (self.folder or self.role).partition("/")[0]

    @property
    def last_held_out(self) -> HeldOut | None:
        """The summary's evaluation, or the log's last one where the run is not finished."""
        if self.summary and self.summary.heldout:
            return self.summary.heldout
        return self.held_out[-1] if self.held_out else None


def trainings(
    folder: Path, recipe: Recipe | None, stages: Mapping[str, Mapping[str, Any]], gaps: list[Gap]
) -> tuple[dict[str, Training], list[str]]:
    """Read the models that are or were trained here.

    Args:
        folder: the run's.
        recipe: its recipe, if that can be read.
        stages: the content of every run.json by the name of its folder.
        gaps: what is missing or damaged is added here.

    Returns:
        The trainings by their roles, and the folders of those that are not finished.
    """
    expected = _expected(folder, recipe, stages)
    there = {path.parent.relative_to(folder).as_posix() for path in folder.glob("students/*/log.jsonl")}
    there |= {path.parent.relative_to(folder).as_posix() for path in folder.glob("students/*/summary.json")}
    there |= {group for group in ("student", "teacher") if (folder / group).is_dir()}
    # Members in the family's order, which is by size; the teacher last.
    places = sorted({*expected, *there}, key=lambda place: (place == "teacher", _rank(place, expected), place))
    found: dict[str, Training] = {}
    for place in places:
        group, _, member = place.partition("/")
        if place in there:
            role = member if member and member not in GROUPS else place
            planned = _planned_steps(group, recipe, stages)
            found[role] = _training(folder, role, place, planned, group in stages, gaps)
    awaited = [place for place in places if not may_exist(folder / place / "summary.json")]
    gaps += _absent([place for place in expected if place not in there], awaited, expected, stages)
    return found, awaited


def _rank(place: str, expected: list[str]) -> int:
    return expected.index(place) if place in expected else len(expected)


def _absent(
    absent: list[str], awaited: list[str], expected: list[str], stages: Mapping[str, Mapping[str, Any]]
) -> list[Gap]:
    """Gaps for what should have been trained here and has no folder, one for a whole family."""
    members = [place for place in expected if place.startswith("students/")]
    found = [place for place in absent if place not in members]
    if members and set(members) <= set(awaited):
        # None of them is finished: they are being trained, or nobody has begun.
        found += [] if "students" in stages else ["students"]
    else:
        found += [place for place in absent if place in members]
    return [Gap(f"{place}/", "missing", "no such folder: the model was not trained here") for place in found]


def _expected(folder: Path, recipe: Recipe | None, stages: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The folders of what should have been trained here."""
    # run.json is written when the training starts; recipe.toml is up to date only when it is finished.
    students = _settings("students", stages).get("students") or (recipe and recipe.pretrain.students)
    if isinstance(students, list | dict) and students:
        found = [f"students/{name}" for name in students]
    elif (folder / "students").is_dir() and not (folder / "student").is_dir():
        found = []
    else:
        found = ["student"]
    return found + (["teacher"] if recipe is not None and recipe.teacher.train is not None else [])


def _settings(group: str, stages: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """The settings that the models of a group were begun with."""
    identity = stages.get(group, {}).get("identity")
    settings = identity.get("settings") if isinstance(identity, dict) else None
    return settings if isinstance(settings, dict) else {}


def _planned_steps(group: str, recipe: Recipe | None, stages: Mapping[str, Mapping[str, Any]]) -> int | None:
    steps = _settings(group, stages).get("steps")
    if isinstance(steps, int):
        return steps
    planned = recipe and (recipe.teacher.train if group == "teacher" else recipe.pretrain)
    return planned.steps if planned else None


def _training(folder: Path, role: str, place: str, planned: int | None, started: bool, gaps: list[Gap]) -> Training:
    """One model's summary and log.

    Args:
        folder: the run's.
        role: what the model is called.
        place: its folder, relative to the run's.
        planned: the steps it is to be trained for.
        started: whether it is known that its training was begun.
        gaps: what is missing or damaged is added here.
    """
    finished = may_exist(folder / place / "summary.json")
    steps: dict[int, Step] = {}
    held_out: dict[int, HeldOut] = {}
    latest: tuple[int, dict[str, Any]] = (-1, {})

    def keep(record: Any) -> None:
        nonlocal latest
        # A resumed run may tell a step twice; the later line is the one that led to the weights.
        kind = record.get("kind") if isinstance(record, dict) else None
        if kind == "train":
            step = Step.model_validate(record)
            steps[step.step] = step
            if step.step >= latest[0]:
                latest = step.step, record
        elif kind == "heldout":
            evaluation = HeldOut.model_validate(record)
            held_out[evaluation.step] = evaluation
        else:
            raise ValueError("neither a train nor a heldout record")

    log = folder / place / "log.jsonl"
    if finished or may_exist(log) or not started:
        read_lines(folder, f"{place}/log.jsonl", keep, gaps, growing=not finished)
    under_way = started and (planned is None or max(steps, default=0) < planned)
    # How far a training has come that is under way is told at length, not as something that is missing.
    summary = None if under_way and not finished else part(folder, f"{place}/summary.json", Summary, gaps)
    broken = [number for number, step in steps.items() if not math.isfinite(step.loss)]
    if broken:
        gaps.append(
            Gap(
                f"{place}/log.jsonl",
                "incomplete",
                f"the loss is not a finite number at {len(broken)} logged steps, the first at step {min(broken)}; "
                "the curves leave them out",
            )
        )
    return Training(
        role,
        summary,
        [steps[number] for number in sorted(steps)],
        [held_out[number] for number in sorted(held_out)],
        _shares(latest[1], f"{place}/log.jsonl", gaps),
        place,
        planned,
        finished,
        _modified(log),
    )


def _modified(log: Path) -> float | None:
    """When the file was last written, in seconds since 1970; None where it cannot be asked."""
    try:
        return log.stat().st_mtime
    except OSError:
        return None


def _shares(record: Mapping[str, Any], name: str, gaps: list[Gap]) -> dict[str, float]:
    try:
        return Shares.model_validate(record).shares
    except ValidationError as error:
        gaps.append(Gap(name, "damaged", f"the last line's {reasons(error)}"))
        return {}
