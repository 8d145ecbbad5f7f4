"""One input file, or one slice of it -> one part: its clean samples as Parquet, its counts as JSON, written whole."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from unibert.corpus.clean import apply_rules
from unibert.corpus.counting import token_counter
from unibert.corpus.identify import language_judge
from unibert.corpus.slices import Slice, plan_slices
from unibert.corpus.sources import DumpSource, Sample, Source
from unibert.corpus.statistics import Recorder
from unibert.corpus.texts import open_text
from unibert.errors import DataError
from unibert.files import atomic_file, fingerprint, read_json, telling_of_full_disk, write_json
from unibert.recipe import LanguageIdentification, Rules

CONVERTER = 2
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
_BATCH = 500
"""Samples that are turned from Python's objects into Arrow's at a time."""

_cached_counter = cache(token_counter)


@dataclass(frozen=True)
class Job:
    """One input file, or one slice of it, and what to make of it: a task for `run_tasks`."""

    path: Path
    """Absolute, since another machine may read it."""
    language: str
    kind: str
    """`dump` or `text`."""
    rules: Rules
    tokenizer: str | None
    tokenizer_mark: str
    """Depends on the tokenizer's content; part of what a finished part is recognised by."""
    identify: LanguageIdentification
    identify_mark: str
    """Depends on the content of the model that identifies languages."""
    text_column: str
    folder: Path
    """Where parts are kept."""
    part: Slice | None = None
    """What to read of the file; None for the whole."""
    number: int = 0
    """Of the slice, counted in the file."""

    @property
    def name(self) -> str:
        """The part's file name without ending; two files of one name in two folders have different parts."""
        return f"{self.path.name}.{fingerprint(str(self.path.resolve()))[:8]}.{self.number:03d}"

    @property
    def size(self) -> int:
        """Bytes to read."""
        return self.part.stop - self.part.start if self.part else self.path.stat().st_size

    @property
    def samples_path(self) -> Path:
        """The part's samples."""
        return self.folder / f"{self.name}.parquet"

    @property
    def counts_path(self) -> Path:
        """The part's counts; written after the samples, so that it vouches for them."""
        return self.folder / f"{self.name}.json"

    def slices(self, size: int) -> list[Job]:
        """The jobs that this one, of a whole file, is split into: of about `size` bytes each where that is possible."""
        if self.kind != "dump":
            return [self]
        parts = plan_slices(self.path, size)
        return [replace(self, part=part, number=n) for n, part in enumerate(parts)] if len(parts) > 1 else [self]

    def file_key(self) -> str:
        """Depends on everything that decides the samples of the whole file, however it is split."""
        status = self.path.stat()
        decides: dict[str, Any] = {
            "size": status.st_size,
            "modified": status.st_mtime_ns,
            "language": self.language,
            "kind": self.kind,
            "rules": self.rules.model_dump(mode="json"),
            "tokenizer": self.tokenizer_mark,
            "identify": self.identify_mark,
            "converter": CONVERTER,
        }
        if self.kind == "text" and not re.search(r"\.te?xt\b", self.path.name):
            decides["column"] = self.text_column
        return fingerprint(decides)

    def key(self) -> str:
        """Depends on everything that decides the part."""
        return fingerprint([self.file_key(), [self.part.start, self.part.stop] if self.part else "whole"])

    def result(self) -> dict[str, Any] | None:
        """What was written of a part that was made from this very input with these settings; None if there is none."""
        try:
            written = read_json(self.counts_path)
        except DataError:
            return None
        sound = isinstance(written, dict) and written.get("key") == self.key() and self.samples_path.exists()
        return written if sound else None

    def finished(self) -> bool:
        """Whether the part is there."""
        return self.result() is not None

    def run(self, advance: Callable[[int], None]) -> None:
        """Make the part."""
        make_part(self, advance)


