"""Slices of one big dump that can be read side by side: multistream bz2 by stream, plain XML by byte."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO

from unibert.corpus.compression import (
    DAMAGE,
    ByteStream,
    Bz2Streams,
    find_stream,
    is_bz2,
    is_stream_start,
    open_compressed,
)

_BLOCK = 1 << 18
"""Bytes of XML read at once."""

_SEARCHED = 16 << 20
"""Bytes behind a slice's nominal start in which a stream has to begin; streams are of some MB at most."""

_LONGEST_LINE = 1 << 12
"""Bytes of a line of an index; titles have 255 at most."""

_MULTISTREAM = re.compile(r"(?P<before>.*-multistream)(?P<number>\d*)\.xml(?P<pages>-p\d+p\d+)?\.bz2")

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class Slice:
    """Bytes of a file as it lies on the disk; the whole file is `Slice(0, size)`."""

    start: int
    stop: int


def plan_slices(path: Path, size: int) -> list[Slice]:
    """Cut a dump into slices of about `size` bytes that `DumpReader` can read side by side.

    A bz2 file is cut where one of its streams begins: by the index beside it, if there is one that fits the file,
    otherwise by looking for the starts of streams near the places where slices should begin. Plain XML is cut
    anywhere. A file that cannot be cut (gzip, Zstandard, bz2 of one stream, UTF-16) or cannot be read is one slice.

    Args:
        path: the dump.
        size: bytes per slice, about.

    Returns:
        Slices in order, which cover the file; they depend on nothing but the file, its index and `size`.
    """
    try:
        with path.open("rb") as raw:
            end = raw.seek(0, 2)
            raw.seek(0)
            count = max(1, round(end / size))
            nominal = [end * number // count for number in range(1, count)]
            return [Slice(*bounds) for bounds in pairwise([0, *_starts(path, raw, nominal, end), end])]
    except OSError:
        return [Slice(0, 0)]


def _starts(path: Path, raw: IO[bytes], nominal: list[int], end: int) -> list[int]:
    """Where the slices but the first begin, at or after the `nominal` places."""
    if not nominal:
        return []
    try:
        stream, compressed = open_compressed(raw)
        if stream.read1(_BLOCK).startswith(_UTF_16):
            return []
    except DAMAGE:
        compressed = True  # perhaps only its first stream is damaged
    if not compressed:
        return nominal
    raw.seek(0)
    if not is_bz2(raw.read(3)):
        return []
    index = _index_of(path)
    starts = _starts_by_index(index, raw, nominal, end) if index else None
    return _starts_by_search(raw, nominal, end) if starts is None else starts


def _index_of(path: Path) -> Path | None:
    """The index beside a multistream dump, under the name that Wikimedia gives it."""
    name = _MULTISTREAM.fullmatch(path.name)
    if name is None:
        return None
    for ending in (".bz2", ""):
        index = path.with_name(f"{name['before']}-index{name['number']}.txt{name['pages'] or ''}{ending}")
        if index.is_file():
            return index
    return None


def _starts_by_index(index: Path, raw: IO[bytes], nominal: list[int], end: int) -> list[int] | None:
    """The first stream of the index (lines of `offset:page id:title`) at or after each place; None if it is wrong."""
    starts: list[int] = []
    last, previous, place = 0, b"", iter(nominal)
    wanted: int | None = next(place)
    try:
        with index.open("rb") as file:
            stream, _ = open_compressed(file)
            while line := stream.readline(_LONGEST_LINE):
                digits = line.partition(b":")[0]
                if digits == previous:
                    continue  # one of the hundred pages of the same stream
                if not re.fullmatch(rb"\d{1,18}", digits) or not last < int(digits) < end:
                    return None
                last, previous = int(digits), digits
                if wanted is not None and last >= wanted:
                    starts.append(last)
                    while wanted is not None and wanted <= last:
                        wanted = next(place, None)
    except DAMAGE:
        return None
    return starts if wanted is None and all(is_stream_start(raw, start) for start in starts) else None


def _starts_by_search(raw: IO[bytes], nominal: list[int], end: int) -> list[int]:
    starts = [0]
    for place in nominal:
        if place <= starts[-1]:
            continue  # one stream is longer than a slice should be
        found = find_stream(raw, place, min(place + _SEARCHED, end))
        if found is None:
            break  # one stream, or the last one: looking further would read the whole file
        starts.append(found)
    return starts[1:]


class SliceStream:
    """The XML of a slice and of what follows it in the file, as blocks of bytes.

    UTF-16 with a byte-order mark comes as UTF-8.

    Args:
        raw: the open file.
        part: where to begin, and where the slice ends.

    Raises:
        OSError: a compression that is not supported.
    """

    def __init__(self, raw: IO[bytes], part: Slice) -> None:
        self._raw, self._part = raw, part
        raw.seek(0)
        bz2 = is_bz2(raw.read(3))
        raw.seek(0)
        self._bz2 = Bz2Streams(raw, part.start) if bz2 else None
        self._stream: ByteStream | None = None
        self.compressed = True
        if self._bz2 is None:
            self._stream, self.compressed = open_compressed(raw)
            raw.seek(part.start)
        self.beyond = False
        """Whether the last block, or what was damaged instead, is from behind the slice."""
        self._decoder: codecs.IncrementalDecoder | None = None
        self._fresh = part.start == 0

    @property
    def position(self) -> int:
        """Bytes of the file read so far, those behind the slice left out."""
        return min(self._raw.tell(), self._part.stop)

    @property
    def place(self) -> str:
        """Where the last block is from, for people; empty for plain XML, where the XML's own offset says it."""
        if self._bz2 is not None:
            return f"the stream at byte {self._bz2.start:,} of the compressed file, "
        return f"byte {self._raw.tell():,} of the compressed file, " if self.compressed else ""

    def read(self) -> bytes:
        """The next block; empty at the end of the file.

        Raises:
            EOFError, OSError, zlib.error, ZstdError: damage, after all that could be decompressed.
        """
        block = self._read()
        if self._fresh and block:
            self._fresh = False
            if block.startswith(_UTF_16):
                self._decoder = codecs.getincrementaldecoder("utf-16")("surrogatepass")
        if self._decoder is None:
            return block
        text = ""
        while block and not (text := self._decoder.decode(block)):
            block = self._read()
        # A lone surrogate becomes what is not UTF-8 either: its page is lost, not the file.
        return text.encode("utf-8", "surrogatepass")

    def _read(self) -> bytes:
        if self._bz2 is not None:
            try:
                return self._bz2.read1(_BLOCK)
            finally:
                self.beyond = self._bz2.start >= self._part.stop
        assert self._stream is not None
        if self.compressed:
            return self._stream.read1(_BLOCK)
        left = self._part.stop - self._raw.tell()
        self.beyond = left <= 0
        return self._stream.read1(min(_BLOCK, left) if left > 0 else _BLOCK)

    def skip_damage(self) -> tuple[int, bool]:
        """Go on at the slice's next bz2 stream if there is one: bytes of the file left out, whether reading goes on."""
        stop, unread = self._part.stop, max(0, self._part.stop - self._raw.tell())
        if self._bz2 is None or self._decoder is not None:
            return unread, False
        damaged = self._bz2.start
        if damaged >= stop:
            return 0, False  # a page reached into the next slice, which tells what is skipped there
        if self._bz2.skip_damage(stop):
            return self._bz2.start - damaged, True
        return (stop - damaged if stop < self._raw.seek(0, 2) else unread), False
