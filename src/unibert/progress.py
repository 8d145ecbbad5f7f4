"""Progress bars with rate and time left, quiet enough for log files."""

from __future__ import annotations

import os
import sys
from typing import Any

from tqdm import tqdm


def progress_bar(total: int | None, description: str, unit: str, **options: Any) -> tqdm[Any]:
    """A bar on standard error: done, total, rate in `unit` per second, time left.

    On a terminal it redraws often; into a file it writes a line every 15 seconds at most. `UNIBERT_QUIET=1`
    turns it off.
    """
    terminal = sys.stderr.isatty()
    return tqdm(
        total=total,
        desc=description,
        unit=unit,
        mininterval=0.2 if terminal else 15.0,
        maxinterval=10.0 if terminal else 60.0,
        dynamic_ncols=terminal,
        smoothing=0.1,
        file=sys.stderr,
        disable=os.environ.get("UNIBERT_QUIET") == "1",
        **options,
    )
