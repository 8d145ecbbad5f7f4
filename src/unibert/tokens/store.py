"""Token shards on disk, memory-mapped: any sample of any language at the cost of reading it.

Per language and split: `LANG.SPLIT.bin`, the ids of all samples one after another as little-endian uint32, without
special tokens (mBERT's 119,547 ids do not fit 16 bits); `LANG.SPLIT.idx`, n + 1 little-endian uint64 offsets in ids.
`index.json` holds the counts and the SHA-256 of every file.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt

from unibert.errors import DataError
from unibert.files import atomic_file, fingerprint, read_json, write_json
from unibert.progress import progress_bar
from unibert.tokens.vocabulary import tokenizer_fingerprint

SCHEMA = 1
INDEX = "index.json"
Split = Literal["train", "heldout"]
Kind = Literal["bin", "idx"]
TRAIN: Split = "train"
HELD_OUT: Split = "heldout"
SPLITS: tuple[Split, ...] = (TRAIN, HELD_OUT)
KINDS: tuple[Kind, ...] = ("bin", "idx")

ID, OFFSET = np.dtype("<u4"), np.dtype("<u8")
_CHUNK = 1 << 22  # bytes that a check reads at a time
_LARGE = 1 << 28  # bytes from which on a check shows its progress


def shard_path(folder: Path, language: str, split: Split, kind: Kind) -> Path:
    """The file of one language, split and kind."""
    return folder / f"{language}.{split}.{kind}"


class SplitWriter:
    """Appends samples to the two files of one language and split; made by `write_split`."""

    def __init__(self, ids_file: IO[bytes], offsets_file: IO[bytes]) -> None:
        self._ids = _Hashed(ids_file)
        self._offsets = _Hashed(offsets_file)
        self.samples = 0
        self.tokens = 0
        self._offsets.write(np.zeros(1, OFFSET).tobytes())

    def add(self, samples: Sequence[Sequence[int]]) -> npt.NDArray[np.uint32]:
        """Append samples, each a sequence of ids below 2**32, and return all their ids as one array.

        Raises:
            ValueError: an empty sample.
        """
        lengths = np.fromiter(map(len, samples), dtype=OFFSET, count=len(samples))
        ids = np.fromiter(itertools.chain.from_iterable(samples), dtype=ID, count=int(lengths.sum()))
        self.add_joined(ids, lengths)
        return ids

    def add_joined(self, ids: npt.NDArray[np.uint32], lengths: npt.NDArray[np.unsignedinteger[Any]]) -> None:
        """Append samples whose ids, uint32[tokens], are joined already; lengths is [samples] and sums up to tokens.

        Raises:
            ValueError: an empty sample.
        """
        if not lengths.all():
            raise ValueError("a sample without ids")
        self._ids.write(ids.tobytes())
        self._offsets.write((self.tokens + np.cumsum(lengths, dtype=OFFSET)).tobytes())
        self.samples += len(lengths)
        self.tokens += len(ids)

    def entry(self) -> dict[str, Any]:
        """This split's entry in the index."""
        hashes = {"bin": self._ids.digest(), "idx": self._offsets.digest()}
        return {"samples": self.samples, "tokens": self.tokens, "sha256": hashes}


