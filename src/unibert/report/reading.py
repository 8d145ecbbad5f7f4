"""Reading one file of a run: what is missing or damaged becomes a gap that names it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from unibert.errors import DataError
from unibert.files import read_json
from unibert.report.schema import Shape, reasons

Kind = Literal["missing", "damaged", "incomplete", "left out", "out of date"]
Part = TypeVar("Part", bound=Shape)


@dataclass(frozen=True)
class Gap:
    """Something the report could not show, or shows with a reservation: which file or cell, and why."""

    part: str
    kind: Kind
    reason: str


def may_exist(path: Path) -> bool:
    """Whether something is there, or may be: in a folder that may not be entered, reading it will tell why not."""
    try:
        return path.exists()
    except OSError:
        return True


def part(folder: Path, name: str, shape: type[Part], gaps: list[Gap]) -> Part | None:
    """One JSON file of the run, checked; None, and a gap, where it is not there or not what it should be."""
    path = folder / name
    if not may_exist(path):
        gaps.append(Gap(name, "missing", "no such file: this stage was not run here, or not finished"))
        return None
    try:
        return shape.model_validate(read_json(path))
    except (DataError, OSError) as error:
        gaps.append(Gap(name, "damaged", reason(error, folder, name)))
    except ValidationError as error:
        gaps.append(Gap(name, "damaged", reasons(error)))
    return None


def read_lines(folder: Path, name: str, keep: Callable[[Any], None], gaps: list[Gap], growing: bool) -> None:
    """Give every line of a JSON-lines file to `keep`; the numbers of those it cannot read become one gap.

    In a `growing` file the last line may be one that is just being written.
    """
    path = folder / name
    if not may_exist(path):
        gaps.append(Gap(name, "missing", "no such file: there are no curves to draw"))
        return
    bad: list[str] = []
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            for number, line in enumerate(stream, start=1):
                if not line.strip():
                    continue
                try:
                    keep(json.loads(line))
                except (ValueError, RecursionError):  # bad JSON, a wrong shape, a foreign record
                    if not (growing and not line.endswith("\n")):
                        bad.append(str(number))
    except OSError as error:
        gaps.append(Gap(name, "damaged", f"cannot be read ({error.strerror})"))
    if bad:
        shown = ", ".join(bad[:5]) + (f" and {len(bad) - 5} more" if len(bad) > 5 else "")
        lines = "line" if len(bad) == 1 else "lines"
        gaps.append(Gap(name, "damaged", f"{lines} {shown} cannot be read; the other lines are shown"))


def reason(error: Exception, folder: Path, name: str) -> str:
    """What an error says, without the name of the file, which stands beside it."""
    return without_folder(getattr(error, "message", str(error)), folder).removeprefix(f"{name}: ")


def without_folder(message: str, folder: Path) -> str:
    """A message with paths relative to the run: the page may travel to people who have no such folder."""
    return message.replace(f"{folder}/", "").replace("\n", "; ")
