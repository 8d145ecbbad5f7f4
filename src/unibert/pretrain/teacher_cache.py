"""The teacher's most probable pieces on disk: one run asks the teacher, every later one reads what it said.

A cache is a folder; below it every identity (teacher, tokens, seed, the settings that draw and mask samples,
temperature, K) has a folder named by its fingerprint, with `identity.json` for the reader and block files. An entry is
what the teacher said to one sample of one step: its key is the step, the place in the step's batch, and a checksum of
the very tokens asked. Any process may write any entry, and all files are read together, so it does not matter how many
processes a run has or had.

A block file `STEP-HASH.top` holds entries of the steps STEP ... STEP + 255. It is written once, atomically, and named
by its contents. Little-endian:

    header    64 bytes: "UNITOPK1", K and number of entries (uint32), number of rows (uint64), SHA-256 of all the rest
    entries   four uint32 each: step, place in the batch, rows, checksum of the sample
    rows      5 K bytes each: K ids of 3 bytes, most probable first, then K probabilities of 2

A probability p is stored as round(65535 sqrt(p)): a step of this scale changes a divergence by about the same wherever
it is taken, as (dp)**2 / 2p = 2 (d sqrt(p))**2, here at most 1.2e-10 nats a piece. p itself is off by 1.5e-5 at most;
a float16 would be by up to 2.4e-4 between 0.5 and 1, where teachers often are.

Cost with K = 64: 320 bytes a masked row and 16 a sample, that is 46 or 47 bytes a token at 15 %. A million steps of 128
samples take 153 GB where a sample has 26 tokens on average and 665 GB where it has 110 (`expected_bytes`).
"""

from __future__ import annotations

import hashlib
import shutil
import struct
import sys
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch

from unibert.errors import DataError
from unibert.files import atomic_file, fingerprint, read_json, write_json
from unibert.pretrain.top_k import TopK
from unibert.recipe import Pretrain
from unibert.tokens.batches import MicroBatch
from unibert.tokens.mixture import shares
from unibert.tokens.store import TRAIN, TokenStore

SCHEMA = 1
IDENTITY = "identity.json"
BLOCK_STEPS = 256
"""Steps whose entries stand in one file, or in a few where a run was interrupted or many processes wrote."""

_MAGIC = b"UNITOPK1"
_HEADER = struct.Struct("<8sIIQ32s8x")
_ENTRY = np.dtype("<u4")
_ENTRY_BYTES = 16
_LEVELS = 65535
_BUFFER = 1 << 26  # bytes of entries that wait in memory; a fuller buffer makes a file of its own
_RESERVE = 4 << 30  # bytes that stay free on the disk: checkpoints need them more
_STALE = 3600.0  # seconds after which a half-written file's writer is taken for dead

Bytes = npt.NDArray[np.uint8]
_Index = dict[tuple[int, int, int], tuple[Bytes, int, int]]
"""(step, place in the batch, checksum) -> the rows of a file, first and one past the last of them."""


