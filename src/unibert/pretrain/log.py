"""What a run says while it goes: JSON lines always, TensorBoard where installed, a progress bar."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Self

from unibert.files import atomic_file
from unibert.progress import progress_bar


class RunLog:
    """The log of one run; a context manager that flushes on every line.

    Args:
        folder: `log.jsonl` and `tensorboard/` are written there.
        step: where the run stands: records of later steps, left by a run that was cut off after its last checkpoint,
            are removed, so that every step is told once.
        steps: where it will end.
        name: shown by the progress bar.
        tensorboard: write events when the package is installed.
        enabled: False on all processes but the first.
    """

    def __init__(self, folder: Path, step: int, steps: int, name: str, tensorboard: bool, enabled: bool) -> None:
        self.path = folder / "log.jsonl"
        self.enabled = enabled
        self._stream: Any = None
        self._events: Any = None
        if not enabled:
            return
        _drop_later_records(self.path, step)
        self._stream = self.path.open("a", encoding="utf-8")
        self._bar = progress_bar(steps, name, "step", initial=step)
        if tensorboard:
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                return
            self._events = SummaryWriter(str(folder / "tensorboard"), purge_step=step)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.enabled:
            return
        self._bar.close()
        self._stream.close()
        if self._events is not None:
            self._events.close()

    def advance(self) -> None:
        """One step is done."""
        if self.enabled:
            self._bar.update(1)

    def write(self, record: dict[str, Any]) -> None:
        """Append a record; its numbers go to TensorBoard under `kind/name`, the main ones to the bar."""
        if not self.enabled:
            return
        self._stream.write(json.dumps(record, ensure_ascii=False) + "\n")
        self._stream.flush()
        kind, step = record["kind"], record["step"]
        shown = {"loss": ".3f", "mlm": ".3f", "tokens_per_second": ",.0f"}
        if kind == "train":
            self._bar.set_postfix_str("  ".join(f"{key} {record[key]:{form}}" for key, form in shown.items()))
        if self._events is not None:
            for key, value in record.items():
                if key not in ("kind", "step") and isinstance(value, int | float):
                    self._events.add_scalar(f"{kind}/{key}", value, step)


def read_log(path: Path) -> list[dict[str, Any]]:
    """The records of a log; a last line that was cut off is left out."""
    records = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(record, dict) and "step" in record:
            records.append(record)
    return records


def _drop_later_records(path: Path, step: int) -> None:
    if not path.exists():
        return
    # A run that starts from the beginning evaluates step 0 again.
    kept = [record for record in read_log(path) if record["step"] <= step and step > 0]
    with atomic_file(path) as stream:
        for record in kept:
            stream.write(json.dumps(record, ensure_ascii=False) + "\n")
