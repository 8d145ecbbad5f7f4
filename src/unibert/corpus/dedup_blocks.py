"""The tasks of deduplication: datatrove's blocks on one shard, range of hashes, band or language each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unibert.corpus.counting import words
from unibert.corpus.dedup_plan import Advance, Job, Rows, Shard
from unibert.errors import DataError
from unibert.files import atomic_folder
from unibert.recipe import Deduplication

_BUFFER = 2048
"""Signatures read at a time from each shard."""


def require_packages() -> None:
    """Import what the blocks need.

    Raises:
        DataError: it is not installed.
    """
    try:
        import datatrove.pipeline.dedup  # noqa: F401
        import xxhash  # noqa: F401
    except ImportError as error:
        raise DataError(
            f"corpus.deduplicate needs a package that is not installed ({error})", "pip install 'unibert[filters]'"
        ) from None


def _folder(path: Path) -> Any:
    """A folder for datatrove's blocks; its own take square brackets anywhere in the path for a pattern."""
    from datatrove.io import DataFolder

    class Folder(DataFolder):
        def glob(self, path: str, **options: Any) -> dict[str, Any]:
            return {name: found for name, found in self.find("", detail=True).items() if fnmatch(name, path)}

    return Folder(str(path))


def _documents(shard: Shard, advance: Advance, left_out: Rows | None = None) -> Iterator[Any]:
    """One document per row; those left out are empty, because datatrove numbers documents by counting them."""
    from datatrove.data import Document

    kept = np.ones(shard.rows, bool)
    if left_out is not None:
        kept[left_out] = False
    row = 0
    for texts in shard.texts():
        for text in texts:
            yield Document(text if kept[row] else "", "")
            row += 1
        advance(len(texts))


# --- exact ---


def hash_texts(job: Job, number: int, advance: Advance) -> None:
    """Sorted hashes of a shard's texts."""
    from datatrove.pipeline.dedup.exact_dedup import ExactDedupSignature

    # A shard's number decides which of equal texts is kept: the highest priority, then the lowest row.
    config = _exact_config(priority=65_535 - number)
    block = ExactDedupSignature(_folder(job.scratch / "exact/hashes"), config, job.finders)
    block.run(_documents(job.shards[number], advance), number, len(job.shards))


