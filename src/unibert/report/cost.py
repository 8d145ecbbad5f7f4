"""What a run cost: time, hours of cores or accelerators, and energy where it was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from unibert.benchmark.scores import Board
from unibert.report.blocks import KeyNumber
from unibert.report.collect import Run
from unibert.report.tables import Cell, Column, Table, words
from unibert.report.wording import NOTHING, count, decimal, duration, listing, plural


@dataclass(frozen=True)
class Cost:
    """One stage's."""

    what: str
    seconds: float
    """On the clock; of fine-tuning runs, which may go on side by side, added up."""
    machine: str
    unit: str = ""
    """What `hours` counts: `GPU` or `core`; empty where it cannot be told."""
    hours: float | None = None
    energy_kwh: float | None = None
    runs: int = 0
    """How many were added up; 0 for a training, which is one."""


def costs(run: Run, boards: Sequence[Board]) -> list[Cost]:
    """What each finished training and each benchmark took."""
    found = []
    for group, trainings in run.groups.items():
        # The members of a family were trained at the same time, by the same processes.
        summary = max(
            (training.summary for training in trainings if training.summary), key=lambda its: its.seconds, default=None
        )
        if summary is None:
            continue
        what = f"Training of the {group}"
        if summary.device:
            several = f"{summary.processes} × " if summary.processes > 1 else ""
            hours = summary.seconds * summary.processes / 3600
            found.append(Cost(what, summary.seconds, f"{several}{summary.device}", "GPU", hours, summary.energy_kwh))
            continue
        name, cores = _machine(run.stages.get(group, {}).get("hardware"))
        hours_ = summary.seconds * cores / 3600 if cores else None
        found.append(Cost(what, summary.seconds, name, "core" if cores else "", hours_, summary.energy_kwh))
    for board in boards:
        machines = dict.fromkeys(_machine(result.provenance.get("hardware"))[0] for result in board.results)
        seconds, runs = sum(result.seconds for result in board.results), len(board.results)
        found.append(Cost(f"Fine-tuning, {board.title}", seconds, listing(list(machines)), runs=runs))
    return found


_UNKNOWN = "not recorded"


def _machine(hardware: Any) -> tuple[str, int | None]:
    """Its name and how many cores it lent, from the record of a stage."""
    record = hardware if isinstance(hardware, dict) else {}
    name, cores = record.get("processor"), record.get("cores")
    told = str(name) if name else _UNKNOWN
    if not isinstance(cores, int) or cores < 1:
        return told, None
    return f"{told}, {plural(cores, 'core')}", cores


def _hours(unit: str, hours: float) -> str:
    return f"{decimal(hours, 2 if hours < 10 else 0)} {unit} hours"


def cost_number(found: Sequence[Cost]) -> KeyNumber | None:
    """Hours of cores or of GPUs of all trainings; None where they are not of one kind."""
    trained = [cost for cost in found if cost.hours is not None]
    units = {cost.unit for cost in trained}
    if len(units) != 1:
        return None
    each = listing([cost.what.removeprefix("Training of the ") for cost in trained])
    return KeyNumber("Training cost", _hours(units.pop(), sum(cost.hours or 0.0 for cost in trained)), each)


def cost_sentence(found: Sequence[Cost]) -> str:
    """The same in words; empty where nothing is known."""
    told = []
    for cost in found:
        if not cost.runs:
            hours = f" ({_hours(cost.unit, cost.hours)})" if cost.hours is not None else ""
            where = "" if cost.machine == _UNKNOWN else f" on {cost.machine}"
            told.append(f"{cost.what[0].lower()}{cost.what[1:]}: {duration(cost.seconds)}{where}{hours}")
    runs = sum(cost.runs for cost in found)
    if runs:
        seconds = sum(cost.seconds for cost in found if cost.runs)
        told.append(f"{plural(runs, 'fine-tuning run')}: {duration(seconds)}, added up")
    energy = [cost.energy_kwh for cost in found if cost.energy_kwh is not None]
    if energy:
        told.append(f"energy, where it was measured: {decimal(sum(energy))} kWh")
    return f"What it took: {'; '.join(told)}." if told else ""


def cost_table(found: Sequence[Cost]) -> Table:
    """A row per stage."""
    rows = []
    for cost in found:
        hours = Cell(NOTHING, note="cannot be told: runs may share a machine" if cost.runs else "not recorded")
        if cost.hours is not None:
            hours = Cell(_hours(cost.unit, cost.hours), cost.hours)
        energy = Cell(NOTHING, note="not measured")
        if cost.energy_kwh is not None:
            energy = Cell(f"{decimal(cost.energy_kwh)} kWh", cost.energy_kwh)
        runs = Cell(count(cost.runs or 1), cost.runs or 1)
        rows.append(
            [words(cost.what), runs, Cell(duration(cost.seconds), cost.seconds), hours, energy, words(cost.machine)]
        )
    columns = [Column("Stage", False), Column("Runs"), Column("Time", unit="seconds"), Column("Cores or GPUs, hours")]
    columns += [Column("Energy", unit="kWh"), Column("Machine", False)]
    notes = ["Core hours: time on the clock times the cores that training could use; GPU hours: times the GPUs."]
    if any(cost.runs > 1 for cost in found):
        notes.append("Times of fine-tuning runs are added up; on the clock it may have been less.")
    return Table("cost", "What it took", columns, rows, notes)
