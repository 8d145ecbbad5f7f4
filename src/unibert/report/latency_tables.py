"""Latency in tables: every backend of every model at one size of batch, at all of them, and what was left out."""

from __future__ import annotations

from statistics import median

from unibert.report import latency_file as shapes
from unibert.report.latency_file import ENOUGH_CALLS, TITLES, Latency, Measurement
from unibert.report.tables import Cell, Column, Table, words
from unibert.report.wording import NOTHING, count, decimal, millions, milliseconds, percent, size

_MEMORY = "Memory: the most that was resident in the process, less what was before the model was loaded."
_NAMES = [Column("Model", False), Column("Backend", False), Column("Threads")]
_TIMES = [Column("p50, ms", unit="s"), Column("p95, ms", unit="s"), Column("p99, ms", unit="s")]


def overview_table(found: Latency) -> Table | None:
    """Everything about each model, backend and number of threads at `Latency.reference`; None without one."""
    if found.reference is None:
        return None
    there = list(found.at(*found.reference))
    baseline = _baseline(found)
    fastest = min(cell.p50 for _, cell in there)
    rows = []
    for part, cell in there:
        row = [*_named(found, part), *_times(cell, strong=len(there) > 1 and cell.p50 == fastest)]
        row.append(Cell(decimal(cell.sentences, 1 if cell.sentences < 1000 else 0), cell.sentences))
        row += [_factor(found, part, cell, baseline)] if baseline else []
        row += [_bytes(part.memory_bytes), Cell(size(part.file_bytes), part.file_bytes), _spread(cell)]
        rows.append(row)
    columns = [*_NAMES, *_TIMES, Column("Texts per second")]
    columns += [Column("Speed-up")] if baseline else []
    columns += [Column("Memory", unit="bytes"), Column("File", unit="bytes"), Column("Rounds apart", unit="share")]
    batch, length = found.reference
    notes = [
        "Percentiles of the time of a call: of each round's calls, then the median over rounds. Rounds apart: the "
        "slowest round's p50 less the fastest one's, as a share of their median.",
        _MEMORY,
    ]
    if baseline:
        notes.append(f"Speed-up: against {baseline} in {TITLES['torch']} with as many threads, by p50.")
    caption = f"Latency at {batch} × {length} tokens"
    return Table("latency", caption, columns, rows, notes, heading_columns=2)


def loading_table(found: Latency) -> Table:
    """What it takes until the second call: time and memory."""
    rows = []
    for part in found.measurements:
        load, first = median(part.load_seconds), max(cell.first for cell in part.cells)
        row = [*_named(found, part), Cell(milliseconds(load), load), Cell(milliseconds(first), first)]
        row += [_bytes(part.memory_bytes), _bytes(part.peak_bytes), Cell(size(part.file_bytes), part.file_bytes)]
        rows.append(row)
    columns = [*_NAMES, Column("Load, ms", unit="s"), Column("First call, ms", unit="s")]
    columns += [Column("Memory", unit="bytes"), Column("Process at most", unit="bytes"), Column("File", unit="bytes")]
    notes = [
        "Load: from a file that the system has in memory, libraries imported. First call: the longest of all sizes of "
        "batch; what is compiled is compiled then, and no other figure includes it.",
        f"{_MEMORY} Process at most: with libraries.",
    ]
    return Table("latency-loading", "Loading and memory", columns, rows, notes, heading_columns=2)


def cells_table(found: Latency) -> Table:
    """Every size of batch of every measurement."""
    energy = any(cell.joules is not None for part in found.measurements for cell in part.cells)
    rows = []
    for part in found.measurements:
        for cell in part.cells:
            row = [*_named(found, part), Cell(count(cell.batch), cell.batch), Cell(count(cell.length), cell.length)]
            row += _times(cell)
            row += [Cell(decimal(cell.sentences, 1), cell.sentences), Cell(count(cell.calls), cell.calls)]
            row.append(_spread(cell))
            if energy:
                row.append(
                    Cell(NOTHING, note="not measured")
                    if cell.joules is None
                    else Cell(decimal(cell.joules * 1000, 1), cell.joules)
                )
            rows.append(row)
    columns = [*_NAMES, Column("Batch"), Column("Length"), *_TIMES, Column("Texts per second"), Column("Calls")]
    columns += [Column("Rounds apart", unit="share"), *([Column("Energy, mJ", unit="J")] if energy else [])]
    notes = ["Calls: of all rounds together."]
    if energy:
        notes.append("Energy: per call, of all that ran on the processor meanwhile, by its own counters (RAPL).")
    return Table("latency-cells", "Latency at every size of batch", columns, rows, notes, heading_columns=2)


