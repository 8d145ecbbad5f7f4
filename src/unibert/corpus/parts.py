"""One input file -> one part: its clean samples as Parquet, its counts as JSON, both written whole or not at all."""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from unibert.corpus.clean import apply_rules
from unibert.corpus.counting import token_counter
from unibert.corpus.dump import Damage, DumpReader, open_compressed
from unibert.corpus.statistics import empty_counts
from unibert.corpus.wikitext import paragraphs
from unibert.errors import DataError
from unibert.files import atomic_file, fingerprint, read_json, write_json
from unibert.recipe import Rules

CONVERTER = 1
"""Raised when the code that makes samples changes its result, so that older parts are made again."""

SCHEMA = pa.schema(
    [
        ("text", pa.string()),
        ("language", pa.string()),
        ("title", pa.string()),
        ("page_id", pa.int64()),
        ("section", pa.string()),
        ("source", pa.string()),
    ]
)
ROWS = 5_000
"""Samples in a row group, which is what is held in memory at a time."""
_CHARACTERS = 8 << 20  # a row group is written earlier than that if its samples are very long
_LONGEST_LINE = 16 << 20  # bytes
_REPORT_EVERY = 1 << 20  # bytes of input

_cached_counter = cache(token_counter)


@dataclass(frozen=True)
class Job:
    """One input file and what to make of it."""

    path: Path
    language: str
    kind: str
    """`dump` or `text`."""
    rules: Rules
    tokenizer: str | None
    tokenizer_mark: str
    """Depends on the tokenizer's content; part of what a finished part is recognised by."""
    folder: Path
    """Where parts are kept."""

    @property
    def name(self) -> str:
        """The part's file name without ending; two files of one name in two folders have two parts."""
        return f"{self.path.name}.{fingerprint(str(self.path.resolve()))[:8]}"

    @property
    def samples_path(self) -> Path:
        """The part's samples."""
        return self.folder / f"{self.name}.parquet"

    @property
    def counts_path(self) -> Path:
        """The part's counts; written after the samples, so that it vouches for them."""
        return self.folder / f"{self.name}.json"

    def key(self) -> str:
        """Depends on everything that decides the part."""
        status = self.path.stat()
        return fingerprint(
            {
                "size": status.st_size,
                "modified": status.st_mtime_ns,
                "language": self.language,
                "kind": self.kind,
                "rules": self.rules.model_dump(mode="json"),
                "tokenizer": self.tokenizer_mark,
                "converter": CONVERTER,
            }
        )

    def finished(self) -> dict[str, Any] | None:
        """The counts of a part that was made from this very input with these settings; None if there is none."""
        try:
            counts = read_json(self.counts_path)
        except DataError:
            return None
        sound = isinstance(counts, dict) and counts.get("key") == self.key() and self.samples_path.exists()
        return counts if sound else None


class Sample(NamedTuple):
    """A paragraph before the rules, and where it is from."""

    text: str
    title: str
    page_id: int
    section: str


def make_part(job: Job, advance: Callable[[int], None]) -> dict[str, Any]:
    """Read one file, clean its paragraphs, write the part.

    Damage in the input is kept in the counts' `damage`; what stands before it is used.

    Args:
        job: the file and what to make of it.
        advance: is told how many more bytes of the file have been read.
    """
    key = job.key()  # before reading: a file that grows meanwhile is made again next time
    counts = empty_counts()
    count_tokens = _cached_counter(job.tokenizer)
    source = _Dump(job.path, counts, advance) if job.kind == "dump" else _Text(job.path, advance)
    with atomic_file(job.samples_path, "wb") as stream, _Writer(stream, job.language, job.path.name) as writer:
        for sample in source:
            counts["paragraphs"] += 1
            cleaned = apply_rules(sample.text, job.rules, count_tokens)
            for rule in cleaned.changed:
                counts["rules"][rule]["changed"] += 1
            if cleaned.text is None:
                counts["rules"][cleaned.dropped_by]["dropped"] += 1
                continue
            counts["samples"] += 1
            counts["tokens"] += cleaned.tokens
            counts["characters"] += len(cleaned.text)
            counts["bytes"] += len(cleaned.text.encode())
            writer.add(sample._replace(text=cleaned.text))
    part = {
        "key": key,
        "file": job.path.name,
        "language": job.language,
        "kind": job.kind,
        "file_bytes": job.path.stat().st_size,
        "damage": str(source.damage) if source.damage else None,
        "counts": counts,
    }
    write_json(job.counts_path, part)
    return part


