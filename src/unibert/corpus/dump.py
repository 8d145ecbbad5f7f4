"""Reading MediaWiki XML dumps page by page, in constant memory, keeping what stands before any damage."""

from __future__ import annotations

import bz2
import gzip
import io
import re
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol
from xml.parsers import expat

_BLOCK = 1 << 18
"""Bytes of XML handed to the parser at once."""

_LONGEST_TEXT = 64 << 20
"""Characters; MediaWiki refuses pages of more than 2 MiB, so a longer one is damage that would fill the memory."""

_SIGNATURES = {
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"PK\x03\x04": "ZIP",
}
_TEXT_MODELS = ("wikitext", "")

# Dumps older than export version 0.4 do not mark redirects; the word after # is in any language.
_REDIRECT_TEXT = re.compile(r"\s*#[^\W\d]+(?: [^\W\d]+)?\s*:?\s*\[\[")


@dataclass(frozen=True)
class Page:
    """One page of a dump, as its newest revision in the file has it."""

    title: str
    page_id: int
    namespace: int
    redirect: bool
    text: str
    """Wikitext; empty for pages of another content model (JSON, Lua, style sheets)."""


@dataclass(frozen=True)
class Damage:
    """Where and why reading stopped, or what was left out; everything before the place was read."""

    file: str
    reason: str
    place: str
    """Byte offset and line."""
    last_title: str = ""
    """Title of the last complete page, empty if there is none."""
    pages: int = 0
    """Complete pages read before the damage."""

    def __str__(self) -> str:
        read = f"read {self.pages:,} complete pages, the last is {self.last_title!r}" if self.pages else "no page read"
        return f"{self.file}: {self.reason} at {self.place}; {read}"


class DumpReader:
    """An iterator over the pages of one dump: bz2 (single or multistream), gzip or plain XML.

    Damage of any kind (truncation, wrong checksum, invalid bytes, not a dump at all) ends the iteration and is left in
    `damage`; it is never raised. Every page that was complete before the damage is yielded.

    Document type and entity declarations are damage too: MediaWiki writes none, and they are how small files are made
    to fill the memory.

    Args:
        path: the file; its kind is recognised by its content.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.damage: Damage | None = None
        self.namespaces: dict[int, str] = {}
        """Names of the namespaces by number, from the header (which may be in another language than the pages)."""
        self.position = 0
        """Bytes of the file (as it is on the disk) read so far."""
        self.pages = 0
        self._last_title = ""

    def __iter__(self) -> Iterator[Page]:
        parser = _ExportParser()
        try:
            with self.path.open("rb") as raw:
                try:
                    stream, compressed = open_compressed(raw)
                    while block := stream.read1(_BLOCK):
                        self.position = raw.tell()
                        # After the last element only the end of the compressed data is waited for, with its checksum.
                        if not parser.complete:
                            parser.feed(block)
                            yield from self._drain(parser)
                except (EOFError, OSError, zlib.error) as error:
                    yield from self._drain(parser)
                    self._damaged(_reason(error), parser, f"byte {raw.tell():,} of the compressed file, ")
                    return
                yield from self._drain(parser)
                if parser.complete:
                    return
                if self.position == 0:
                    place = "decompresses to nothing" if compressed else "is empty"
                    self._damaged(f"the file {place}", parser)
                    return
                parser.close()
        except _Malformed as error:
            yield from self._drain(parser)
            self._damaged(str(error), parser)
        except OSError as error:
            self._damaged(f"cannot be read ({error.strerror})", parser)

    def _drain(self, parser: _ExportParser) -> Iterator[Page]:
        self.namespaces = parser.namespaces
        while parser.pages:
            page = parser.pages.popleft()
            self.pages += 1
            self._last_title = page.title
            yield page

    def _damaged(self, reason: str, parser: _ExportParser, prefix: str = "") -> None:
        place = f"{prefix}byte {parser.offset:,} of the XML, line {parser.line:,}"
        self.damage = Damage(self.path.name, reason, place, self._last_title, self.pages)


class ByteStream(Protocol):
    """What is read from a file, compressed or not."""

    def read1(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""

    def readline(self, size: int, /) -> bytes:
        """The bytes up to and with the next newline, at most `size` of them; none at the end."""


def open_compressed(raw: IO[bytes]) -> tuple[ByteStream, bool]:
    """A stream of decompressed bytes over an open file (bz2, gzip or plain, by content), and whether it is compressed.

    `read1` on it yields all that can be decompressed before it raises for damage.

    Raises:
        OSError: a compression that is not supported.
    """
    start = raw.read(8)
    raw.seek(0)
    if start.startswith(b"BZh"):
        return io.BufferedReader(_Bz2Streams(raw), _BLOCK), True
    if start.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=raw), True
    for signature, name in _SIGNATURES.items():
        if start.startswith(signature):
            raise OSError(f"compressed with {name}, which is not supported; download the .bz2 file")
    return _Plain(raw), False


class _Bz2Streams(io.RawIOBase):
    """All bz2 streams of a file, one after the other.

    The standard library's reader takes a damaged stream after a sound one for something that is not bz2, and ends
    without a word.
    """

    def __init__(self, raw: IO[bytes]) -> None:
        super().__init__()
        self._raw = raw
        self._stream = bz2.BZ2Decompressor()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = len(buffer)
        data = b""
        while not data:
            stream = self._stream
            if stream.eof:
                block = stream.unused_data or self._raw.read(_BLOCK)
                if len(block) < 3:
                    block += self._raw.read(_BLOCK)
                if not block.strip(b"\0"):
                    return 0
                if not block.startswith(b"BZh"):
                    raise OSError("what follows a compressed stream is not bz2")
                self._stream = stream = bz2.BZ2Decompressor()
                data = stream.decompress(block, size)
            elif stream.needs_input:
                block = self._raw.read(_BLOCK)
                if not block:
                    raise EOFError
                data = stream.decompress(block, size)
            else:
                data = stream.decompress(b"", size)
        buffer[: len(data)] = data
        return len(data)


class _Plain:
    """An uncompressed file with the reading methods of the compressed ones."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw

    def read1(self, size: int, /) -> bytes:
        return self._raw.read(size)

    def readline(self, size: int, /) -> bytes:
        return self._raw.readline(size)


