"""The parts of a language -> its Parquet file, without the samples that deduplication has found."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from unibert.corpus.counting import token_counter
from unibert.corpus.dedup import Removed
from unibert.corpus.parts import ROWS, Job, RowGroups
from unibert.corpus.statistics import remove_sample
from unibert.errors import DataError
from unibert.files import atomic_file, fingerprint, read_json, telling_of_full_disk, write_json


@dataclass(frozen=True)
class Merge:
    """One language: a task for `run_tasks`."""

    language: str
    jobs: tuple[Job, ...]
    """Whose parts hold samples, in the order of the corpus."""
    samples: tuple[int, ...]
    """In each of them."""
    removed: Mapping[str, Removed]
    """By name of the part; none without deduplication."""
    target: Path

    @property
    def name(self) -> str:
        """For logs and messages."""
        return self.target.name

    @property
    def size(self) -> int:
        """Samples to go through."""
        return sum(self.samples)

    @property
    def _record(self) -> Path:
        return self.jobs[0].folder / f"{self.language}.merged.json"

    def _key(self) -> str:
        parts = [[job.name, job.key(), str(self.removed.get(job.name, ""))] for job in self.jobs]
        return fingerprint([parts, ROWS])

    def _recorded(self) -> dict[str, Any] | None:
        try:
            record = read_json(self._record)
        except DataError:
            return None
        sound = isinstance(record, dict) and record.get("key") == self._key()
        sound = sound and self.target.exists() and self.target.stat().st_size == record.get("bytes")
        return record if sound else None

    def finished(self) -> bool:
        """Whether the language's file is there and made of these parts."""
        return self._recorded() is not None

    def counts(self) -> dict[str, dict[str, Any]]:
        """By name of the part, its counts after deduplication; those parts only that lost samples."""
        record = self._recorded()
        return record["counts"] if record else {}

    def run(self, advance: Callable[[int], None]) -> None:
        """Write the file; each sample's place and row group depend on the samples only."""
        key, counts = self._key(), {}
        with telling_of_full_disk(self.target):
            if len(self.jobs) == 1 and not self.removed:
                _link(self.jobs[0].samples_path, self.target)
                advance(self.size)
            else:
                with atomic_file(self.target, "wb") as stream, RowGroups(stream) as groups:
                    for job in self.jobs:
                        lost = _Lost(job, self.removed.get(job.name))
                        for batch in _batches(job.samples_path):
                            groups.add(lost.without(batch))
                            advance(batch.num_rows)
                        if lost.counts is not None:
                            counts[job.name] = lost.counts
            write_json(self._record, {"key": key, "bytes": self.target.stat().st_size, "counts": counts})


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(ROWS)


class _Lost:
    """Takes repeated samples out of a part and out of its counts."""

    def __init__(self, job: Job, removed: Removed | None) -> None:
        exact, near = removed.load() if removed else ((), ())
        self._rule = {int(row): "duplicate" for row in exact} | {int(row): "near_duplicate" for row in near}
        self._row = 0
        self.counts: dict[str, Any] | None = None
        """Of the part, without the repeated samples; None if it has none."""
        if self._rule:
            self.counts = read_json(job.counts_path)["counts"]
            self._count_tokens = token_counter(job.tokenizer)

    def without(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch without its repeated samples; batches come in order."""
        start, self._row = self._row, self._row + batch.num_rows
        if self.counts is None:
            return batch
        kept = np.ones(batch.num_rows, bool)
        for place in range(batch.num_rows):
            rule = self._rule.get(start + place)
            if rule is not None:
                kept[place] = False
                text = batch.column(0)[place].as_py()
                remove_sample(self.counts, rule, text, self._count_tokens(text))
        return batch.filter(pa.array(kept))


def _link(source: Path, target: Path) -> None:
    """Give a finished file a second name; copy it where the file system has no links."""
    scratch = target.with_name(f".{target.name}.link.tmp")
    scratch.unlink(missing_ok=True)
    try:
        os.link(source, scratch)
    except OSError:
        with source.open("rb") as reader, atomic_file(target, "wb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
    else:
        os.replace(scratch, target)


def merges(jobs: Sequence[Job], samples: Sequence[int], removed: Mapping[str, Removed], output: Path) -> list[Merge]:
    """One merge per language that has samples.

    Args:
        jobs: all of them, in the order of the corpus.
        samples: in the part of each.
        removed: what `deduplicate` has found.
        output: the corpus folder.
    """
    by_language: dict[str, list[tuple[Job, int]]] = {}
    for job, number in zip(jobs, samples, strict=True):
        if number:
            by_language.setdefault(job.language, []).append((job, number))
    return [
        Merge(
            language,
            tuple(job for job, _ in pairs),
            tuple(number for _, number in pairs),
            {job.name: removed[job.name] for job, _ in pairs if job.name in removed},
            output / f"{language}.parquet",
        )
        for language, pairs in by_language.items()
    ]