class TeacherCache:
    """Reads what is there and writes what is not; see the module for what it is.

    Use it as `with TeacherCache(...) as cache:` and call `answer` for every micro-batch. What was answered in steps
    that are not on disk yet is lost when the process is killed, and only that: call `flush` where a checkpoint is
    saved. A file that is damaged is deleted, said so, and its entries are asked and written again. Where the disk is
    full (or nearly: 4 GiB are left for checkpoints) or must not be written, that is said once, and the run goes on
    with what is there.

    Args:
        folder: of the cache; any number of runs may share it, also at the same time.
        identity: what the answers depend on, from `cache_identity`.
        top: K; all pieces where the vocabulary has fewer.
        vocabulary_size: V.
        tell: is told of damage and of a disk that cannot be written.

    Raises:
        DataError: the folder can neither be found nor made, or V does not fit 3 bytes.
    """

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, Any],
        top: int,
        vocabulary_size: int,
        tell: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
    ) -> None:
        if vocabulary_size > 1 << 24:
            raise DataError(
                f"{folder}: a vocabulary of {vocabulary_size:,} pieces is too large for the teacher's cache",
                "Leave [teacher.cache] out of the recipe.",
            )
        self.top = min(top, vocabulary_size)
        """K: ask the teacher for as many."""
        whole = {"schema": SCHEMA, **identity, "top": self.top}
        self.folder = folder / fingerprint(whole)
        """Of this identity."""
        self._tell = tell
        self._writable = True
        self._read_block: int | None = None
        self._index: _Index = {}
        self._buffer_block = 0
        self._buffer: list[tuple[npt.NDArray[np.uint32], Bytes]] = []
        self._buffered = 0
        self._prepare(whole)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what waits in memory, however the block ends: it is sound."""
        self.flush()

    def answer(self, step: int, batch: MicroBatch, ask: Callable[[], TopK]) -> TopK:
        """The teacher's K pieces on a micro-batch's rows: from the disk, or else from `ask`, and then on the disk.

        Either way the probabilities are those that the disk can hold, so that a run that reads equals the one that
        wrote, bit for bit. The result is on the CPU.

        Args:
            step: the micro-batch is a part of this step's batch.
            batch: its samples.
            ask: gives `top_k(the teacher's logits on batch.rows, self.top, temperature)`.

        Raises:
            DataError: the teacher's answer is not a number.
        """
        marks = sample_marks(batch)
        found = self.read(step, batch.positions, marks)
        if found is not None:
            return found
        return self.write(step, batch.positions, batch.rows_per_sample, marks, ask())

    def read(self, step: int, positions: Sequence[int], marks: Sequence[int]) -> TopK | None:
        """The entries of some samples of a step's batch, their rows one sample after another; None if any is missing.

        Args:
            step: the step.
            positions: places in the step's whole batch.
            marks: checksum of each, from `sample_marks`.
        """
        block = step // BLOCK_STEPS
        if block != self._read_block:
            self._index, self._read_block = self._read_files(block), block
        parts = [np.empty((0, 5 * self.top), dtype=np.uint8)]
        for position, mark in zip(positions, marks, strict=True):
            entry = self._index.get((step, position, mark))
            if entry is None:
                return None
            rows, start, stop = entry
            parts.append(rows[start:stop])
        return decode(np.concatenate(parts))

    def write(
        self, step: int, positions: Sequence[int], counts: Sequence[int], marks: Sequence[int], top: TopK
    ) -> TopK:
        """Take entries, which stand on the disk at the latest with the first write of another block; see `flush`.

        Args:
            step: the step.
            positions: places in the step's whole batch.
            counts: rows of each sample.
            marks: checksum of each, from `sample_marks`.
            top: the rows, one sample after another.

        Returns:
            The rows as they will be read, on the CPU.

        Raises:
            DataError: a probability is not a number.
        """
        if top.ids_MK.shape != (sum(counts), self.top):
            raise ValueError(f"{sum(counts)} rows of {self.top} pieces expected, got {tuple(top.ids_MK.shape)}")
        if not bool(torch.isfinite(top.probabilities_MK).all()):
            raise DataError(
                f"the teacher's answer is not a number at step {step:,}",
                "Check the teacher's weights; if it is sound elsewhere, set pretrain.precision=float32.",
            )
        rows = encode(top)
        if self._buffer_block != step // BLOCK_STEPS or self._buffered >= _BUFFER:
            self.flush()
        if self._writable:
            self._buffer_block = step // BLOCK_STEPS
            entries = np.array([[step] * len(positions), positions, counts, marks], dtype=_ENTRY).T
            self._buffer.append((entries, rows))
            self._buffered += entries.nbytes + rows.nbytes
        return decode(rows)

    def flush(self) -> None:
        """Write what waits in memory to the disk."""
        if not self._buffer:
            return
        entries = np.concatenate([part for part, _ in self._buffer]).tobytes()
        rows = np.concatenate([part for _, part in self._buffer])
        self._buffer, self._buffered = [], 0
        count = len(entries) // _ENTRY_BYTES
        digest = _digest(self.top, count, len(rows), memoryview(entries), rows.data)
        path = self.folder / f"{self._buffer_block * BLOCK_STEPS:09d}-{digest.hex()[:16]}.top"
        try:
            if shutil.disk_usage(self.folder).free - rows.nbytes < _RESERVE:
                raise OSError(f"less than {_RESERVE >> 30} GiB would stay free for checkpoints")
            with atomic_file(path, "wb") as stream:
                stream.write(_HEADER.pack(_MAGIC, self.top, count, len(rows), digest))
                stream.write(entries)
                stream.write(rows.data)
        except OSError as error:
            self._stop_writing(error.strerror or str(error))
        if self._read_block == self._buffer_block:
            self._read_block = None  # there is more to read in it now

    def bytes_on_disk(self) -> int:
        """What this identity takes on the disk."""
        return sum(path.stat().st_size for path in self.folder.glob("*.top"))

    def _prepare(self, identity: Mapping[str, Any]) -> None:
        path = self.folder / IDENTITY
        with suppress(DataError, OSError):
            if fingerprint(read_json(path)) == fingerprint(identity):
                for scratch in self.folder.glob(".*.tmp"):
                    with suppress(OSError):
                        if time.time() - scratch.stat().st_mtime > _STALE:
                            scratch.unlink()  # what a killed process was writing
                return
        try:
            write_json(path, identity)
        except OSError as error:
            raise DataError(
                f"{self.folder}: the teacher's cache cannot be made ({error.strerror or error})",
                "Set teacher.cache.folder to a folder that you may write in, on a disk with room.",
            ) from None

    def _stop_writing(self, why: str) -> None:
        self._writable = False
        self._tell(
            f"warning: {self.folder}: the teacher's answers are not written any more ({why}); training goes on.\n"
            "  Fix: make room there and start again, or set teacher.cache.folder to another disk."
        )

    def _read_files(self, block: int) -> _Index:
        index: _Index = {}
        for path in sorted(self.folder.glob(f"{block * BLOCK_STEPS:09d}-*.top")):
            try:
                index |= _read_file(path, self.top)
            except (DataError, OSError) as error:
                with suppress(OSError):
                    path.unlink()
                self._tell(f"{path}: damaged ({error}); deleted, the teacher is asked again")
        return index


def cache_identity(settings: Pretrain, seed: int, tokens: str, teacher: str, precision: str) -> dict[str, Any]:
    """All that the teacher's answers in a run depend on, as JSON-like data.

    Students of any shape, number and objective share a cache, and a run may be longer than the one that wrote it.

    Args:
        settings: those that draw, cut and mask samples are taken, and the temperature.
        seed: the run's.
        tokens: fingerprint of the token store.
        teacher: fingerprint of the teacher's weights.
        precision: the number format that the teacher computes in.
    """
    drawing = settings.model_dump(mode="json", include={"batch_size", "context", "alpha", "masking"})
    temperature = settings.distillation.temperature
    return {
        **drawing,
        "temperature": temperature,
        "seed": seed,
        "tokens": tokens,
        "teacher": teacher,
        "precision": precision,
    }


def sample_marks(batch: MicroBatch) -> list[int]:
    """A CRC-32 of each sample's ids, masks and all, and of the places asked for."""
    ids_T, rows_M = batch.input_ids.cpu().numpy(), batch.rows.cpu().numpy()
    ends_T, ends_M = np.cumsum(batch.lengths), np.cumsum(batch.rows_per_sample)
    marks = []
    for end, length, row_end, rows in zip(ends_T, batch.lengths, ends_M, batch.rows_per_sample, strict=True):
        places = rows_M[row_end - rows : row_end] - (end - length)
        marks.append(zlib.crc32(places.tobytes(), zlib.crc32(ids_T[end - length : end].tobytes())))
    return marks


