"""Progress bars with rate and time left, quiet enough for log files."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from tqdm import tqdm


def progress_bar(total: int | None, description: str, unit: str, **options: Any) -> tqdm[Any]:
    """A bar on standard error: done, total, rate in `unit` per second, time left.

    On a terminal it redraws often; into a file it writes a line every 15 seconds at most. `UNIBERT_QUIET=1`
    turns it off.
    """
    return tqdm(total=total, desc=description, unit=unit, smoothing=0.1, **_manners(), **options)


def _manners() -> dict[str, Any]:
    terminal = sys.stderr.isatty()
    return {
        "mininterval": 0.2 if terminal else 15.0,
        "maxinterval": 10.0 if terminal else 60.0,
        "dynamic_ncols": terminal,
        "file": sys.stderr,
        "disable": os.environ.get("UNIBERT_QUIET") == "1",
    }


class Pace:
    """Steps per second, evenly over pauses: what happened an hour ago weighs e times less than what happens now.

    A mean over the last few steps would promise a run's end anew after every evaluation; a mean since the start would
    not learn that the machine has become slower. The first step only starts the clock: it holds what is done once,
    such as compiling.

    Args:
        memory: seconds after which a step weighs e times less.
        clock: seconds from anywhere, never backwards.
    """

    def __init__(self, memory: float = 3600.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._memory, self._clock = memory, clock
        self._last: float | None = None
        self._steps = self._seconds = 0.0

    def step(self) -> None:
        """One step is done."""
        now = self._clock()
        if self._last is not None:
            passed = max(0.0, now - self._last)
            fading = math.exp(-passed / self._memory)
            self._steps = self._steps * fading + 1
            self._seconds = self._seconds * fading + passed
        self._last = now

    def seconds_for(self, steps: int) -> float | None:
        """How long so many steps will take; None as long as there is nothing to judge by."""
        return steps * self._seconds / self._steps if self._steps else None


class StepBar(tqdm):  # type: ignore[type-arg,unused-ignore]
    """The bar of a long run of steps: done, total, time since the start of this process, time left, and a text.

    Args:
        steps: where the run ends.
        description: stands in front.
        initial: where it stands already, when it is a resumed one; the time left comes from steps made since.
        pace: judges the time left.
    """

    def __init__(self, steps: int, description: str, initial: int = 0, pace: Pace | None = None) -> None:
        self._pace = pace or Pace()
        layout = "{desc}: {percentage:5.1f}%|{bar}| {n:,}/{total:,} [{elapsed}<{left}{postfix}]"
        super().__init__(total=steps, desc=description, initial=initial, bar_format=layout, **_manners())

    @property
    def format_dict(self) -> dict[str, Any]:
        """What the layout can show; tqdm's, and `left`."""
        shown: dict[str, Any] = super().format_dict
        seconds = self._pace.seconds_for(max(0, shown["total"] - shown["n"]))
        return {**shown, "left": "?" if seconds is None else brief_duration(seconds)}

    def advance(self) -> None:
        """One step is done."""
        self._pace.step()
        self.update(1)

    def tell(self, text: str) -> None:
        """Show `text` from the next redrawing on."""
        self.set_postfix_str(text, refresh=False)


def brief_duration(seconds: float) -> str:
    """A time in its two largest units, as short as a bar needs it: 29d 4h, 2h 13m, 5m 2s, 45s."""
    whole = max(0, round(seconds))
    for unit, length, lower, lower_length in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= length:
            return f"{whole // length}{unit} {whole % length // lower_length}{lower}"
    return f"{whole}s"
