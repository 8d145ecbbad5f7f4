"""What `latency.json` holds, and reading it.

The same models on the same machine by several backends. A cell is one size of batch (batch x length); it is measured
in rounds, each in a process of its own, and what is told of it is the median over rounds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, model_validator

from unibert.benchmark.schema import Count, Shape, Versioned, validated
from unibert.report.reading import Gap, may_exist, without_folder

FILE = "latency.json"
PLACES = (f"latency/{FILE}", f"deploy/{FILE}")
"""Where a run has its latencies."""
Backend = Literal["torch", "torch-bf16", "torch-compile", "onnx", "onnx-int8"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)
TITLES: dict[str, str] = {
    "torch": "PyTorch float32",
    "torch-bf16": "PyTorch bfloat16",
    "torch-compile": "PyTorch compiled",
    "onnx": "ONNX float32",
    "onnx-int8": "ONNX int8",
}
ENOUGH_CALLS = 100
"""The 99th percentile of fewer calls is little else than the slowest of them."""
Whole = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Round(Shape):
    """The counted calls of one process at one size of batch; all times in seconds."""

    calls: Whole
    first: Seconds
    """The very first call, which no other figure includes: whatever is compiled is compiled here."""
    mean: Seconds
    p50: Seconds
    p95: Seconds
    p99: Seconds
    joules: Seconds | None = None
    """Per call, by the processor's own counters, of all that ran on it; None where it does not tell."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.p50 <= self.p95 <= self.p99:
            raise ValueError(f"percentiles {self.p50}, {self.p95}, {self.p99} are not in order")
        return self


class Cell(Shape):
    """One size of batch; every position of every text is attended to."""

    batch: Whole
    """Texts."""
    length: Whole
    """Of each, in tokens."""
    rounds: Annotated[list[Round], Field(min_length=1)]

    @property
    def p50(self) -> float:
        """Median over rounds of the median over calls, seconds."""
        return median(each.p50 for each in self.rounds)

    @property
    def p95(self) -> float:
        """Median over rounds."""
        return median(each.p95 for each in self.rounds)

    @property
    def p99(self) -> float:
        """Median over rounds."""
        return median(each.p99 for each in self.rounds)

    @property
    def first(self) -> float:
        """The longest first call of a round: later ones may find what was compiled before."""
        return max(each.first for each in self.rounds)

    @property
    def calls(self) -> int:
        """Of all rounds."""
        return sum(each.calls for each in self.rounds)

    @property
    def sentences(self) -> float:
        """Texts per second, all counted calls together; the median over rounds."""
        return median(self.batch / max(each.mean, 1e-9) for each in self.rounds)

    @property
    def joules(self) -> float | None:
        """Per call; the median over rounds."""
        known = [each.joules for each in self.rounds if each.joules is not None]
        return median(known) if known else None

    @property
    def spread(self) -> float | None:
        """How far the rounds' medians are apart, as a share of their median; None of a single round."""
        found = [each.p50 for each in self.rounds]
        return (max(found) - min(found)) / max(self.p50, 1e-9) if len(found) > 1 else None


class Measurement(Shape):
    """A model by one backend with one number of threads; lists have an entry per round."""

    model: str
    backend: Backend
    threads: Whole
    file_bytes: Count
    """Of the file (or files) that it was loaded from."""
    load_seconds: Annotated[list[Seconds], Field(min_length=1)]
    """From the file, which the system had in memory, to the model; libraries were imported before."""
    memory_bytes: list[Count] = Field(default_factory=list)
    """The most that was resident, less what was before loading."""
    peak_bytes: list[Count] = Field(default_factory=list)
    """The most that was ever resident in the process, libraries included."""
    cells: Annotated[list[Cell], Field(min_length=1)]

    @property
    def key(self) -> tuple[str, str, int]:
        """What tells it apart."""
        return (self.model, self.backend, self.threads)

    def cell(self, batch: int, length: int) -> Cell | None:
        """That size of batch; None where it was not measured."""
        return next((cell for cell in self.cells if (cell.batch, cell.length) == (batch, length)), None)


