"""Repeated paragraphs within a language, found by datatrove's blocks in the finished parts; optional.

Parts (Parquet files in the order of the corpus) are cut into shards of whole row groups, so that memory does not depend
on how large a part is. Then, one task per shard, range of hashes, or band of signatures:

- exact: a 64-bit hash of every text, sorted (`ExactDedupSignature`); sorted hashes merged (`ExactFindDedups`);
- near: MinHash signatures (`MinhashDedupSignature`), merged band by band into pairs (`MinhashDedupBuckets`), pairs
  into clusters (`MinhashDedupCluster`), one task per language.

Of paragraphs that repeat each other the first in the order of the corpus is kept, whatever the number of shards and
workers. datatrove's last blocks, which copy the documents that are kept, are not needed: parts are merged without the
rows found here. MinHash looks at the paragraphs that the exact step leaves; those with fewer words than an n-gram are
kept. In scripts without spaces a "word" is as `counting.count_words` cuts it.

On the disk: 14 bytes a paragraph (exact) and 504 (near, 14 bands of 8), for `_GROUP_ROWS` paragraphs or one language at
a time. In memory: under 400 MB a task, except `MinhashDedupCluster`, which holds all paragraphs of a language that are
near another one, about 0.2 GB per million.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unibert.corpus import dedup_blocks as blocks
from unibert.corpus.dedup_plan import Advance, Job, PartFiles, Rows, plan_job
from unibert.errors import DataError
from unibert.files import atomic_file
from unibert.recipe import Deduplication

__all__ = ["PartFiles", "Removed", "Step", "clean", "deduplicate"]

_GROUP_ROWS = 40_000_000
"""Languages are worked on together until they have this many paragraphs: the disk holds one group's signatures."""
_BAND_ROWS = 1_000_000
"""Languages smaller than this have all bands merged in one task."""


@dataclass(frozen=True)
class Removed:
    """Which rows of a part are repeated."""

    path: Path

    def load(self) -> tuple[Rows, Rows]:
        """Row numbers, ascending: those whose text stood before, and the others that are near one that is kept."""
        with np.load(self.path) as arrays:
            return arrays["exact"], arrays["near"]


def deduplicate(
    languages: Mapping[str, Sequence[PartFiles]],
    settings: Deduplication,
    run: Callable[[Sequence[Step], str], object],
    folder: Path,
) -> dict[str, Removed]:
    """Find the repeated paragraphs of each language.

    What is finished is not computed again, unless the parts (names, sizes, times) or the settings have changed; what
    was computed for others is removed from `folder`.

    Args:
        languages: the parts of each language, in the order of the corpus; no two have the same name.
        settings: what counts as repeated; nothing is done if neither `exact` nor `minhash` is on.
        run: runs tasks in any order, anywhere, and returns when they are finished; the string is for a progress bar.
        folder: for intermediate files and the result; used by nothing else. On a cluster, shared by all machines.

    Returns:
        One entry per part, by its name; they point into `folder`, see `clean`.

    Raises:
        DataError: packages that this needs are not installed, or a task was left unfinished.
    """
    if not (settings.exact or settings.minhash):
        return {}
    blocks.require_packages()
    folder = folder.absolute()  # tasks may run in processes that were started elsewhere
    jobs = [plan_job(language, parts, settings, folder) for language, parts in languages.items()]
    wanted = {job.folder.name for job in jobs}
    for leftover in folder.glob("*.dedup"):
        if leftover.name not in wanted:
            shutil.rmtree(leftover)
    for group in _groups([job for job in jobs if not job.result.exists()]):
        for label, stage in _stages(settings):
            _run_all([step for job in group for step in stage(job)], label, run)
        for job in group:
            shutil.rmtree(job.scratch, ignore_errors=True)
    return {
        part.name: Removed(blocks.result_path(job, number)) for job in jobs for number, part in enumerate(job.parts)
    }


def clean(folder: Path) -> None:
    """Remove everything that `deduplicate` left in its folder; what it returned is gone then."""
    shutil.rmtree(folder, ignore_errors=True)


