"""Reading MediaWiki XML dumps page by page, in constant memory, keeping what stands before and behind any damage."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from unibert.corpus.compression import DAMAGE, damage_reason
from unibert.corpus.export_parser import ExportParser, Fault
from unibert.corpus.export_xml import Header, Page
from unibert.corpus.slices import Slice, SliceStream

__all__ = ["Damage", "DumpReader", "Page", "other_project"]

_SISTERS = {
    "wiktionary": "Wiktionary",
    "wikibooks": "Wikibooks",
    "wikinews": "Wikinews",
    "wikiquote": "Wikiquote",
    "wikisource": "Wikisource",
    "wikiversity": "Wikiversity",
    "wikivoyage": "Wikivoyage",
    "wikidata": "Wikidata",
    "wikifunctions": "Wikifunctions",
    "commons": "Wikimedia Commons",
    "species": "Wikispecies",
    "meta": "Meta-Wiki",
    "mediawiki": "MediaWiki.org",
    "incubator": "Wikimedia Incubator",
}
_SITE = re.compile(
    # A database, which file names begin with too: dewiktionary, commonswiki.
    r"^(?:\w*(wiktionary|wikibooks|wikinews|wikiquote|wikisource|wikiversity|wikivoyage)"
    r"|(wikidata|wikifunctions|commons|species|meta|mediawiki|incubator)wiki)\b"
    # An address: http://de.wiktionary.org/wiki/..., https://commons.wikimedia.org/...
    r"|//(?:[\w-]+\.)*(wik(?!ipedia|imedia)\w+|mediawiki)\.org\b|//([a-z]+)\.wikimedia\.org\b",
    re.ASCII,
)


@dataclass(frozen=True)
class Damage:
    """Where and why something could not be read; with several such places, the first, and how much was lost in all."""

    file: str
    reason: str
    place: str
    """Byte offset and line; empty if the file as a whole is meant."""
    last_title: str = ""
    """Title of the last complete page before the damage, empty if there is none."""
    pages: int = 0
    """Complete pages read before the damage."""
    further: int = 0
    """Places of damage behind the first one."""
    lost: int = 0
    """Pages whose beginning was read but not their end; in data that cannot be decompressed there may be more."""
    skipped: int = 0
    """Bytes of the file, as it lies on the disk, from damaged places to where reading could go on."""

    def __str__(self) -> str:
        read = "no page read"
        if self.pages:
            plural = "s" if self.pages > 1 else ""
            read = f"read {self.pages:,} complete page{plural} before it, the last is {self.last_title!r}"
        loss = [
            f"{count:,} {what if count == 1 else whats}"
            for count, what, whats in (
                (self.lost, "page lost", "pages lost"),
                (self.skipped, "byte of the file skipped", "bytes of the file skipped"),
                (self.further, "more place of damage", "more places of damage"),
            )
            if count
        ]
        place = f" at {self.place}" if self.place else ""
        return "; ".join([f"{self.file}: {self.reason}{place}", read, *([", ".join(loss)] if loss else [])])


class DumpReader:
    """An iterator over the pages of a dump or of a slice of it: bz2 (single or multistream), gzip, Zstandard, plain.

    Damage of any kind (truncation, wrong checksum, invalid bytes, not a dump at all, a dump of another project than
    Wikipedia) is left in `damage` and never raised. Damage in the XML of a page costs that page; damage in a bz2 stream
    costs the pages up to the next stream; other damage to compressed data ends the iteration. Document type and entity
    declarations are damage too.

    A page belongs to the slice in which its `<page` tag begins, wherever the page ends. All slices of a file, one after
    the other, give the pages of the whole file, each once and in the same order, and lose the same pages; a place of
    damage where a page crosses from one slice into the next may be told by both.

    Args:
        path: the file; its kind is recognised by its content.
        part: one of the slices that `plan_slices` gives; the whole file by default.
    """

    def __init__(self, path: Path | str, part: Slice | None = None) -> None:
        self.path = Path(path)
        self.part = part
        self.damage: Damage | None = None
        self.namespaces: dict[int, str] = {}
        """Names of the namespaces by number, from the header (which may be in another language than the pages)."""
        self.project = ""
        """Such as "Wiktionary", once the header has been read; "Wikipedia" where nothing says otherwise."""
        self.position = part.start if part else 0
        """The place in the file (as it is on the disk) up to which it has been read; not behind the slice's end."""
        self.pages = 0
        self._last_title = ""

    def __iter__(self) -> Iterator[Page]:
        try:
            with self.path.open("rb") as raw:
                size = os.fstat(raw.fileno()).st_size
                yield from self._read(raw, self.part or Slice(0, size), size)
        except OSError as error:
            self._damaged(f"cannot be read ({error.strerror or error})")

    def _read(self, raw: IO[bytes], part: Slice, size: int) -> Iterator[Page]:
        header = _header_of(raw, size) if part.start else None
        if part.start and (header is None or not self._accept(header)):
            return  # the first slice says why
        stream, parser = SliceStream(raw, part), ExportParser(header)
        goes_on = fresh = True
        while goes_on and not parser.done:
            place, skipped = "", 0
            try:
                block = stream.read()
            except DAMAGE as error:
                _raise_if_of_the_disk(error)
                if stream.beyond and not parser.open:
                    return  # it is the next slice's to tell
                place = stream.place
                skipped, goes_on = stream.skip_damage()
                found = parser.interrupt(damage_reason(error))
            else:
                self.position = stream.position
                goes_on = bool(block)
                if fresh and not block and not part.start:
                    self._damaged("the file decompresses to nothing" if stream.compressed else "the file is empty")
                    return
                found = parser.feed(block, stream.beyond) if block else parser.finish(part.stop >= size)
            fresh = False
            for item in found:
                if isinstance(item, Page):
                    self.pages += 1
                    self._last_title = item.title
                    yield item
                elif isinstance(item, Fault):
                    self._damaged(item.reason, place + _in_the_xml(item, stream, part), int(item.lost), skipped)
                    if item.fatal:
                        return
                elif not self._accept(item):
                    self._damaged(f"a dump of {self.project}, not of Wikipedia: left out")
                    return

    def _accept(self, header: Header) -> bool:
        self.namespaces = header.namespaces
        other = other_project(header, self.path.name)
        self.project = other or "Wikipedia"
        return other is None

    def _damaged(self, reason: str, place: str = "", lost: int = 0, skipped: int = 0) -> None:
        damage = self.damage
        if damage is None:
            self.damage = Damage(self.path.name, reason, place, self._last_title, self.pages, 0, lost, skipped)
        else:
            self.damage = replace(
                damage, further=damage.further + 1, lost=damage.lost + lost, skipped=damage.skipped + skipped
            )


