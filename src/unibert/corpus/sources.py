"""Where samples come from: what every source yields, and the source that reads dumps."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from unibert.corpus.dump import DumpReader
from unibert.corpus.wikitext import paragraphs
from unibert.files import expand

if TYPE_CHECKING:
    from unibert.corpus.slices import Slice

_REPORT_EVERY = 1 << 20  # bytes of input
_BESIDE_DUMPS = re.compile(r"\.(?:md5|sha1|sha256|part|json)$|-rss\.xml$|-index\d*\.txt")
"""What a mirror or a download leaves beside the dumps."""


def dump_files(patterns: Iterable[str | Path]) -> list[Path]:
    """Files of the patterns; in a folder only those of the right ending, since folders hold checksums and notes too.

    Raises:
        DataError: a pattern that matches no dump.
    """
    spelled = [Path(glob.escape(str(p))) / "*.xml*" if Path(p).expanduser().is_dir() else p for p in patterns]
    return expand(spelled, "dump", lambda path: _BESIDE_DUMPS.search(path.name)) if spelled else []


class Sample(NamedTuple):
    """A paragraph before the rules, and where it is from."""

    text: str
    title: str
    page_id: int
    section: str


class Source(Protocol):
    """What yields samples: a dump, a file of text."""

    @property
    def damage(self) -> str | None:
        """What was lost and why; None if all is sound. Known when the iteration has ended."""

    def __iter__(self) -> Iterator[Sample]:
        """The samples, in the order of the file."""


class DumpSource:
    """The paragraphs of the articles of a dump, or of one slice of it.

    A page that the converter fails on is left out and told in `damage`: one bad page never stops the others.

    Args:
        path: the dump.
        part: the bytes of the file to read; the whole of it when None.
        counts: gets pages, redirects, pages of other namespaces and pages without text added.
        advance: is told how many more bytes of the file have been read; their sum is the slice's size.
    """

    def __init__(
        self, path: Path, part: Slice | None, counts: dict[str, Any], advance: Callable[[int], None] | None = None
    ) -> None:
        self._reader = DumpReader(path, part)
        self._start = part.start if part else 0
        self._size = (part.stop if part else path.stat().st_size) - self._start
        self._counts = counts
        self._advance = advance or (lambda size: None)
        self._failed: list[str] = []

    @property
    def damage(self) -> str | None:
        """What was lost and why; None if all is sound."""
        told = [str(self._reader.damage)] if self._reader.damage else []
        if self._failed:
            pages = (
                "1 page could not be converted and was"
                if len(self._failed) == 1
                else (f"{len(self._failed):,} pages could not be converted and were")
            )
            told.append(f"{self._reader.path.name}: {pages} left out, the first is {self._failed[0]}")
        return "; ".join(told) or None

    def __iter__(self) -> Iterator[Sample]:
        counts, reader, reported = self._counts, self._reader, 0
        for page in reader:
            read = min(reader.position - self._start, self._size)
            if read - reported >= _REPORT_EVERY:
                self._advance(read - reported)
                reported = read
            if page.namespace != 0:
                counts["other_namespaces"] += 1
                continue
            if page.redirect:
                counts["redirects"] += 1
                continue
            counts["pages"] += 1
            try:
                found = paragraphs(page.text, reader.namespaces)
            except Exception as error:  # whatever it is: the other pages are sound
                self._failed.append(f"{page.title!r} ({type(error).__name__}: {str(error)[:100]})")
                continue
            counts["empty_pages"] += not found
            for section, text in found:
                yield Sample(text, page.title, page.page_id, section)
        self._advance(self._size - reported)
