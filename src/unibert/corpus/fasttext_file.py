"""Whether a fastText model file is whole, before fastText opens it.

fastText takes a file that was cut off for one that goes on with zeros, and then answers at random, or divides by zero,
which ends the process.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

_MAGIC = 793_712_314
_SUPERVISED = 3
_ENTRY_TAIL = 1 + 8 + 1
"""The zero byte that ends a word, its count and its type."""
_CENTROIDS = 256


def check_fasttext_file(path: Path) -> None:
    """Walk through the file's sections (as fastText 0.9 writes them) up to the end.

    Raises:
        ValueError: no supervised fastText model, or not the whole of one.
    """
    if path.stat().st_size < 4:
        raise ValueError("it is not a fastText model")
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            end = _end(data)
        except struct.error:
            end = len(data) + 1
        if end > len(data):
            raise ValueError(f"it ends in the middle, after {len(data):,} bytes")


def _end(data: mmap.mmap) -> int:
    """Where the model ends; beyond the file's end, or struct.error, for one that was cut off."""
    if struct.unpack_from("<i", data)[0] != _MAGIC:
        raise ValueError("it is not a fastText model")
    settings = struct.unpack_from("<12id", data, 8)
    if settings[7] != _SUPERVISED:
        raise ValueError("it holds word vectors and no labels")
    entries, _, _, _, pruned = struct.unpack_from("<3i2q", data, 64)
    position = 92
    for _ in range(entries):
        word_end = data.find(b"\0", position)
        if word_end < 0:
            return len(data) + 1
        position = word_end + _ENTRY_TAIL
    position += 8 * max(0, pruned)
    quantised = _flag(data, position)
    position = (_quantised if quantised else _dense)(data, position + 1)
    both = _flag(data, position) and quantised
    return (_quantised if both else _dense)(data, position + 1)


def _flag(data: mmap.mmap, position: int) -> bool:
    return bool(struct.unpack_from("<?", data, position)[0])


def _dense(data: mmap.mmap, position: int) -> int:
    rows, columns = struct.unpack_from("<2q", data, position)
    return position + 16 + 4 * rows * columns


def _quantised(data: mmap.mmap, position: int) -> int:
    with_norms, rows, _, codes = struct.unpack_from("<?2qi", data, position)
    position = _quantiser(data, position + 21 + codes)
    return _quantiser(data, position + rows) if with_norms else position


def _quantiser(data: mmap.mmap, position: int) -> int:
    (dimensions,) = struct.unpack_from("<i", data, position)
    return position + 16 + 4 * dimensions * _CENTROIDS