class _Writer:
    """Samples into Parquet, a row group at a time."""

    def __init__(self, stream: Any, language: str, source: str) -> None:
        self._writer = pq.ParquetWriter(stream, SCHEMA, compression="zstd")
        self._language, self._source = language, source
        self._rows: list[Sample] = []
        self._characters = 0

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._flush()
        self._writer.close()

    def add(self, sample: Sample) -> None:
        self._rows.append(sample)
        self._characters += len(sample.text)
        if len(self._rows) >= ROWS or self._characters >= _CHARACTERS:
            self._flush()

    def _flush(self) -> None:
        if not self._rows:
            return
        texts, titles, page_ids, sections = zip(*self._rows, strict=True)
        count = len(texts)
        columns = [texts, [self._language] * count, titles, page_ids, sections, [self._source] * count]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
        self._writer.write_table(pa.table(arrays, schema=SCHEMA), row_group_size=count)
        self._rows.clear()
        self._characters = 0


class _Dump:
    """The paragraphs of a dump's articles."""

    def __init__(self, path: Path, counts: dict[str, Any], advance: Callable[[int], None]) -> None:
        self._reader = DumpReader(path)
        self._counts, self._advance = counts, advance

    @property
    def damage(self) -> Damage | None:
        return self._reader.damage

    def __iter__(self) -> Iterator[Sample]:
        counts, reader, reported = self._counts, self._reader, 0
        for page in reader:
            if reader.position - reported >= _REPORT_EVERY:
                self._advance(reader.position - reported)
                reported = reader.position
            if page.namespace != 0:
                counts["other_namespaces"] += 1
            elif page.redirect:
                counts["redirects"] += 1
            else:
                counts["pages"] += 1
                found = paragraphs(page.text, reader.namespaces)
                counts["empty_pages"] += not found
                for section, text in found:
                    yield Sample(text, page.title, page.page_id, section)
        self._advance(reader.path.stat().st_size - reported)


class _Text:
    """The lines of a plain text file, each one a sample; lines that are not UTF-8 are left out and are damage."""

    def __init__(self, path: Path, advance: Callable[[int], None]) -> None:
        self._path, self._advance = path, advance
        self.damage: str | None = None

    def __iter__(self) -> Iterator[Sample]:
        reported = number = bad = first_bad = 0
        with self._path.open("rb") as raw:
            try:
                stream, _ = open_compressed(raw)
                while line := stream.readline(_LONGEST_LINE):
                    number += 1
                    if raw.tell() - reported >= _REPORT_EVERY:
                        self._advance(raw.tell() - reported)
                        reported = raw.tell()
                    try:
                        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                    except UnicodeDecodeError:
                        bad += 1
                        first_bad = first_bad or number
                        continue
                    text = unicodedata.normalize("NFC", " ".join(text.split()))
                    if text:
                        yield Sample(text, "", 0, "")
            except (EOFError, OSError, zlib.error) as error:
                reason = "the compressed data end in the middle" if isinstance(error, EOFError) else str(error)
                self.damage = f"{self._path.name}: {reason} after line {number:,}; read the lines before it"
        if bad and self.damage is None:
            self.damage = (
                f"{self._path.name}: {bad:,} of {number:,} lines are not UTF-8 and were left out, "
                f"the first is line {first_bad:,}"
            )
        self._advance(self._path.stat().st_size - reported)