class Model(Shape):
    """What was measured."""

    name: str
    measures: str
    """`encoder` (hidden states), `embeddings` (of sentences), or the task of the head."""
    random_weights: bool = False
    """Only the shape is that of a real model: it says how fast that is, and nothing else."""
    parameters: Count | None = None
    """Of what is measured; None where that is not known."""
    layers: Count | None = None
    hidden: Count | None = None
    vocabulary: Count | None = None


class Absent(Shape):
    """What was asked for and could not be measured."""

    model: str
    backend: str
    threads: Count | None = None
    """None: with any number."""
    kind: Literal["impossible", "failed"]
    """`impossible`: this machine or this model cannot; `failed`: it was tried, and ended badly."""
    reason: str
    fix: str = ""


class Machine(Shape):
    """What it was measured on; nothing that tells whose it is."""

    processor: str
    cores: Whole
    """That the process might use."""
    system: str
    versions: dict[str, str]
    load_average: list[float] = Field(default_factory=list)
    """Programs at work over the last minute, one number before each round."""
    energy: str = ""
    """Why there is no energy; empty where it was measured."""


class Latency(Versioned):
    """All that one `unibert latency` measured."""

    version: Literal[1] = Field(alias="schema", default=1)
    date: str
    commit: str | None = None
    machine: Machine
    settings: dict[str, Any]
    models: Annotated[list[Model], Field(min_length=1)]
    measurements: list[Measurement]
    absent: list[Absent] = Field(default_factory=list)
    interrupted: bool = False

    @model_validator(mode="after")
    def _known_models(self) -> Self:
        names = [model.name for model in self.models]
        if len(set(names)) < len(names):
            raise ValueError("models: a name is there twice")
        keys = [found.key for found in self.measurements]
        if len(set(keys)) < len(keys):
            raise ValueError("measurements: a model, backend and number of threads are there twice")
        for name in (*(part.model for part in self.measurements), *(part.model for part in self.absent)):
            if name not in names:
                raise ValueError(f"{name} is not among the models")
        return self

    def as_json(self) -> dict[str, Any]:
        """The latencies as their file holds them."""
        return self.model_dump(mode="json", by_alias=True)

    def model(self, name: str) -> Model:
        """One of the models."""
        return next(model for model in self.models if model.name == name)

    def at(self, batch: int, length: int) -> Iterator[tuple[Measurement, Cell]]:
        """Every measurement that has that size of batch, as the models and backends were given."""
        for found in self.measurements:
            cell = found.cell(batch, length)
            if cell:
                yield found, cell

    @property
    def reference(self) -> tuple[int, int] | None:
        """The size of batch that is told first: 1 x 64, or what is nearest to it; None where nothing was measured."""
        sizes = {(cell.batch, cell.length) for found in self.measurements for cell in found.cells}
        return min(sizes, key=lambda at: (at[0], abs(math.log(at[1] / 64)), at[1]), default=None)


def load_latency(path: Path) -> Latency | str:
    """The latencies in a file; what is wrong with it, as text, if it is damaged or of another version."""
    return validated(path, Latency)


def latency_of(folder: Path, gaps: list[Gap]) -> Latency | None:
    """The latencies of a run, from the first of `PLACES` that can be read; None where there are none.

    Args:
        folder: of the run.
        gaps: gets the files that cannot be read, and a second one that is not shown.
    """
    shown: tuple[str, Latency] | None = None
    for name in PLACES:
        if not may_exist(folder / name):
            continue
        found = load_latency(folder / name)
        if isinstance(found, str):
            gaps.append(Gap(name, "damaged", without_folder(found, folder).removeprefix(f"{name}: ")))
        elif shown:
            gaps.append(Gap(name, "left out", f"{shown[0]} is shown"))
        else:
            shown = (name, found)
    return shown[1] if shown else None


def only(found: Latency | None, models: Sequence[str]) -> Latency | None:
    """The latencies of some models; None where it has none of them.

    Args:
        found: of all; None if there are none.
        models: their names; none means all.
    """
    if found is None or not models:
        return found
    parts = {
        name: [part for part in getattr(found, name) if getattr(part, key) in models]
        for name, key in (("models", "name"), ("measurements", "model"), ("absent", "model"))
    }
    return found.model_copy(update=parts) if parts["models"] else None
