"""The report of a run that is going: written anew every few seconds until it is finished."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from unibert.errors import UniBertError
from unibert.report.collect import collect
from unibert.report.page import write_report


def follow_report(
    run: Path,
    every_seconds: int = 30,
    title: str | None = None,
    written: Callable[[Path], object] = lambda index: None,
) -> Path:
    """Write a run's report again and again while its models are trained, and once more when the last is finished.

    Browsers load the page again by themselves for as long as it is rewritten; the last page, also after Ctrl-C, stays
    as it is.

    Args:
        run: the run's folder.
        every_seconds: between one page and the next, at least 1.
        title: the page's title; the recipe's name when not given.
        written: called once, with the path of index.html, when the first page is there.

    Returns:
        The path of index.html.

    Raises:
        DataError: there is no such folder, it holds nothing of a run, or the first page cannot be written.
        KeyboardInterrupt: Ctrl-C; the last page has been written.
    """
    folder, every_seconds = Path(run), max(1, every_seconds)
    index: Path | None = None
    try:
        while True:
            found = collect(folder)
            going = bool(found.awaited)
            try:
                page = write_report(found, title, refresh=every_seconds if going else None)
            except UniBertError as error:
                if index is None or not going:
                    raise
                # The old page stands, and the disk may have room again the next time.
                print(f"warning: {error.message}; the next page is tried in {every_seconds} s", file=sys.stderr)
            else:
                if index is None:
                    written(page)
                index = page
                if not going:
                    return index
            time.sleep(every_seconds)
    except KeyboardInterrupt:
        if index is not None:
            write_report(collect(folder), title)
        raise
