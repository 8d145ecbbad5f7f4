"""A signal as a request: finish the step, save, leave."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Self

from unibert.errors import Interrupted

_ASKING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
"""Ctrl-C; `kill` and whoever shuts a machine down; a terminal that was closed; what Slurm sends ahead of a time limit
when asked to (`--signal=USR1@120`)."""


class StopRequest:
    """A context manager in which the signals that end a process only set `asked`.

    Ctrl-C once more interrupts at once. The other signals do not, however often they come: `torchrun` passes them on
    to processes that a scheduler has sent them to already.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        # Only the main thread may set handlers; elsewhere the signals keep their usual meaning.
        if threading.current_thread() is threading.main_thread():
            for number in (getattr(signal, name) for name in _ASKING if hasattr(signal, name)):
                # Under nohup a closed terminal is to change nothing.
                if signal.Signals(number).name != "SIGHUP" or signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self.asked and name == "SIGINT":
            raise KeyboardInterrupt
        if not self.asked:
            # Not by print: the signal may have come in the middle of another one.
            line = f"\n{name}: stopping after this step and saving; Ctrl-C from now on stops at once\n"
            with contextlib.suppress(OSError):
                os.write(2, line.encode())
        self.asked = True
        if name == "SIGHUP":
            _leave_terminal()


@contextlib.contextmanager
def telling_of_interruption(output: Path | str) -> Iterator[None]:
    """Say of work that is all or nothing that nothing came of it; other commands go on where they were.

    Args:
        output: what would have been written.

    Raises:
        Interrupted: on Ctrl-C, or a signal that is taken for it.
    """
    try:
        yield
    except KeyboardInterrupt:
        fix = "Run the same command again; it begins anew."
        raise Interrupted(f"interrupted: nothing was written to {output}", fix) from None


def _leave_terminal() -> None:
    """Send what would be printed nowhere: into a terminal that is gone, writing fails, and the run would with it."""
    with open(os.devnull, "wb") as nowhere:
        for descriptor in (1, 2):
            with contextlib.suppress(OSError):
                mode = os.fstat(descriptor).st_mode
                if stat.S_ISCHR(mode) or stat.S_ISFIFO(mode):  # a file or a socket stays
                    os.dup2(nowhere.fileno(), descriptor)