def _reason(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "the compressed data end in the middle"
    return f"the compressed data are damaged ({error})" if "supported" not in str(error) else str(error)


class _Malformed(Exception):
    """The XML is not what a dump is made of."""


class _ExportParser:
    """Turns blocks of export XML into a queue of pages.

    Built on expat itself rather than on a tree: nothing has to be cleared, and damage comes with its byte offset.
    Element names are compared without their namespace address, which differs between versions of the format.
    """

    _WANTED = frozenset(("title", "ns", "id", "model", "text", "namespace"))

    def __init__(self) -> None:
        self.pages: deque[Page] = deque()
        self.namespaces: dict[int, str] = {}
        self.complete = False
        self._path: list[str] = []
        self._chunks: list[str] = []
        self._size = 0
        self._fields: dict[str, str] = {}
        self._namespace_key: int | None = None
        self._parser = parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.buffer_size = 1 << 16
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.StartDoctypeDeclHandler = self._declaration
        parser.EntityDeclHandler = self._declaration

    @property
    def offset(self) -> int:
        """Bytes of XML before the current place."""
        return max(0, self._parser.CurrentByteIndex)

    @property
    def line(self) -> int:
        return self._parser.CurrentLineNumber

    def feed(self, block: bytes) -> None:
        try:
            self._parser.Parse(block, False)
        except expat.ExpatError as error:
            raise _Malformed(_xml_reason(error, bool(self._path) or self.complete)) from None

    def close(self) -> None:
        try:
            self._parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise _Malformed(_xml_reason(error, bool(self._path) or self.complete)) from None

    def _declaration(self, *_: object) -> None:
        raise _Malformed("a document type or entity declaration, which dumps do not have")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        name = name.rpartition(" ")[2]
        path = self._path
        if not path and name != "mediawiki":
            raise _Malformed(f"not a MediaWiki export: its root element is <{name}>")
        path.append(name)
        if name == "page":
            self._fields = {}
        elif name == "redirect":
            self._fields["redirect"] = "1"
        if name in self._WANTED:
            self._chunks = []
            self._size = 0
            self._parser.CharacterDataHandler = self._characters
            if name == "namespace":
                key = attributes.get("key", "")
                self._namespace_key = int(key) if re.fullmatch(r"-?\d{1,9}", key) else None

    def _characters(self, data: str) -> None:
        self._chunks.append(data)
        self._size += len(data)
        if self._size > _LONGEST_TEXT:
            raise _Malformed(f"a page of more than {_LONGEST_TEXT:,} characters")

    def _end(self, name: str) -> None:
        name = name.rpartition(" ")[2]
        path = self._path
        path.pop()
        if name in self._WANTED:
            self._parser.CharacterDataHandler = None
            value = "".join(self._chunks)
            self._chunks = []
            parent = path[-1] if path else ""
            if name == "namespace":
                if self._namespace_key is not None:
                    self.namespaces[self._namespace_key] = value
            elif parent == "page" or (parent == "revision" and name in ("text", "model")):
                # The last revision wins: in a dump with the whole history, that is the newest.
                self._fields[name] = value
        elif name == "page":
            self._finish_page()
        elif name == "mediawiki" and not path:
            self.complete = True

    def _finish_page(self) -> None:
        fields = self._fields
        text = fields.get("text", "")
        redirect = "redirect" in fields or _REDIRECT_TEXT.match(text) is not None
        if fields.get("model", "").strip() not in _TEXT_MODELS:
            text = ""
        title = fields.get("title", "").strip()
        self.pages.append(
            Page(title, _integer(fields.get("id")), self._namespace_of(fields.get("ns"), title), redirect, text)
        )

    def _namespace_of(self, number: str | None, title: str) -> int:
        """The page's namespace; exports before version 0.6 tell it only by the title's prefix."""
        if number is not None:
            return _integer(number)
        prefix, colon, _ = title.partition(":")
        if colon:
            for key, name in self.namespaces.items():
                if key != 0 and name == prefix:
                    return key
        return 0


def _integer(text: str | None) -> int:
    text = (text or "").strip()
    return int(text) if re.fullmatch(r"-?\d{1,18}", text) else 0


def _xml_reason(error: expat.ExpatError, inside: bool) -> str:
    message = expat.ErrorString(error.code) or "not XML"
    if error.code in (3, 5, 20) or "no element" in message or "unclosed" in message:  # the three kinds of early end
        return "the XML ends in the middle" if inside else "not a MediaWiki export: no XML element in it"
    if not inside:
        return f"not a MediaWiki export: not XML ({message})"
    return f"the XML is damaged ({message})"
