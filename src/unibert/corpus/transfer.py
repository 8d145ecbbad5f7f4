"""One file from a mirror: in as many requests as it takes, verified before it gets its name."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

import urllib3

from unibert.corpus.mirror import DumpFile, MayPass, Mirror, Patience, Stopped
from unibert.errors import DataError

_CHUNK = 1 << 18


def fetch_file(source: Mirror, file: DumpFile, folder: Path, advance: Callable[[int], None]) -> None:
    """Download one file into the folder; what an earlier attempt left in `NAME.part` is gone on with.

    A wrong checksum is given a second chance, from the first byte on.

    Args:
        source: the mirror.
        file: what to fetch.
        folder: where to.
        advance: told the number of bytes that came; a negative number if some have to be fetched again.

    Raises:
        DataError: the file is not to be had.
        Stopped: `source.stop` was set.
    """
    part = part_of(folder, file)
    for _ in range(2):
        _receive(source, file, part, advance)
        if not differs(part, file):
            os.replace(part, folder / file.name)
            if not file.checksum:
                source.tell(f"{file.name}: the mirror gives no checksum; only its size was checked")
            return
        part.unlink()
        advance(-file.size)
        source.tell(f"{file.name}: its checksum is wrong")
    raise DataError(
        f"{file.url}: downloaded twice from the first byte on, with a wrong checksum",
        "Try another --mirror, or later once more.",
    )


def part_of(folder: Path, file: DumpFile) -> Path:
    """Where a file grows until it is complete."""
    return folder / f"{file.name}.part"


def size_of(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def told_bytes(count: int) -> str:
    """A size for people, in decimal units."""
    for limit, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= limit:
            return f"{count / limit:.1f} {unit}"
    return f"{count} bytes"


def differs(path: Path, file: DumpFile) -> bool:
    """Is this file's size or checksum other than the mirror says? Reads the whole file if there is a checksum."""
    if size_of(path) != file.size or not file.checksum:
        return size_of(path) != file.size
    algorithm, digits = file.checksum
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest() != digits


def _receive(source: Mirror, file: DumpFile, part: Path, advance: Callable[[int], None]) -> None:
    """Fill `part` up to the size of the file."""
    if size_of(part) > file.size:
        part.unlink()  # it was another file of this name
        advance(-file.size)
    patience, furthest = Patience(source, file.name), size_of(part)
    while (offset := size_of(part)) < file.size:
        try:
            with source.open(file.url, offset) as response:
                start = _first_byte(response, file)
                if start not in (0, offset):
                    part.unlink(missing_ok=True)
                    advance(-offset)
                    raise MayPass("the mirror cannot go on where we stopped; from the start", wait=0)
                _append(source, response, file, part, start, advance)
            if size_of(part) < file.size:
                raise MayPass(f"broken off after {told_bytes(size_of(part))}")
        except MayPass as problem:
            # Bytes that we had before are no progress: a server may break off at the same place for ever.
            if size_of(part) > furthest:
                furthest = size_of(part)
                patience.progressed()
            patience.wait(problem)


def _first_byte(response: urllib3.BaseHTTPResponse, file: DumpFile) -> int:
    """The byte with which this answer begins: 0 from a server that knows no ranges, -1 if it has no such byte."""
    start, total = 0, response.headers.get("Content-Length", "")
    if response.status == 416:
        return -1
    if response.status == 206:
        match = re.match(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        start, total = (int(match[1]), match[2]) if match else (-1, "")
    if total.isdecimal() and int(total) != file.size:
        raise _other_size(file, total)
    return start


def _other_size(file: DumpFile, size: str) -> DataError:
    return DataError(
        f"{file.url}: the mirror's file has {size} bytes, its dumpstatus.json says {file.size}",
        "Try another --mirror, or later once more.",
    )


def _append(
    source: Mirror,
    response: urllib3.BaseHTTPResponse,
    file: DumpFile,
    part: Path,
    start: int,
    advance: Callable[[int], None],
) -> None:
    """Write the answer behind the first `start` bytes of `part`; no file is made before a byte has come."""
    stream = None
    try:
        while chunk := response.read1(_CHUNK, decode_content=False):
            if source.stop.is_set():
                raise Stopped
            if stream is None:
                advance(start - size_of(part))
                stream = part.open("ab" if start else "wb")
            stream.write(chunk)
            advance(len(chunk))
            start += len(chunk)
            if start > file.size:
                raise _other_size(file, f"{start} or more")
        if stream:
            stream.flush()  # the last bytes may be those that find no room
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OSError(error.errno, error.strerror, str(part)) from None  # a write does not say where it failed
        raise
    finally:
        if stream:
            stream.close()