class _Hashed:
    """A file whose checksum grows while it is written."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self._stream.write(data)
        self._hash.update(data)

    def digest(self) -> str:
        return self._hash.hexdigest()


@contextmanager
def write_split(folder: Path, language: str, split: Split) -> Iterator[SplitWriter]:
    """Write the two files of one language and split; they get their names only if the block ends well."""
    with (
        atomic_file(shard_path(folder, language, split, "bin"), "wb") as ids,
        atomic_file(shard_path(folder, language, split, "idx"), "wb") as offsets,
    ):
        yield SplitWriter(ids, offsets)


def write_index(folder: Path, tokenizer_sha256: str, vocabulary_size: int, languages: dict[str, Any]) -> None:
    """Write `index.json`, last of all, sorted by language."""
    ordered = dict(sorted(languages.items()))
    tree = {"schema": SCHEMA, "tokenizer_sha256": tokenizer_sha256, "vocabulary_size": vocabulary_size}
    write_json(folder / INDEX, {**tree, "languages": ordered})


class TokenStore:
    """The shards of a folder, read-only.

    Args:
        folder: written by `unibert tokens build`.
        verify: read every file once and compare checksums, offsets and the largest id; sizes are always compared.

    Raises:
        DataError: no index, another schema, a missing, cut or damaged file, an id beyond the vocabulary.
    """

    def __init__(self, folder: Path | str, verify: bool = True) -> None:
        self.folder = Path(folder)
        path = self.folder / INDEX
        if not path.exists():
            raise DataError(f"{path}: no such file", "Run `unibert tokens build` first, or wait until it has finished.")
        index = read_json(path)
        _check_index(path, index)
        self.index: dict[str, Any] = index
        self.fingerprint = fingerprint(index)
        """16 hexadecimal digits that stand for every byte of the store."""
        self.tokenizer_sha256: str = index["tokenizer_sha256"]
        self.vocabulary_size: int = index["vocabulary_size"]
        self.languages: list[str] = sorted(index["languages"])
        self._ids: dict[tuple[str, str], npt.NDArray[np.uint32]] = {}
        self._offsets: dict[tuple[str, str], npt.NDArray[np.uint64]] = {}
        for language in self.languages:
            for split in SPLITS:
                check_sizes(self.folder, language, split, index["languages"][language][split])
        if verify:
            self._verify()
        for language in self.languages:
            for split in SPLITS:
                self._ids[language, split] = _map(shard_path(self.folder, language, split, "bin"), ID)
                self._offsets[language, split] = _map(shard_path(self.folder, language, split, "idx"), OFFSET)

    def samples(self, language: str, split: Split) -> int:
        """Number of samples."""
        return int(self.index["languages"][language][split]["samples"])

    def tokens(self, language: str, split: Split) -> int:
        """Number of ids, special tokens not included."""
        return int(self.index["languages"][language][split]["tokens"])

    def sample(self, language: str, split: Split, index: int) -> npt.NDArray[np.uint32]:
        """The ids of one sample, uint32[L], a view of the file without special tokens.

        Raises:
            IndexError: no such sample.
        """
        if not 0 <= index < self.samples(language, split):
            raise IndexError(f"{language} has {self.samples(language, split)} {split} samples, there is no {index}")
        offsets = self._offsets[language, split]
        return self._ids[language, split][int(offsets[index]) : int(offsets[index + 1])]

    def check_tokenizer(self, tokenizer: Any) -> None:
        """Raise a DataError unless `tokenizer` gives texts the ids that the store was written with."""
        found = tokenizer_fingerprint(tokenizer)
        if found != self.tokenizer_sha256:
            raise DataError(
                f"{self.folder}: written with another tokenizer (fingerprint {self.tokenizer_sha256[:16]}, "
                f"this one has {found[:16]})",
                "Use the tokenizer folder that was written with the tokens, or build the tokens again with this one.",
            )

    def _verify(self) -> None:
        total = ID.itemsize * sum(self.tokens(language, split) for language in self.languages for split in SPLITS)
        bar = progress_bar(total, "checking the token shards", "B", unit_scale=True) if total >= _LARGE else None
        try:
            for language in self.languages:
                for split in SPLITS:
                    entry = self.index["languages"][language][split]
                    check_contents(self.folder, language, split, entry, self.vocabulary_size, bar)
        finally:
            if bar is not None:
                bar.close()


def check_sizes(folder: Path, language: str, split: Split, entry: dict[str, Any]) -> None:
    """Compare the sizes of a split's two files with its index entry.

    Raises:
        DataError: a file is missing, cut or too long.
    """
    expected: dict[Kind, int] = {"bin": entry["tokens"] * ID.itemsize, "idx": (entry["samples"] + 1) * OFFSET.itemsize}
    for kind in KINDS:
        path = shard_path(folder, language, split, kind)
        found = path.stat().st_size if path.exists() else None
        if found is None:
            raise DataError(f"{path}: no such file, but {INDEX} names it", _rebuild(language))
        if found != expected[kind]:
            raise DataError(f"{path}: {found:,} bytes, but {expected[kind]:,} were written", _rebuild(language))


def check_contents(
    folder: Path, language: str, split: Split, entry: dict[str, Any], vocabulary_size: int, bar: Any = None
) -> None:
    """Read a split's two files, whose sizes are right, and compare what is in them.

    Raises:
        DataError: another checksum than in the index (both are named), an id beyond the vocabulary, or offsets that
            do not ascend.
    """
    ids, offsets = (shard_path(folder, language, split, kind) for kind in KINDS)
    largest = -1
    with _checked(ids, language, entry["sha256"]["bin"]) as chunks:
        for chunk in chunks:
            largest = max(largest, int(np.frombuffer(chunk, ID).max()))
            if bar is not None:
                bar.update(len(chunk))
    if largest >= vocabulary_size:
        message = f"{ids}: holds the id {largest}, but the vocabulary has {vocabulary_size} pieces"
        raise DataError(message, _rebuild(language))
    ascending, last = True, None
    with _checked(offsets, language, entry["sha256"]["idx"]) as chunks:
        for chunk in chunks:
            values = np.frombuffer(chunk, OFFSET)
            starts_well = values[0] == 0 if last is None else values[0] > last
            ascending = ascending and bool(starts_well) and bool((values[1:] > values[:-1]).all())
            last = values[-1]
    if not ascending or last != entry["tokens"]:
        raise DataError(f"{offsets}: its offsets do not ascend from 0 to {entry['tokens']}", _rebuild(language))


@contextmanager
def _checked(path: Path, language: str, expected: str) -> Iterator[Iterator[bytes]]:
    """The file in chunks; when all are read, its SHA-256 is compared."""
    digest = hashlib.sha256()

    def chunks() -> Iterator[bytes]:
        with path.open("rb") as stream:
            while data := stream.read(_CHUNK):
                digest.update(data)
                yield data

    yield chunks()
    if digest.hexdigest() != expected:
        message = f"{path}: damaged, its SHA-256 is {digest.hexdigest()}, but {expected} was written"
        raise DataError(message, _rebuild(language))


def _rebuild(language: str) -> str:
    return f"Delete {language}.* in that folder and run `unibert tokens build` again; it builds only this language."


def _check_index(path: Path, index: Any) -> None:
    again = "Delete the folder and run `unibert tokens build` again."
    if not isinstance(index, dict) or index.get("schema") != SCHEMA:
        found = index.get("schema") if isinstance(index, dict) else type(index).__name__
        raise DataError(f"{path}: schema {found}, but this version reads schema {SCHEMA}", again)
    try:
        sound = isinstance(index["tokenizer_sha256"], str) and index["vocabulary_size"] > 0
        for language in index["languages"].values():
            for split in SPLITS:
                entry = language[split]
                sound = sound and entry["samples"] >= 0 and entry["tokens"] >= 0
                sound = sound and all(isinstance(entry["sha256"][kind], str) for kind in KINDS)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not an index of token shards ({type(error).__name__}: {error})", again) from None
    if not sound:
        raise DataError(f"{path}: not an index of token shards (a count or checksum is missing or negative)", again)


def _map(path: Path, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The file as an array; an empty file cannot be mapped and needs no mapping."""
    return np.memmap(path, dtype=dtype, mode="r") if path.stat().st_size else np.empty(0, dtype)
