"""What a run says while it goes: JSON lines always, TensorBoard and a tracker where wanted, a progress bar.

The JSON lines are what reports and summaries are made from. Nothing in here may end a run of weeks: where a line
cannot be written it is kept and tried again, where TensorBoard or the tracker fails the run goes on, and each says so
once.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol, Self

from unibert.errors import UniBertError
from unibert.files import atomic_file, telling_of_full_disk
from unibert.pretrain.trackers import Tracker
from unibert.progress import StepBar

LOG_FILE = "log.jsonl"


class LossBar:
    """A progress bar that also tells losses, speed and share of the machine's peak: of one model or of a family."""

    def __init__(self, steps: int, name: str, step: int) -> None:
        self._bar = StepBar(steps, name, initial=step)
        self._latest: dict[str, Mapping[str, Any]] = {}

    def advance(self) -> None:
        """One step is done."""
        self._bar.advance()

    def tell(self, member: str, record: Mapping[str, Any]) -> None:
        """A model's latest `train` record."""
        self._latest[member] = record
        self._bar.tell("  ".join([*self._losses(), *_speed(record)]))

    def _losses(self) -> Iterator[str]:
        if len(self._latest) > 1:
            # One number each is what fits; the whole objective where masked language modelling is no part of it.
            values = {member: _first(record, "mlm", "loss") for member, record in self._latest.items()}
            yield "mlm " + "  ".join(f"{member} {value:.3f}" for member, value in values.items())
            return
        for record in self._latest.values():
            yield from (f"{key} {record[key]:.3f}" for key in ("loss", "mlm") if record.get(key) is not None)

    def close(self) -> None:
        """Leave the last state standing."""
        self._bar.close()


def _first(record: Mapping[str, Any], *keys: str) -> float:
    return next((record[key] for key in keys if record.get(key) is not None), math.nan)


def _speed(record: Mapping[str, Any]) -> Iterator[str]:
    speed, share = record.get("tokens_per_second"), record.get("peak_fraction")
    if speed is not None:
        yield f"{speed:,.0f} tokens/s"
    if share is not None and math.isfinite(share):
        yield f"{share * 100:.1f} % of peak"


