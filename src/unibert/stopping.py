"""SIGINT and SIGTERM as a request: finish the step, save, leave."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Any, Self


class StopRequest:
    """A context manager in which the first SIGINT or SIGTERM only sets `asked`; a second one interrupts at once."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        # Only the main thread may set handlers; elsewhere the signals keep their usual meaning.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        name = signal.Signals(number).name
        print(f"\n{name}: stopping after this step and saving; once more stops at once", file=sys.stderr, flush=True)