def find_equal(job: Job, rank: int, advance: Advance) -> None:
    """Rows, in all shards, whose hash stood before, in one range of hashes."""
    from datatrove.pipeline.dedup.exact_dedup import ExactFindDedups

    hashes, repeats = _folder(job.scratch / "exact/hashes"), _folder(job.scratch / "exact/repeats")
    ExactFindDedups(hashes, repeats, _exact_config(), lines_to_buffer=_BUFFER).run(None, rank, job.finders)
    advance(job.rows // job.finders)


def _text(document: Any) -> str:
    return document.text


def _exact_config(priority: int = 1) -> Any:
    """Among 40 million texts two different ones have the same 64 bits with probability 0.00004."""
    from datatrove.pipeline.dedup.exact_dedup import ExactDedupConfig
    from datatrove.utils.hashing import HashConfig

    return ExactDedupConfig(_text, lambda document: priority, HashConfig(64, "xxhash"))


def _equal_rows(job: Job, shard: Shard) -> Rows:
    """Rows of the shard whose text stood before, ascending; a list that would be empty is not written."""
    paths = job.scratch.glob(f"exact/repeats/*/{shard.number:05d}.c4_dup")
    rows = [np.fromfile(path, "<u4") for path in paths]
    return np.sort(np.concatenate(rows)).astype(np.uint32) if rows else np.zeros(0, np.uint32)


# --- near ---


def sign_texts(job: Job, number: int, advance: Advance) -> None:
    """MinHash signatures of a shard's texts, sorted, one file per band; none for texts repeated exactly."""
    from datatrove.pipeline.dedup.minhash import MinhashDedupSignature

    shard = job.shards[number]
    left_out = _equal_rows(job, shard) if job.settings.exact else None
    folder = _folder(job.scratch / "near/signatures")
    block = MinhashDedupSignature(folder, _near_config(job.settings), _words_of_any_language())
    block.run(_documents(shard, advance, left_out), number, len(job.shards))


def pair_band(job: Job, band: int, advance: Advance) -> None:
    """Pairs of rows that agree in a band."""
    from datatrove.pipeline.dedup.minhash import MinhashDedupBuckets

    signatures, pairs = _folder(job.scratch / "near/signatures"), _folder(job.scratch / "near/pairs")
    block = MinhashDedupBuckets(signatures, pairs, config=_near_config(job.settings), lines_to_buffer=_BUFFER)
    block.run(None, band, job.settings.buckets)
    advance(job.rows)


def pair_all_bands(job: Job, _: int, advance: Advance) -> None:
    """Pairs of rows that agree in a band, band after band."""
    for band in range(job.settings.buckets):
        pair_band(job, band, lambda rows: None)
    advance(job.rows)


def cluster(job: Job, _: int, advance: Advance) -> None:
    """Pairs into clusters."""
    from datatrove.pipeline.dedup.minhash import MinhashDedupCluster

    pairs, clusters = _folder(job.scratch / "near/pairs"), _folder(job.scratch / "near/clusters")
    config = _near_config(job.settings)
    block = MinhashDedupCluster(pairs, clusters, config, save_cluster_id=True, lines_to_buffer=_BUFFER)
    block.run()
    advance(job.rows)


def _near_config(settings: Deduplication) -> Any:
    """Before the words are cut, case, numbers, spaces and punctuation are levelled, as datatrove does.

    Marks stay on their letters (datatrove takes them off): in Indic scripts, Thai and Hebrew they are the vowels.
    32 bits a hash are enough, because a whole band of them has to agree, and halve the signatures.
    """
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.utils.hashing import HashConfig
    from datatrove.utils.text import TextNormConfig

    return MinhashConfig(
        n_grams=settings.ngram,
        num_buckets=settings.buckets,
        hashes_per_bucket=settings.hashes_per_bucket,
        norm_config=TextNormConfig(norm_unicode_diacritics=False),
        hash_config=HashConfig(32, "xxhash"),
    )


@cache
def _words_of_any_language() -> Any:
    """A word tokenizer for datatrove; its own cover some languages, and are downloaded."""
    from datatrove.utils.word_tokenizers import WordTokenizer

    class Words(WordTokenizer):
        def word_tokenize(self, text: str) -> list[str]:
            return words(text)

        def sent_tokenize(self, text: str) -> list[str]:
            raise NotImplementedError("MinHash asks for words only")

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            raise NotImplementedError("MinHash asks for words only")

    return Words()


# --- the result ---


def collect(job: Job, _: int, advance: Advance) -> None:
    """Rows of the shards as rows of the language, those as rows of its parts; one file per part."""
    none = np.zeros(0, np.uint64)
    exact = [none, *(_equal_rows(job, shard) + np.uint64(shard.start) for shard in job.shards)]
    rows, clusters = [none], [none]
    for shard in job.shards:
        path = job.scratch / f"near/clusters/{shard.number:06d}.clusters"
        if path.exists():
            pairs = np.fromfile(path, "<u4").reshape(-1, 2)  # number of the document, number of its cluster
            rows.append(pairs[:, 0] + np.uint64(shard.start))
            clusters.append(pairs[:, 1].astype(np.uint64))
    # The first of each cluster stays; datatrove would keep any one of it, depending on how it grew.
    near = np.delete(np.concatenate(rows), np.unique(np.concatenate(clusters), return_index=True)[1])
    with atomic_folder(job.result) as folder:
        by_part = zip(_by_part(np.concatenate(exact), job.part_rows), _by_part(near, job.part_rows), strict=True)
        for number, (exact_rows, near_rows) in enumerate(by_part):
            np.savez(folder / f"{number:05d}.npz", exact=exact_rows, near=near_rows)
    advance(job.rows)


def _by_part(rows: npt.NDArray[np.uint64], part_rows: Sequence[int]) -> Iterator[Rows]:
    """Ascending rows of a language as rows of each part."""
    start = 0
    for count in part_rows:
        first, last = np.searchsorted(rows, np.array([start, start + count], np.uint64))
        yield (rows[first:last] - np.uint64(start)).astype(np.uint32)
        start += count


def result_path(job: Job, number: int) -> Path:
    """Where `collect` writes the rows of a part."""
    return job.result / f"{number:05d}.npz"