def other_project(header: Header, file_name: str) -> str | None:
    """The Wikimedia project that a dump is of if it is not Wikipedia: as its file is named, or by its header."""
    for text in (file_name, header.database, header.base):
        found = _SITE.search(text)
        project = _SISTERS.get(next(filter(None, found.groups()))) if found else None
        if project:
            return project
    return _SISTERS.get(header.site_name.lower())


def _header_of(raw: IO[bytes], size: int) -> Header | None:
    """The header at the file's start, as far as it can be read; None if the file is no dump."""
    stream, parser = SliceStream(raw, Slice(0, size)), ExportParser()
    while True:
        try:
            block = stream.read()
        except DAMAGE as error:
            _raise_if_of_the_disk(error)
            found = parser.interrupt(damage_reason(error))
        else:
            found = parser.feed(block) if block else parser.finish(last=True)
        if found:
            return found[0] if isinstance(found[0], Header) else None


def _raise_if_of_the_disk(error: Exception) -> None:
    if isinstance(error, OSError) and error.errno is not None:
        raise error


def _in_the_xml(fault: Fault, stream: SliceStream, part: Slice) -> str:
    if part.start == 0:
        return f"byte {fault.offset:,} of the XML, line {fault.line:,}"
    if stream.compressed:
        return f"byte {fault.offset:,} of the XML that begins at byte {part.start:,} of the file"
    return f"byte {part.start + fault.offset:,} of the XML"
