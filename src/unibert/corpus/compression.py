"""Compressed files as streams of bytes: bz2 (single and multistream), gzip, Zstandard, plain; damage is raised."""

from __future__ import annotations

import bz2
import gzip
import io
import re
import zlib
from abc import abstractmethod
from typing import IO, Any, Protocol

import zstandard

_BLOCK = 1 << 18
"""Bytes read from a file at once."""

_ZSTANDARD_INPUT = 1 << 10
"""Bytes of Zstandard decompressed at once. A block of four bytes may stand for 128 KiB, so this bounds the memory that
a malicious file can take at 32 MiB."""

DAMAGE = (EOFError, OSError, zlib.error, zstandard.ZstdError)
"""What reading a damaged file raises, after all that could be decompressed has been read."""

_STREAM_START = re.compile(rb"BZh[1-9]1AY&SY")
"""Start of a bz2 stream that is not empty: its signature and that of its first block. It does not come up by chance."""

_ZSTANDARD_START = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")
"""A frame, or a frame to be skipped, as parallel compressors write before the first one."""

_UNSUPPORTED = {
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"\xfd7zXZ\x00": "xz",
    b"PK\x03\x04": "ZIP",
}


class ByteStream(Protocol):
    """What is read from a file, compressed or not."""

    def read1(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""

    def readline(self, size: int, /) -> bytes:
        """The bytes up to and with the next newline, at most `size` of them; none at the end."""


def open_compressed(raw: IO[bytes]) -> tuple[ByteStream, bool]:
    """A stream of decompressed bytes over an open file (recognised by its content), and whether it is compressed.

    Its methods yield all that can be decompressed before they raise one of `DAMAGE`.

    Raises:
        OSError: a compression that is not supported.
    """
    start = raw.read(8)
    raw.seek(0)
    if is_bz2(start):
        return io.BufferedReader(Bz2Streams(raw), _BLOCK), True
    if start.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=raw), True
    if _ZSTANDARD_START.match(start):
        return io.BufferedReader(_ZstandardFrames(raw), _BLOCK), True
    for signature, name in _UNSUPPORTED.items():
        if start.startswith(signature):
            raise OSError(f"compressed with {name}, which is not supported; download the .bz2 file")
    return _Plain(raw), False


def damage_reason(error: BaseException) -> str:
    """One of `DAMAGE` in words."""
    if isinstance(error, EOFError):
        return "the compressed data end in the middle"
    return f"the compressed data are damaged ({error})" if "supported" not in str(error) else str(error)


def is_bz2(start: bytes) -> bool:
    """Whether a file that begins with `start` is bz2."""
    return start.startswith(b"BZh")


def is_stream_start(raw: IO[bytes], offset: int) -> bool:
    """Whether a bz2 stream begins at byte `offset` of the file."""
    raw.seek(offset)
    return _STREAM_START.match(raw.read(10)) is not None


def find_stream(raw: IO[bytes], start: int, stop: int) -> int | None:
    """Where the first bz2 stream begins at or after byte `start` and before byte `stop`; None if there is none."""
    raw.seek(start)
    position, data = start, b""
    while position < stop and (block := raw.read(_BLOCK)):
        data += block
        found = _STREAM_START.search(data)
        if found:
            place = position + found.start()
            return place if place < stop else None
        position += max(0, len(data) - 9)
        data = data[-9:]
    return None


class _Reader(io.RawIOBase):
    """A compressed file as the standard library's buffer wants it, which adds `readline`."""

    def readable(self) -> bool:
        return True

    @abstractmethod
    def read1(self, size: int) -> bytes: ...

    def readinto(self, buffer: Any) -> int:
        data = self.read1(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class Bz2Streams(_Reader):
    """All bz2 streams of a file from byte `start` on, one after the other; the bytes of two never come together.

    The standard library's reader takes a damaged stream after a sound one for something that is not bz2, and ends
    without a word. This one also can go on behind the damage, and what it yields of a damaged stream depends on that
    stream alone, not on where reading began: every stream is given to the decompressor in blocks from its own start.
    """

    def __init__(self, raw: IO[bytes], start: int = 0) -> None:
        super().__init__()
        self._raw = raw
        self._begin(start)

    def _begin(self, start: int) -> None:
        self.start = start
        """Byte of the file at which the stream begins that the last bytes came from."""
        self._raw.seek(start)
        self._stream: bz2.BZ2Decompressor | None = None

    def read1(self, size: int) -> bytes:
        """At most `size` bytes of one stream; none at the end of the file."""
        data = b""
        while not data:
            stream = self._stream
            if stream is None or stream.eof:
                block = self._next_start(stream.unused_data if stream else b"")
                if not block:
                    return b""
                self._stream = stream = bz2.BZ2Decompressor()
                data = stream.decompress(block, size)
            elif stream.needs_input:
                block = self._raw.read(_BLOCK)
                if not block:
                    raise EOFError
                data = stream.decompress(block, size)
            else:
                data = stream.decompress(b"", size)
        return data

    def _next_start(self, unused: bytes) -> bytes:
        """The next stream's first block; empty if nothing but padding follows."""
        block = unused + self._raw.read(_BLOCK - len(unused))
        while block and not block.strip(b"\0"):
            block = self._raw.read(_BLOCK)
        if block:
            self.start = self._raw.tell() - len(block)
            if not is_bz2(block):
                raise OSError("what follows a compressed stream is not bz2")
        return block

    def skip_damage(self, stop: int) -> bool:
        """Go on at the next stream that begins before byte `stop`, if there is one."""
        found = find_stream(self._raw, self.start + 1, stop)
        if found is not None:
            self._begin(found)
        return found is not None


class _ZstandardFrames(_Reader):
    """All Zstandard frames of a file; the library's own reader takes a truncated file for a complete one."""

    def __init__(self, raw: IO[bytes]) -> None:
        super().__init__()
        self._raw = raw
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._fresh = True  # nothing of this frame has been read yet
        self._input = memoryview(b"")
        self._output = memoryview(b"")
        self._error: zstandard.ZstdError | None = None

    def read1(self, size: int) -> bytes:
        while not self._output:
            if self._error:
                raise self._error
            if not self._input:
                self._input = memoryview(self._raw.read(_BLOCK))
                if not self._input:
                    if self._fresh:
                        return b""
                    raise EOFError
            self._decompress()
        data, self._output = bytes(self._output[:size]), self._output[size:]
        return data

    def _decompress(self) -> None:
        """Decompress until there is a block's worth, the input is used up or damage is met."""
        pieces, length = [], 0
        while self._input and length < _BLOCK:
            if self._frame.eof:
                self._frame, self._fresh = zstandard.ZstdDecompressor().decompressobj(), True
            try:
                piece = self._frame.decompress(self._input[:_ZSTANDARD_INPUT])
            except zstandard.ZstdError as error:
                self._error = error  # raised after what was read before it
                break
            used = min(len(self._input), _ZSTANDARD_INPUT) - len(self._frame.unused_data)
            self._input, self._fresh = self._input[used:], self._frame.eof
            pieces.append(piece)
            length += len(piece)
        self._output = memoryview(b"".join(pieces))


class _Plain:
    """An uncompressed file with the reading methods of the compressed ones."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw

    def read1(self, size: int, /) -> bytes:
        return self._raw.read(size)

    def readline(self, size: int, /) -> bytes:
        return self._raw.readline(size)
