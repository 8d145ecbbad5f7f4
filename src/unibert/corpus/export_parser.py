"""Export XML into pages, one `<page>` at a time, so that damage in one page loses that page and no other."""

from __future__ import annotations

import re
from typing import NamedTuple

from unibert.corpus.export_xml import Header, HeaderParser, Malformed, Page, PageParser

_PAGE_TAG = re.compile(rb"<page[ \t\r\n>/]")


class Fault(NamedTuple):
    """Something that could not be read."""

    reason: str
    offset: int
    """Bytes of XML before it."""
    line: int
    lost: bool
    """Whether a page was lost with it."""
    fatal: bool = False
    """Whether this is no dump, so that nothing more of it is to be read."""


class ExportParser:
    """Turns blocks of export XML (UTF-8) into the header, pages and faults, in the order of the file.

    A page is what stands from one `<page` to the next: these bytes can be nothing else in a dump, as its text is
    escaped. Whatever is wrong between two of them stays there, and reading may begin at any byte of the file: the same
    pages come out.

    Args:
        header: of the file, where reading begins elsewhere than at the file's start.
    """

    def __init__(self, header: Header | None = None) -> None:
        self.done = False
        """Whether all pages that begin in the slice have been read."""
        self._whole = header is None
        self._header = header or Header()
        # None where bytes are passed over up to the next page.
        self._parser: HeaderParser | PageParser | None = None if header else HeaderParser(self._header)
        self._found: list[Header | Page | Fault] = []
        self._carry = b""  # the end of the last block, if it may be the start of a tag
        self._offset = 0  # bytes of XML before `_carry`
        self._known = (0, 1)  # bytes of XML, and the line there; where there is a parser, it knows better
        self._limit: int | None = None  # bytes of XML in the slice; known when it has been left
        self._tail = b""  # the last bytes

    def feed(self, block: bytes, beyond: bool = False) -> list[Header | Page | Fault]:
        """What the next block completes.

        Args:
            block: of any length.
            beyond: it lies behind the slice, so that pages which begin in it are not wanted.
        """
        data = self._carry + block
        self._tail = (self._tail + block)[-64:] if len(block) < 64 else block[-64:]
        if beyond and self._limit is None:
            self._limit = self._offset + len(self._carry)
        position, start = 0, _page_tag(data, 0)
        while start >= 0:
            self._parse(data, position, start)
            self._end_page(data, start)
            if self._limit is not None and self._offset + start >= self._limit:
                self.done = True
                return self._take()
            self._begin_page(data, start)
            position, start = start, _page_tag(data, start + 5)
        stop = _cut_tag(data)
        self._parse(data, position, stop)
        self._carry = data[stop:]
        if self._parser is None:
            self._known = (self._offset + stop, self._line_at(data, stop))
        self._offset += stop
        if self._limit is not None and not self.open and (not self._carry or self._offset >= self._limit):
            self.done = True
        return self._take()

    def interrupt(self, reason: str) -> list[Header | Page | Fault]:
        """Say that something unreadable follows, and that what is fed next is from anywhere behind it."""
        if isinstance(self._parser, HeaderParser):
            self._found.append(self._header)
        lost = self._flush() is not None
        self._drop(self._carry, len(self._carry))
        self._offset += len(self._carry)
        self._carry = b""
        self._found.append(Fault(reason, *self._known, lost))
        return self._take()

    def finish(self, last: bool) -> list[Header | Page | Fault]:
        """What the end of the file completes.

        Args:
            last: the slice is the file's last one, in which the end of the XML has to stand.
        """
        stop = len(self._carry)
        self._parse(self._carry, 0, stop)
        place = (self._offset + stop, self._line_at(self._carry, stop))
        parser = self._parser
        tail = self._tail.strip()
        # A slice may begin in the middle of the last tag.
        ended = b"</mediawiki" in tail or (not self._whole and b"</mediawiki>".endswith(tail))
        if isinstance(parser, HeaderParser):
            if not parser.root:
                reason = "not a MediaWiki export: no XML element in it"
                return [Fault(reason, *place, lost=False, fatal=True)]
            self._found.append(self._header)
        lost = self._flush() is not None
        if lost or (last and not ended and not (parser and parser.ended)):
            self._found.append(Fault("the XML ends in the middle", *place, lost))
        return self._take()

    def _take(self) -> list[Header | Page | Fault]:
        found = self._found.copy()
        self._found.clear()
        return found

    @property
    def open(self) -> bool:
        """Whether the header or a page has begun that is not complete."""
        return self._parser is not None and not self._parser.complete

    def _parse(self, data: bytes, start: int, stop: int) -> None:
        parser = self._parser
        if parser is None or start == stop:
            return
        try:
            parser.feed(memoryview(data)[start:stop])
        except Malformed as error:
            header = isinstance(parser, HeaderParser)
            fatal, lost = header and error.fatal, self.open and not header
            if header and not fatal:
                self._found.append(self._header)
            self._parser = None
            self._known = (parser.offset, parser.line)
            self._found.append(Fault(str(error), *self._known, lost, fatal))

    def _line_at(self, data: bytes, place: int) -> int:
        """The line of byte `place` of the current block."""
        offset, line = (self._parser.offset, self._parser.line) if self._parser else self._known
        return line + data.count(b"\n", max(0, offset - self._offset), place)

    def _drop(self, data: bytes, place: int) -> None:
        """Pass over what follows, up to the next page."""
        self._known = (self._offset + place, self._line_at(data, place))
        self._parser = None

    def _begin_page(self, data: bytes, start: int) -> None:
        if self._parser is None:
            place = (self._offset + start, self._line_at(data, start))
            self._parser = PageParser(self._header.namespaces, self._found.append, *place)
        self._parser.complete = False

    def _end_page(self, data: bytes, stop: int) -> None:
        """End what stands before a page tag.

        The parser goes on with the next page only if nothing of this one can reach into it.
        """
        parser = self._parser
        if isinstance(parser, HeaderParser):
            self._found.append(self._header)
            self._drop(data, stop)
        elif parser is not None:
            end = data.rfind(b"</page>", max(0, stop - 32), stop)
            # A comment that begins before `</page>` would hide it from the parser, and what follows too.
            reached = end >= 0 and parser.offset >= self._offset + end
            clean = parser.complete and parser.between_pages and reached and not data[end + 7 : stop].strip()
            reason = self._flush()
            if reason is not None:
                self._found.append(Fault(reason, self._offset + stop, self._line_at(data, stop), lost=True))
            if not clean:
                self._drop(data, stop)

    def _flush(self) -> str | None:
        """Have the parser decide on what it has put off; why a page is lost, or None if none is."""
        if isinstance(self._parser, PageParser) and not self._parser.complete:
            reason = self._parser.flush()
            return None if self._parser.complete else reason
        return None


def _page_tag(data: bytes, position: int) -> int:
    """Where the next `<page` tag begins at or after `position`; -1 if there is none, or none that is told yet."""
    found = _PAGE_TAG.search(data, position)
    return found.start() if found else -1


def _cut_tag(data: bytes) -> int:
    """Where the end of `data` begins that may be the start of a `<page` tag; the length of `data` if there is none."""
    place = data.rfind(b"<", max(0, len(data) - 5))
    return place if place >= 0 and b"<page".startswith(data[place:]) else len(data)