def _groups(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    group: list[Job] = []
    for job in jobs:
        group.append(job)
        if sum(job.rows for job in group) >= _GROUP_ROWS:
            yield group
            group = []
    if group:
        yield group


def _run_all(steps: Sequence[Step], label: str, run: Callable[[Sequence[Step], str], object]) -> None:
    if not steps:
        return
    run(steps, label)
    # The blocks of the next stage would take a missing file for one without repeats.
    undone = next((step.name for step in steps if not step.finished()), None)
    if undone:
        raise DataError(
            f"deduplication: the task {undone} was not finished, most likely for want of memory",
            "Set corpus.workers to a smaller number and run the same command again: it goes on from there.",
        )


# --- steps ---


@dataclass(frozen=True)
class Step:
    """A task: one call of a function of `dedup_blocks`, and the mark that it has been done."""

    name: str
    size: int
    """Paragraphs that it goes through, for progress."""
    job: Job
    work: Callable[[Job, int, Advance], None]
    number: int
    writes: str
    """Pattern of the files it writes, below the job's scratch folder; empty for the step that writes the result."""

    @property
    def _mark(self) -> Path:
        return self.job.scratch / "done" / self.name if self.writes else self.job.result

    def finished(self) -> bool:
        """Whether it has been done, for these very parts and settings."""
        return self._mark.exists()

    def run(self, advance: Advance) -> None:
        """Do it; `advance` is told of progress."""
        from loguru import logger

        logger.disable("datatrove.pipeline.dedup")
        with contextlib.redirect_stderr(io.StringIO()):  # the blocks' own progress bars
            self.work(self.job, self.number, advance)
        if self.writes:
            for path in self.job.scratch.glob(self.writes):
                with path.open("rb") as stream:
                    os.fsync(stream.fileno())
            with atomic_file(self._mark):
                pass


def _stages(settings: Deduplication) -> Iterator[tuple[str, Callable[[Job], list[Step]]]]:
    """What is done one after the other; the steps of a stage are independent of each other."""
    if settings.exact:
        yield "exact repeats, hashes", _by_shard("exact-hashes", blocks.hash_texts, "exact/hashes/*/{:05d}.c4_sig")
        yield "exact repeats", _exact_finders
    if settings.minhash:
        pattern = "near/signatures/*/{:05d}.minhash.sig"
        yield "near repeats, signatures", _by_shard("near-signatures", blocks.sign_texts, pattern)
        yield "near repeats, pairs", _near_bands
        yield "near repeats", _near_clusters
    yield "repeated rows", lambda job: [Step(f"{job.language}-rows", job.rows, job, blocks.collect, 0, "")]


def _by_shard(name: str, work: Callable[[Job, int, Advance], None], writes: str) -> Callable[[Job], list[Step]]:
    def steps(job: Job) -> list[Step]:
        return [
            Step(f"{job.language}-{name}-{n:05d}", shard.rows, job, work, n, writes.format(n))
            for n, shard in enumerate(job.shards)
        ]

    return steps


def _exact_finders(job: Job) -> list[Step]:
    name, size = f"{job.language}-exact-repeats", job.rows // job.finders
    ranks = range(job.finders if job.shards else 0)
    return [Step(f"{name}-{n:04d}", size, job, blocks.find_equal, n, f"exact/repeats/{n:05d}/*") for n in ranks]


def _near_bands(job: Job) -> list[Step]:
    name = f"{job.language}-near-pairs"
    if job.rows < _BAND_ROWS:
        return [Step(name, job.rows, job, blocks.pair_all_bands, 0, "near/pairs/*")] if job.shards else []
    bands = range(job.settings.buckets)
    return [Step(f"{name}-{n:03d}", job.rows, job, blocks.pair_band, n, f"near/pairs/{n:05d}_*") for n in bands]


def _near_clusters(job: Job) -> list[Step]:
    name = f"{job.language}-near-clusters"
    return [Step(name, job.rows, job, blocks.cluster, 0, "near/clusters/*")] if job.shards else []
