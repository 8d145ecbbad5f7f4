"""What deduplication works on: a language's parts, cut into shards of rows, and where its files are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from unibert.files import fingerprint
from unibert.recipe import Deduplication

VERSION = 1
"""Raised when the code changes its result."""

SHARD_ROWS = 100_000
"""Paragraphs in a shard, at least."""
SHARDS = 500
"""Shards of a language, at most: all of their signatures are open at once, and systems allow about 1,000 files."""
FINDER_ROWS = 8_000_000
"""Paragraphs whose hashes one task merges."""

Rows = npt.NDArray[np.uint32]
Advance = Callable[[int], None]


@dataclass(frozen=True)
class PartFiles:
    """One part of a language."""

    name: str
    samples: Path
    """Its Parquet file; the column `text` is read."""


@dataclass(frozen=True)
class Piece:
    """Row groups of a part, `first` up to but not with `last`."""

    samples: Path
    first: int
    last: int


@dataclass(frozen=True)
class Shard:
    """Consecutive paragraphs of a language."""

    number: int
    start: int
    """Paragraphs before it."""
    rows: int
    pieces: tuple[Piece, ...]

    def texts(self) -> Iterator[list[str]]:
        """Its texts, some at a time."""
        for piece in self.pieces:
            with pq.ParquetFile(piece.samples) as file:
                for batch in file.iter_batches(1000, range(piece.first, piece.last), ["text"]):
                    yield batch.column(0).to_pylist()


@dataclass(frozen=True)
class Job:
    """A language, how it is cut, and where its files are."""

    language: str
    parts: tuple[PartFiles, ...]
    part_rows: tuple[int, ...]
    shards: tuple[Shard, ...]
    settings: Deduplication
    folder: Path

    @property
    def rows(self) -> int:
        """Paragraphs in all parts."""
        return sum(self.part_rows)

    @property
    def scratch(self) -> Path:
        """Signatures, pairs, clusters, and marks of the tasks that are finished."""
        return self.folder / "scratch"

    @property
    def result(self) -> Path:
        """One file per part; the folder appears when all are written."""
        return self.folder / "removed"

    @property
    def finders(self) -> int:
        """Ranges of hashes that are merged apart from each other."""
        return 1 + self.rows // FINDER_ROWS


def plan_job(language: str, parts: Sequence[PartFiles], settings: Deduplication, folder: Path) -> Job:
    """Read from the parts how many rows they have, and cut them into shards.

    The job's folder is named after everything that decides the result: what lies in it can be used again.
    """
    states = [part.samples.stat() for part in parts]
    key = fingerprint(
        {
            "parts": [[part.name, state.st_size, state.st_mtime_ns] for part, state in zip(parts, states, strict=True)],
            "settings": settings.model_dump(mode="json"),
            "limits": [SHARD_ROWS, SHARDS, FINDER_ROWS],
            "version": VERSION,
        }
    )
    groups = [_row_groups(part.samples) for part in parts]
    shards = _cut([part.samples.absolute() for part in parts], groups)
    return Job(language, tuple(parts), tuple(map(sum, groups)), shards, settings, folder / f"{language}.{key}.dedup")


def _row_groups(path: Path) -> list[int]:
    """The rows in each row group."""
    with pq.ParquetFile(path) as file:
        return [file.metadata.row_group(number).num_rows for number in range(file.metadata.num_row_groups)]


def _cut(paths: Sequence[Path], groups: Sequence[Sequence[int]]) -> tuple[Shard, ...]:
    """Shards of whole row groups; where they are cut depends on the rows only, not on who works on them."""
    wanted = max(SHARD_ROWS, -(-sum(map(sum, groups)) // SHARDS))
    shards: list[Shard] = []
    pieces: list[Piece] = []
    start = rows = 0

    def flush() -> None:
        nonlocal start, rows
        if rows:
            shards.append(Shard(len(shards), start, rows, tuple(pieces)))
        pieces.clear()
        start, rows = start + rows, 0

    for path, sizes in zip(paths, groups, strict=True):
        first = 0
        for after, size in enumerate(sizes, 1):
            rows += size
            if rows >= wanted:
                pieces.append(Piece(path, first, after))
                first = after
                flush()
        if first < len(sizes):
            pieces.append(Piece(path, first, len(sizes)))
    flush()
    return tuple(shards)
