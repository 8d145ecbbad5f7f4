"""Samples to ids over all cores: row groups of the corpus go to processes, their ids come back in order.

Threads would not do: turning the library's results into arrays holds Python's lock, which bounds the whole machine to
the speed of about two cores.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer

from unibert.errors import DataError
from unibert.processes import in_order, process_pool
from unibert.tokens.heldout import HeldOut, PageHash, choose_held_out
from unibert.tokens.store import ID
from unibert.tokens.vocabulary import SpecialIds

COLUMNS = ["source", "page_id", "text"]
"""What is read of a sample."""
_ROWS = 4096  # encoded at a time
_SMALL = 8 << 20  # bytes of text for which starting processes takes longer than it saves


@dataclass(frozen=True)
class Choice:
    """A language whose held-out pages are to be chosen; see `choose_held_out`."""

    path: Path
    language: str
    seed: int
    share: float
    most: int


@dataclass(frozen=True)
class Piece:
    """A row group of a language, to be encoded but for its held-out rows."""

    path: Path
    row_group: int
    skipped: frozenset[int]
    """Held-out rows, counted from the row group's first."""
    held_out: frozenset[str]
    """The texts of the language that are held out."""


def pieces_of(path: Path, held_out: HeldOut) -> Iterator[Piece]:
    """The row groups of a language's file."""
    metadata = open_samples(path).metadata
    texts = frozenset(held_out.texts)
    start = 0
    for number in range(metadata.num_row_groups):
        end = start + metadata.row_group(number).num_rows
        own = held_out.rows[bisect_left(held_out.rows, start) : bisect_left(held_out.rows, end)]
        yield Piece(path, number, frozenset(row - start for row in own), texts)
        start = end


class Encoded(NamedTuple):
    """The training samples of a piece that have any id."""

    ids: npt.NDArray[np.uint32]
    """uint32[tokens], one sample after another."""
    lengths: npt.NDArray[np.uint32]
    """uint32[samples], all above 0."""
    unknown: int
    """[UNK] among the ids."""
    rows: int
    """Rows of the piece, with held-out ones and those without ids."""
    repeated: frozenset[str]
    """Held-out texts that stand in this piece's training pages too."""


class Encoder:
    """Texts to ids, without special tokens."""

    def __init__(self, serialised: str) -> None:
        """`serialised`: a tokenizer as `Tokenizer.to_str` writes it."""
        self._tokenizer = Tokenizer.from_str(serialised)
        self._unk = SpecialIds.of(self._tokenizer).unk
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        # An article that writes "[MASK]" means the six characters.
        self._tokenizer.encode_special_tokens = True

    def encode(self, texts: list[str]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], int]:
        """Ids, lengths and the number of [UNK], as in `Encoded`; texts without any id are left out."""
        ids: list[npt.NDArray[np.uint32]] = []
        lengths: list[int] = []
        for start in range(0, len(texts), _ROWS):
            encodings = self._tokenizer.encode_batch_fast(texts[start : start + _ROWS], add_special_tokens=False)
            samples = [sample for encoding in encodings if (sample := encoding.ids)]
            lengths += map(len, samples)
            ids.append(np.fromiter(itertools.chain.from_iterable(samples), dtype=ID))
        joined = np.concatenate(ids) if ids else np.empty(0, ID)
        return joined, np.array(lengths, dtype=ID), int((joined == self._unk).sum())


Run = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
"""Calls a function of this file for every item, here or in processes; the results come in the items' order."""


@contextmanager
def encoding_workers(tokenizer: Tokenizer, workers: int, size: int) -> Iterator[Run]:
    """Get ready to run `choose` and `encode`: in processes, or in this one where the work is too small for them.

    Args:
        tokenizer: what encodes.
        workers: processes.
        size: bytes of text in all.

    Raises:
        DataError: a process ended unexpectedly.
    """
    serialised = tokenizer.to_str()
    if workers <= 1 or size < _SMALL:
        _start(serialised)
        yield map
        return
    with process_pool(workers, _start, (serialised,)) as executor:

        def run(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
            return in_order(executor, function, items, 2 * workers + 1)

        try:
            yield run
        except BrokenProcessPool:
            raise DataError(
                "a process that tokenises ended unexpectedly, most likely for want of memory",
                "Set tokens.workers to a smaller number; the languages that are finished are kept.",
            ) from None


_encoder: Encoder | None = None


def _start(serialised: str) -> None:
    global _encoder
    _encoder = Encoder(serialised)


def choose(choice: Choice) -> HeldOut:
    """The held-out pages of a language."""
    rows = itertools.chain.from_iterable(read_rows(choice.path, COLUMNS))
    return choose_held_out(rows, PageHash(choice.language, choice.seed), choice.share, choice.most)


def encode(piece: Piece) -> Encoded:
    """The ids of a piece's training samples; runs where `encoding_workers` has prepared it."""
    assert _encoder is not None
    texts = [row[0] for group in read_rows(piece.path, ["text"], [piece.row_group]) for row in group]
    rows = len(texts)
    if piece.skipped:
        texts = [text for number, text in enumerate(texts) if number not in piece.skipped]
    return Encoded(*_encoder.encode(texts), rows, piece.held_out.intersection(texts))


# --- reading ---

_AGAIN = "Delete it and run `unibert corpus build` again."


def open_samples(path: Path) -> pq.ParquetFile:
    """A language's Parquet file; one that cannot be opened is a DataError."""
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({error})", _AGAIN) from None


def read_rows(path: Path, columns: list[str], row_groups: list[int] | None = None) -> Iterator[list[tuple[Any, ...]]]:
    """The values of these columns, row by row, of a language or of some of its row groups, some thousand at a time.

    Raises:
        DataError: the file is damaged.
    """
    try:
        for batch in open_samples(path).iter_batches(_ROWS, row_groups=row_groups, columns=columns):
            yield list(zip(*(batch.column(name).to_pylist() for name in columns), strict=True))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: damaged Parquet file ({error})", _AGAIN) from None


def text_bytes(path: Path) -> int:
    """Bytes of text in a language's file, uncompressed, from its footer."""
    metadata = open_samples(path).metadata
    place = metadata.schema.names.index("text")
    return sum(metadata.row_group(i).column(place).total_uncompressed_size for i in range(metadata.num_row_groups))