def models_table(found: Latency) -> Table:
    """What the models are, and whether their weights are."""
    missing = "not in the folder"
    rows = []
    for model in found.models:
        numbers = [model.layers, model.hidden, model.vocabulary]
        rows.append(
            [
                words(model.name),
                words(model.measures),
                words("random weights" if model.random_weights else "its own"),
                Cell(NOTHING, note=missing)
                if model.parameters is None
                else Cell(millions(model.parameters), model.parameters),
                *(Cell(NOTHING, note=missing) if each is None else Cell(count(each), each) for each in numbers),
            ]
        )
    labels = ("Parameters", "Layers", "Width", "Pieces")
    columns = [*(Column(label, False) for label in ("Model", "Measured", "Weights")), *map(Column, labels)]
    notes = ["Measured: the encoder with its last hidden states, or the encoder with the head of a task."]
    return Table("latency-models", "The models that were measured", columns, rows, notes)


def absent_table(found: Latency) -> Table | None:
    """What could not be measured, and why."""
    if not found.absent:
        return None
    rows = [
        [
            words(part.model),
            words(TITLES.get(part.backend, part.backend)),
            Cell(NOTHING, note="with any number") if part.threads is None else Cell(count(part.threads), part.threads),
            words("cannot be measured" if part.kind == "impossible" else "failed"),
            words(part.reason),
            words(part.fix),
        ]
        for part in found.absent
    ]
    columns = [*_NAMES, *(Column(label, False) for label in ("What", "Why", "What to do"))]
    return Table("latency-absent", "What was not measured", columns, rows, heading_columns=2)


def _baseline(found: Latency) -> str | None:
    """The model that is slowest in PyTorch float32; None where nothing else is there to be compared with it."""
    if found.reference is None:
        return None
    slow = [(cell.p50, part.model) for part, cell in found.at(*found.reference) if part.backend == "torch"]
    return (
        max(slow)[1] if slow and len(found.measurements) > len({part.threads for part in found.measurements}) else None
    )


def _factor(found: Latency, part: Measurement, cell: shapes.Cell, baseline: str) -> Cell:
    for other, its in found.at(cell.batch, cell.length):
        if other.key == (baseline, "torch", part.threads):
            factor = its.p50 / max(cell.p50, 1e-9)
            return Cell(decimal(factor, 2 if factor < 9.995 else 1), factor)
    return Cell(NOTHING, note=f"{baseline} was not measured with as many threads")


def _named(found: Latency, part: Measurement) -> list[Cell]:
    drawn = found.model(part.model).random_weights
    model = Cell(part.model, part.model, small="random weights" if drawn else "",
                 parts={"weights": "random" if drawn else "its own"})  # fmt: skip
    return [model, words(TITLES[part.backend]), Cell(count(part.threads), part.threads)]


def _times(cell: shapes.Cell, strong: bool = False) -> list[Cell]:
    few = min(each.calls for each in cell.rounds)
    note = f"of fewer than {ENOUGH_CALLS} calls in a round" if few < ENOUGH_CALLS else ""
    return [
        Cell(milliseconds(cell.p50), cell.p50, strong=strong),
        Cell(milliseconds(cell.p95), cell.p95),
        Cell(milliseconds(cell.p99), cell.p99, note=note),
    ]


def _spread(cell: shapes.Cell) -> Cell:
    if cell.spread is None:
        return Cell(NOTHING, note="one round")
    return Cell(percent(cell.spread, 0), cell.spread)


def _bytes(found: list[int]) -> Cell:
    if not found:
        return Cell(NOTHING, note="this system does not tell")
    return Cell(size(median(found)), round(median(found)))