def encode(top: TopK) -> Bytes:
    """Rows as they stand on the disk, uint8[M, 5 K]; their probabilities sum to 1 or less, also after rounding."""
    ids_MK = top.ids_MK.cpu().numpy().astype("<u4")
    roots_MK = np.sqrt(top.probabilities_MK.cpu().numpy().astype(np.float64)) * _LEVELS
    levels_MK = np.minimum(np.rint(roots_MK), _LEVELS)
    over_M = np.square(levels_MK / _LEVELS).sum(axis=1) > 1
    levels_MK[over_M] = np.minimum(np.floor(roots_MK[over_M]), _LEVELS)
    rows, k = ids_MK.shape
    packed_M = [
        ids_MK.view(np.uint8).reshape(rows, k, 4)[:, :, :3].reshape(rows, 3 * k),
        levels_MK.astype("<u2").view(np.uint8),
    ]
    return np.concatenate(packed_M, axis=1)


def decode(rows: Bytes) -> TopK:
    """What `encode` made: uint8[M, 5 K] back to pieces and probabilities."""
    count, k = len(rows), rows.shape[1] // 5
    ids_MK4 = np.zeros((count, k, 4), dtype=np.uint8)
    ids_MK4[:, :, :3] = rows[:, : 3 * k].reshape(count, k, 3)
    levels_MK = np.ascontiguousarray(rows[:, 3 * k :]).view("<u2").astype(np.float64)
    return TopK(
        torch.from_numpy(ids_MK4.view("<u4").reshape(count, k).astype(np.int64)),
        torch.from_numpy(np.square(levels_MK / _LEVELS).astype(np.float32)),
    )


