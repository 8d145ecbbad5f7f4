"""How fast models are, side by side: every model by every backend, each in a fresh process, one after the other.

A round is one process per model, backend and number of threads; the whole is done in several rounds, every second one
backwards, so that a machine that is busy for a while disturbs neighbours alike and shows as a difference between
rounds. What a process breaks is its own: the others are measured all the same.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from unibert.deploy.energy import find_meter
from unibert.deploy.latency_models import ONNX_FILES, Candidate, find_candidates
from unibert.deploy.latency_process import Ended, work
from unibert.errors import DataError, RecipeError, check_names
from unibert.progress import progress_bar
from unibert.report.latency_file import BACKENDS, Absent, Cell, Latency, Machine, Measurement, Model, Round
from unibert.runs import git_commit, hardware, usable_cores, versions

_PACKAGES = ("unibert", "torch", "transformers", "onnx", "onnxruntime", "numpy")
_OPTIONS = {"backends": "backend", "batches": "batch", "lengths": "length", "threads": "threads"}
Key = tuple[str, str, int]
"""Model, backend, threads."""


@dataclass(frozen=True)
class LatencySettings:
    """What is measured of every model."""

    backends: tuple[str, ...] = BACKENDS
    batches: tuple[int, ...] = (1, 8)
    """Texts at a time."""
    lengths: tuple[int, ...] = (16, 64, 128)
    """Tokens of each text, all attended to."""
    threads: tuple[int, ...] = (1,)
    repeats: int = 100
    """Counted calls of each size of batch in a round."""
    seconds: float = 10.0
    """After which no more calls of a size are begun, though there are fewer."""
    rounds: int = 3

    def check(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            RecipeError: an unknown backend, a number that is not positive, or one that is there twice.
        """
        check_names("--backend", self.backends, list(BACKENDS), "the backends")
        for option in _OPTIONS:
            values, name = getattr(self, option), f"--{_OPTIONS[option]}"
            if not values:
                raise RecipeError(f"{name}: names nothing", "Leave the option out for its default.")
            if len(set(values)) < len(values):
                raise RecipeError(f"{name} {','.join(map(str, values))}: one is there twice", "Name each once.")
            if option != "backends" and min(values) < 1:
                raise RecipeError(f"{name} {min(values)}: has to be 1 or more", "Give positive numbers.")
        for name, value in (("--repeats", self.repeats), ("--seconds", self.seconds), ("--rounds", self.rounds)):
            if value <= 0:
                raise RecipeError(f"{name} {value:g}: has to be more than 0", "Give a positive number.")


@dataclass
class _Ready:
    """A model that can be measured."""

    model: Model
    folder: Path
    kind: str
    limit: int | None
    """Longest text in tokens; None: any."""
    files: dict[str, Path] = field(default_factory=dict)
    """The ONNX files by backend."""
    weights: bool = True
    """Whether PyTorch can load it."""


@dataclass
class _Found:
    """What the rounds have brought of one model by one backend with one number of threads."""

    file_bytes: int
    load_seconds: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    peak: list[int] = field(default_factory=list)
    cells: dict[tuple[int, int], list[Round]] = field(default_factory=dict)