class Follower(Protocol):
    """Something that is sent the numbers as well; it may fail with any exception."""

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Numbers by name, `kind/key`."""

    def close(self) -> None:
        """Nothing more will come."""


class _Events:
    """TensorBoard's event files."""

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # It hides what was told from this step on; what the checkpoint's own step told stays, as in log.jsonl.
        self._writer = SummaryWriter(str(folder), purge_step=step + 1 if step > 0 else 0)

    def write(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class RunLog:
    """The log of one run; a context manager that flushes on every line.

    Args:
        folder: `log.jsonl`, `tensorboard/` and `tracker.json` are written there.
        step: where the run stands: records of later steps, left by a run that was cut off after its last checkpoint,
            are removed, so that every step is told once.
        steps: where it will end.
        name: shown by the progress bar and the tracker.
        tensorboard: write events when the package is installed.
        enabled: False on all processes but the first.
        tracker: `wandb` or `trackio`, to send the log to as well.
        config: the whole recipe, for the tracker.
        bar: show a progress bar of its own; or one that it shares with others, who move it on.

    Raises:
        DataError: the tracker's package is missing, or it cannot start; the disk is full.
    """

    def __init__(
        self,
        folder: Path,
        step: int,
        steps: int,
        name: str,
        tensorboard: bool,
        enabled: bool,
        tracker: str | None = None,
        config: Mapping[str, Any] | None = None,
        bar: bool | LossBar = True,
    ) -> None:
        self.path = folder / LOG_FILE
        self.enabled = enabled
        self._name = name
        self._followers: dict[str, Follower] = {}
        self._failed: set[str] = set()
        self._sent: set[tuple[str, int]] = set()
        self._own_bar: LossBar | None = None
        self._bar: LossBar | None = None
        if not enabled:
            return
        folder.mkdir(parents=True, exist_ok=True)
        with telling_of_full_disk(self.path):
            dropped = _drop_later_records(self.path, step)
        self._lines = _Lines(self.path)
        if tracker is not None:
            self._start_tracker(tracker, folder, config, dropped)
        if tensorboard:
            self._start_tensorboard(folder / "tensorboard", step)
        self._own_bar = LossBar(steps, name, step) if bar is True else None
        self._bar = self._own_bar or (bar if isinstance(bar, LossBar) else None)

    def _start_tracker(
        self, kind: str, folder: Path, config: Mapping[str, Any] | None, dropped: set[tuple[str, int]]
    ) -> None:
        try:
            tracker = Tracker(kind, folder, self._name, config)
        except UniBertError:
            raise
        except Exception as error:  # any of a foreign package
            warn(f"{self._name}: {kind} cannot go on with this run ({error}); training goes on without it")
            return
        self._followers[kind] = tracker
        # What is trained once more was sent before; a tracker would show it twice.
        self._sent = dropped if tracker.resumed else set()

    def _start_tensorboard(self, folder: Path, step: int) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        try:
            self._followers["TensorBoard"] = _Events(folder, step)
        except ImportError:
            pass
        except OSError as error:
            warn(f"{folder}: TensorBoard's files cannot be written ({error}); training goes on without them")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.enabled:
            return
        if self._own_bar is not None:
            self._own_bar.close()
        self._lines.flush()
        if self._lines.waiting:
            warn(f"{self.path}: {len(self._lines.waiting)} lines could not be written and are lost")
        for name, follower in self._followers.items():
            try:
                follower.close()
            except Exception as error:  # any of a foreign package
                self._warn_once(name, error)

    def advance(self) -> None:
        """One step is done."""
        if self._own_bar is not None:
            self._own_bar.advance()

    def write(self, record: dict[str, Any]) -> None:
        """Append a record; its numbers go to TensorBoard and the tracker as `kind/name`, the main ones to the bar."""
        if not self.enabled:
            return
        self._lines.append(record)
        kind, step = record["kind"], record["step"]
        if kind == "train" and self._bar is not None:
            self._bar.tell(self._name, record)
        for name, follower in self._followers.items():
            if isinstance(follower, Tracker) and (kind, step) in self._sent:
                continue
            try:
                follower.write(dict(_numbers(record)), step)
            except Exception as error:  # any of a foreign package, and TensorBoard's of a full disk
                self._warn_once(name, error)

    def _warn_once(self, follower: str, error: Exception) -> None:
        if follower not in self._failed:
            self._failed.add(follower)
            warn(
                f"{self._name}: {follower} fails ({type(error).__name__}: {error}); training goes on, and {LOG_FILE} "
                "has every record"
            )


class FamilyLog:
    """The logs of models that are trained side by side, and one bar above them all; a single model is a family of one.

    Args:
        folders: of each member, for its `log.jsonl`, `tensorboard/` and `tracker.json`.
        step: where the run stands; this and the rest are told with `RunLog`.
        steps: where it will end.
        name: of the run, shown by the bar; a member that is alone also goes by it.
        tensorboard: write events.
        enabled: False on all processes but the first.
        tracker: every member is a run of its own there.
        config: the whole recipe.

    Raises:
        DataError: as from `RunLog`.
    """

    def __init__(
        self,
        folders: Mapping[str, Path],
        step: int,
        steps: int,
        name: str,
        tensorboard: bool,
        enabled: bool,
        tracker: str | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self._logs: dict[str, RunLog] = {}
        self._bar: LossBar | None = None
        with ExitStack() as opened:  # closes those before, where one cannot be opened
            if enabled:
                self._bar = LossBar(steps, name, step)
                opened.callback(self._bar.close)
            for member, folder in folders.items():
                called = name if len(folders) == 1 else member
                log = RunLog(folder, step, steps, called, tensorboard, enabled, tracker, config, bar=self._bar or False)
                self._logs[member] = opened.enter_context(log)
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def __getitem__(self, member: str) -> RunLog:
        return self._logs[member]

    def advance(self) -> None:
        """One step of all members is done."""
        if self._bar is not None:
            self._bar.advance()


class _Lines:
    """A file of JSON lines that grows by whole ones: what cannot be written now waits and is tried with the next."""

    def __init__(self, path: Path) -> None:
        self.waiting: list[bytes] = []
        self._path = path
        self._torn = False
        """Whether the file may end in a part of a line."""
        self._warned = False

    def append(self, record: Mapping[str, Any]) -> None:
        """Write a record, and those that wait."""
        self.waiting.append(json.dumps(record, ensure_ascii=False).encode() + b"\n")
        self.flush()

    def flush(self) -> None:
        """Write those that wait; warn once where that fails."""
        if not self.waiting:
            return
        try:
            self._write((b"\n" if self._torn else b"") + b"".join(self.waiting))
        except OSError as error:
            if not self._warned:
                self._warned = True
                warn(
                    f"{self._path}: cannot be written ({error.strerror or error}); training goes on, and the lines "
                    "wait in memory until there is room"
                )
            return
        self.waiting.clear()
        self._torn = self._warned = False

    def _write(self, content: bytes) -> None:
        with self._path.open("ab", buffering=0) as stream:
            end = stream.seek(0, os.SEEK_END)
            try:
                left = memoryview(content)
                while left:
                    left = left[stream.write(left) :]
            except OSError:
                self._torn = True
                stream.truncate(end)
                self._torn = False
                raise


def read_log(path: Path) -> list[dict[str, Any]]:
    """The records of a log; a last line that was cut off is left out."""
    records = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            records.append(record)
    return records


def warn(message: str) -> None:
    """Tell on standard error, below the progress bar."""
    print(f"\nwarning: {message}", file=sys.stderr, flush=True)


def _numbers(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Every number of a record as (`kind/key`, value); held-out losses also by language."""
    kind = record["kind"]
    for key, value in record.items():
        if key == "languages":
            yield from ((f"{kind}_by_language/{code}", loss) for code, loss in value.items())
        elif key not in ("kind", "step") and isinstance(value, int | float):
            yield f"{kind}/{key}", value


def _drop_later_records(path: Path, step: int) -> set[tuple[str, int]]:
    """Returns the kind and step of those that were dropped."""
    if not path.exists():
        return set()
    records = read_log(path)
    # A run that starts from the beginning evaluates step 0 again.
    kept = [record for record in records if record["step"] <= step and step > 0]
    with atomic_file(path) as stream:
        for record in kept:
            stream.write(json.dumps(record, ensure_ascii=False) + "\n")
    told, left = ({(record.get("kind", ""), record["step"]) for record in found} for found in (records, kept))
    return told - left