def bytes_per_row(top: int) -> int:
    """What a masked row takes on the disk; a sample takes 16 bytes more."""
    return 5 * top


def expected_bytes(store: TokenStore, settings: Pretrain, top: int) -> int:
    """What a whole run's answers will take on the disk, to a few percent, from each language's mean sample."""
    sizes = np.array([store.samples(language, TRAIN) for language in store.languages], dtype=np.int64)
    tokens = np.array([store.tokens(language, TRAIN) for language in store.languages], dtype=np.int64)
    lengths = np.minimum(tokens / np.maximum(sizes, 1), settings.context - 2)
    rows = np.maximum(1, settings.masking.share * lengths)
    sample = float((shares(sizes, settings.alpha) * rows).sum()) * bytes_per_row(min(top, store.vocabulary_size))
    return round(settings.steps * settings.batch_size * (sample + _ENTRY_BYTES))


def _read_file(path: Path, top: int) -> _Index:
    """The entries of a block file.

    Raises:
        DataError: it is not one of this K, or not as it was written.
    """
    data = np.memmap(path, dtype=np.uint8, mode="r") if path.stat().st_size else np.empty(0, np.uint8)
    if len(data) < _HEADER.size:
        raise DataError(f"{len(data)} bytes")
    magic, found_top, count, rows, digest = _HEADER.unpack(data[: _HEADER.size].tobytes())
    size = _HEADER.size + count * _ENTRY_BYTES + rows * bytes_per_row(top)
    if magic != _MAGIC or found_top != top or len(data) != size:
        raise DataError(f"{len(data):,} bytes, but its header says {size:,}")
    body = np.asarray(data)[_HEADER.size :]
    table = body[: count * _ENTRY_BYTES]
    stored = body[count * _ENTRY_BYTES :].reshape(rows, bytes_per_row(top))
    if _digest(top, count, rows, table.data, stored.data) != digest:
        raise DataError("its SHA-256 is another one")
    index: _Index = {}
    start = 0
    for step, position, number, mark in table.view(_ENTRY).reshape(count, 4).tolist():
        index[step, position, mark] = (stored, start, start + number)
        start += number
    return index


def _digest(top: int, entries: int, rows: int, *parts: memoryview) -> bytes:
    digest = hashlib.sha256(_HEADER.pack(_MAGIC, top, entries, rows, b""))
    for part in parts:
        digest.update(part)
    return digest.digest()