def make_part(job: Job, advance: Callable[[int], None]) -> None:
    """Read what the job says, clean its paragraphs, write the part.

    Damage in the input is kept in the part's `damage`; what stands before it is used.

    Args:
        job: the file and what to make of it.
        advance: is told how many more bytes of the file have been read.
    """
    key = job.key()  # before reading: a file that grows meanwhile is made again next time
    recorder = Recorder()
    source: Source = (
        DumpSource(job.path, job.part, recorder.counts, advance)
        if job.kind == "dump"
        else open_text(job.path, job.text_column, advance)
    )
    with (
        telling_of_full_disk(job.samples_path),
        atomic_file(job.samples_path, "wb") as stream,
        RowGroups(stream) as groups,
    ):
        for batch in _batches(_clean(source, job, recorder), job.language, job.path.name):
            groups.add(batch)
    with telling_of_full_disk(job.counts_path):
        write_json(job.counts_path, {"key": key, **entry(job, source.damage, recorder.counts)})


def entry(job: Job, damage: str | None, counts: dict[str, Any]) -> dict[str, Any]:
    """What the statistics are told of a part; see `merge_statistics`."""
    return {
        "file": job.path.name,
        "language": job.language,
        "kind": job.kind,
        "file_bytes": job.path.stat().st_size,
        **({"slice": job.number} if job.part else {}),
        "damage": damage,
        "counts": counts,
    }


def _clean(source: Iterable[Sample], job: Job, recorder: Recorder) -> Iterator[Sample]:
    """The samples that the rules and the identification of languages leave."""
    count_tokens = _cached_counter(job.tokenizer)
    judge = language_judge(job.identify, job.language)
    for sample in source:
        recorder.counts["paragraphs"] += 1
        cleaned = apply_rules(sample.text, job.rules, count_tokens)
        for rule in cleaned.changed:
            recorder.changed(rule, sample.text, cleaned.reached)
        if cleaned.text is None:
            recorder.dropped(str(cleaned.dropped_by), sample.text)
        elif judge is not None and not judge(cleaned.text):
            recorder.dropped("other_language", cleaned.text)
        else:
            recorder.kept(cleaned.text, cleaned.tokens)
            yield sample._replace(text=cleaned.text)


def _batches(samples: Iterable[Sample], language: str, source: str) -> Iterator[pa.RecordBatch]:
    rows: list[Sample] = []
    characters = 0
    for sample in samples:
        rows.append(sample)
        characters += len(sample.text)
        if len(rows) >= _BATCH or characters >= _CHARACTERS:
            yield _batch(rows, language, source)
            rows, characters = [], 0
    if rows:
        yield _batch(rows, language, source)


def _batch(rows: list[Sample], language: str, source: str) -> pa.RecordBatch:
    texts, titles, page_ids, sections = zip(*rows, strict=True)
    columns = [texts, [language] * len(rows), titles, page_ids, sections, [source] * len(rows)]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.record_batch(arrays, schema=SCHEMA)


class RowGroups:
    """Samples into Parquet, in row groups of bounded size that do not depend on the batches the samples come in."""

    def __init__(self, stream: Any) -> None:
        self._writer = pq.ParquetWriter(stream, SCHEMA, compression="zstd")
        self._batches: list[pa.RecordBatch] = []
        self._rows = self._characters = 0

    def __enter__(self) -> RowGroups:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._flush()
            self._writer.close()
        else:
            with contextlib.suppress(Exception):  # the first error is the one to tell
                self._writer.close()

    def add(self, batch: pa.RecordBatch) -> None:
        """The next samples."""
        start = 0
        for row, length in enumerate(pc.utf8_length(batch.column(0)).to_pylist(), 1):
            self._rows += 1
            self._characters += length
            if self._rows >= ROWS or self._characters >= _CHARACTERS:
                self._batches.append(batch.slice(start, row - start))
                start = row
                self._flush()
        if start < batch.num_rows:
            self._batches.append(batch.slice(start))

    def _flush(self) -> None:
        if self._batches:
            # One chunk: where chunks end decides where pages end.
            table = pa.Table.from_batches(self._batches, SCHEMA).combine_chunks()
            self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        self._batches, self._rows, self._characters = [], 0, 0