class Measuring:
    """One `unibert latency`: what has been found so far, whenever it ends."""

    def __init__(self, settings: LatencySettings) -> None:
        self._settings = settings
        self._found: dict[Key, _Found] = {}
        self._absent: dict[tuple[str, str, int | None], Absent] = {}
        self._models: dict[str, Model] = {}
        self._load: list[float] = []
        self._energy = meter if isinstance(meter := find_meter(), str) else ""
        self.interrupted = False

    @property
    def any(self) -> bool:
        """Whether something has been measured."""
        return any(found.cells for found in self._found.values())

    def run(self, candidates: Sequence[Candidate]) -> None:
        """Prepare the models and measure them, until all is done or Ctrl-C.

        Raises:
            DataError: a folder that cannot be deployed; nothing has been measured then.
            KeyboardInterrupt: before anything was measured.
        """
        with tempfile.TemporaryDirectory(prefix="unibert-latency-") as scratch:
            place = Path(scratch)
            ready = []
            with progress_bar(len(candidates), "preparing", "model") as bar:
                for number, candidate in enumerate(candidates):
                    bar.set_postfix_str(candidate.name)
                    ready.append(self._prepare(candidate, place / str(number)))
                    bar.update()
            try:
                self._rounds([model for model in ready if model], place)
            except KeyboardInterrupt:
                if not self.any:
                    raise
                self.interrupted = True

    def result(self) -> Latency:
        """What was measured so far."""
        machine = Machine(**hardware(), versions=versions(_PACKAGES), load_average=self._load, energy=self._energy)
        measurements = [
            Measurement(
                model=key[0],
                backend=key[1],
                threads=key[2],
                file_bytes=found.file_bytes,
                load_seconds=found.load_seconds,
                memory_bytes=found.memory,
                peak_bytes=found.peak,
                cells=[Cell(batch=b, length=n, rounds=rounds) for (b, n), rounds in found.cells.items()],
            )
            for key, found in self._found.items()
            if found.cells
        ]
        return Latency(
            date=time.strftime("%Y-%m-%d"),
            commit=git_commit(),
            machine=machine,
            settings=asdict(self._settings),
            models=list(self._models.values()),
            measurements=measurements,
            absent=list(self._absent.values()),
            interrupted=self.interrupted,
        )

    # --- before the rounds ---

    def _prepare(self, candidate: Candidate, place: Path) -> _Ready | None:
        """Make what has to be made, and look at what is there; None where that failed, which is told."""
        folder = candidate.folder or place / "model"
        if candidate.shape:
            ended = work({"do": "make", "shape": candidate.shape, "folder": str(folder)})
            if ended.failed:
                self._models[candidate.name] = Model(name=candidate.name, measures="encoder", random_weights=True)
                self._tell_absent(candidate.name, ended)
                return None
        told: list[dict[str, Any]] = []
        ended = work({"do": "look", "folder": str(folder)}, told.append)
        if ended.kind == "impossible":
            raise DataError(ended.reason, ended.fix)
        if ended.failed or not told:
            self._models[candidate.name] = Model(name=candidate.name, measures="encoder")
            self._tell_absent(candidate.name, ended)
            return None
        seen = told[0]
        numbers = {name: seen[name] for name in ("parameters", "layers", "hidden", "vocabulary")}
        drawn = candidate.shape is not None
        model = Model(name=candidate.name, measures=seen["measures"], random_weights=drawn, **numbers)
        self._models[model.name] = model
        ready = _Ready(model, folder, seen["kind"], seen["limit"], weights=seen["torch"])
        self._find_files(ready, place)
        return ready

    def _find_files(self, ready: _Ready, place: Path) -> None:
        """The ONNX files that are wanted, exported on the way where the folder has none."""
        for backend in (backend for backend in self._settings.backends if backend in ONNX_FILES):
            there, made = ready.folder / ONNX_FILES[backend], place / "exported" / ONNX_FILES[backend]
            if there.is_file():
                ready.files[backend] = there
                continue
            if not ready.weights:
                self._absent[ready.model.name, backend, None] = Absent(
                    model=ready.model.name, backend=backend, kind="impossible",
                    reason=f"the folder has neither {ONNX_FILES[backend]} nor weights to export",
                    fix="Run `unibert quantise` on it." if backend == "onnx-int8" else "",
                )  # fmt: skip
                continue
            job = {"do": "export", "folder": str(ready.folder), "output": str(place / "exported"), "kind": ready.kind}
            ended = work({**job, "quantised": backend == "onnx-int8"})
            if ended.failed:
                self._tell_absent(ready.model.name, ended, backend)
            else:
                ready.files[backend] = made

    # --- the rounds ---

    def _rounds(self, ready: Sequence[_Ready], place: Path) -> None:
        jobs = [
            (model, backend, threads)
            for model in ready
            for backend in self._settings.backends
            for threads in self._settings.threads
            if self._can(model, backend, threads)
        ]
        for model, backend, threads in jobs:  # in the order of the tables, whatever comes first
            self._found[model.model.name, backend, threads] = _Found(_size_of(model, backend))
        cells = {model.model.name: self._cells(model) for model in ready}
        total = sum(len(cells[model.model.name]) for model, _, _ in jobs) * self._settings.rounds
        with progress_bar(total, "latency", "size") as bar:
            for number in range(self._settings.rounds):
                if hasattr(os, "getloadavg"):
                    self._load.append(round(os.getloadavg()[0], 2))
                for model, backend, threads in jobs if number % 2 == 0 else reversed(jobs):
                    bar.set_postfix_str(f"{model.model.name}, {backend}, {threads}", refresh=False)
                    if (model.model.name, backend, threads) not in self._absent:
                        self._measure(model, backend, threads, cells[model.model.name], place, bar.update)

    def _can(self, ready: _Ready, backend: str, threads: int) -> bool:
        """Whether it makes sense to try; if not, that is told."""
        name = ready.model.name
        if backend in ONNX_FILES and backend not in ready.files:
            return False
        if backend not in ONNX_FILES and not ready.weights:
            reason = "the folder holds ONNX files and no weights for PyTorch"
            self._absent[name, backend, None] = Absent(model=name, backend=backend, kind="impossible", reason=reason)
            return False
        if threads > usable_cores():
            self._absent[name, "all", threads] = Absent(
                model=name, backend="all", threads=threads, kind="impossible",
                reason=f"this process may use {usable_cores()} cores",
                fix="Ask for as many threads as there are cores, or fewer.",
            )  # fmt: skip
            return False
        return bool(self._cells(ready))

    def _cells(self, ready: _Ready) -> list[tuple[int, int]]:
        """Batch and length of every size that the model can read; the others are told."""
        name, limit = ready.model.name, ready.limit
        long = [length for length in self._settings.lengths if limit is not None and length > limit]
        for length in long:
            reason = f"texts of {length} tokens: it reads at most {limit}"
            absent = Absent(model=name, backend="all", kind="impossible", reason=reason)
            self._absent.setdefault((name, f"all, {length}", None), absent)
        lengths = [length for length in self._settings.lengths if length not in long]
        return [(batch, length) for batch in self._settings.batches for length in lengths]

    def _measure(
        self,
        ready: _Ready,
        backend: str,
        threads: int,
        cells: Sequence[tuple[int, int]],
        place: Path,
        advance: Callable[[int], object],
    ) -> None:
        """One process; what it tells is kept as it comes."""
        name = ready.model.name
        found = self._found[name, backend, threads]

        def keep(told: dict[str, Any]) -> None:
            what = told.pop("told")
            if what == "loaded":
                found.load_seconds.append(told["seconds"])
            elif what == "memory":
                found.memory.append(told["above"])
                found.peak.append(told["peak"])
            elif what == "cell":
                at = (told.pop("batch"), told.pop("length"))
                found.cells.setdefault(at, []).append(Round.model_validate(told))
                advance(1)

        job = {
            "do": "measure",
            "folder": str(ready.folder),
            "file": str(ready.files[backend]) if backend in ONNX_FILES else None,
            "backend": backend,
            "threads": threads,
            "measures": ready.model.measures,
            "rows": ready.model.vocabulary,
            "cells": list(cells),
            "repeats": self._settings.repeats,
            "seconds": self._settings.seconds,
        }
        # Not another run's compiled code, nor the user's number of threads. Threads wait for one another without
        # spinning, as in `session.open_session`: on a machine that others use, spinning makes two slower than one.
        environment = {
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "OMP_WAIT_POLICY": "PASSIVE",
            "TORCHINDUCTOR_CACHE_DIR": str(place / "compiled"),
        }
        ended = work(job, keep, environment)
        if ended.failed:
            self._tell_absent(name, ended, backend, threads)

    def _tell_absent(self, name: str, ended: Ended, backend: str | None = None, threads: int | None = None) -> None:
        for each in [backend] if backend else self._settings.backends:
            self._absent[name, each, threads] = Absent(
                model=name, backend=each, threads=threads, kind=ended.kind or "failed",
                reason=ended.reason, fix=ended.fix,
            )  # fmt: skip


def measure_latency(models: Sequence[str], settings: LatencySettings) -> Latency:
    """Measure how fast models are; on Ctrl-C what was measured until then.

    Args:
        models: see `latency_models.find_candidates`.
        settings: what is measured of each.

    Raises:
        RecipeError: settings that cannot be meant, or an unknown shape.
        DataError: a folder that is not there, or cannot be deployed.
        KeyboardInterrupt: Ctrl-C before anything was measured.
    """
    settings.check()
    measuring = Measuring(settings)
    measuring.run(find_candidates(models))
    return measuring.result()


def _size_of(ready: _Ready, backend: str) -> int:
    if backend in ONNX_FILES:
        file = ready.files[backend]
        return sum(path.stat().st_size for path in (file, file.with_name(f"{file.name}_data")) if path.exists())
    return sum(path.stat().st_size for path in ready.folder.glob("*.safetensors"))
