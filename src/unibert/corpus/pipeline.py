"""The corpus stage: files side by side into parts, parts into one Parquet file per language, statistics last."""

from __future__ import annotations

import glob
import hashlib
import multiprocessing
import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from unibert import runs
from unibert.corpus.counting import WORDS
from unibert.corpus.parts import ROWS, SCHEMA, Job, make_part
from unibert.corpus.statistics import merge_statistics
from unibert.errors import DataError, Interrupted
from unibert.files import atomic_file, expand, read_json, write_json
from unibert.languages import language_of_file
from unibert.progress import progress_bar
from unibert.recipe import Corpus
from unibert.tokenizer_files import load_tokenizer_file

STATISTICS = "statistics.json"
_DONE = "done.json"
_BESIDE_DUMPS = re.compile(r"\.(?:md5|sha1|sha256|part)$|-rss\.xml$")
"""What a mirror or a download leaves beside the dumps."""


def build_corpus(settings: Corpus, output: Path, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Read dumps and plain text, clean their paragraphs, write `output`/LANG.parquet and `output`/statistics.json.

    Files are read side by side in processes; the result does not depend on how many. Each finished file is kept as a
    part until the whole is done, so that an interrupted run goes on with the files that were not finished. A run that
    is finished and whose input has not changed does nothing.

    Args:
        settings: what to read and how to clean it.
        output: the corpus folder.
        recipe: the whole resolved recipe, saved for the reader.

    Returns:
        The statistics, as they stand in the file.

    Raises:
        DataError: no input, a file without a language in its name, a tokenizer that cannot be opened, not one sample
            in all files; or, where `settings.strict`, a damaged file - after everything has been written.
        RunMismatch: `output` holds a corpus of other files or settings.
        Interrupted: on Ctrl-C; the parts that are finished stay.
    """
    jobs, warnings = _jobs(settings, output / "parts")
    identity = {
        "rules": settings.rules.model_dump(mode="json"),
        "tokenizer": jobs[0].tokenizer_mark,
        "files": [[job.path.name, job.kind, job.language, job.path.stat().st_size] for job in jobs],
    }
    runs.open_run(output, "corpus", identity, recipe)
    wanted = {job.name: job.key() for job in jobs}
    statistics = _finished(output, jobs, wanted)
    if statistics is None:
        (output / STATISTICS).unlink(missing_ok=True)  # it would describe files that are about to change
        (output / "parts").mkdir(parents=True, exist_ok=True)
        _remove_leftovers(output)
        try:
            parts = _make_parts(jobs, settings.workers or runs.usable_cores())
            _merge(jobs, parts, output)
        except KeyboardInterrupt:
            done = sum(job.finished() is not None for job in jobs)
            raise Interrupted(
                f"{output}: interrupted; {done} of {len(jobs)} files are finished and kept",
                "Run the same command again: it goes on from there.",
            ) from None
        for job, part in zip(jobs, parts, strict=True):
            if job.kind == "dump" and not part["counts"]["pages"] and not part["damage"]:
                warnings.append(f"{job.path}: no article in this dump")
        statistics = merge_statistics(parts, settings.tokenizer or WORDS, warnings)
        write_json(output / STATISTICS, statistics)
        write_json(output / "parts" / _DONE, wanted)
    for job in jobs:
        job.samples_path.unlink(missing_ok=True)  # it is in the language's file now
    _report(statistics, settings.strict)
    return statistics


def _jobs(settings: Corpus, folder: Path) -> tuple[list[Job], list[str]]:
    """One job per input file, in the order of the corpus: by language, file name, path; and warnings."""
    kinds = [("dump", path) for path in _expand(settings.dumps, "dump", "*.xml*")]
    kinds += [("text", path) for path in _expand(settings.text, "text file", "*.txt*")]
    if not kinds:
        raise DataError("corpus.dumps and corpus.text name no file: there is nothing to read", "Name dumps or text.")
    tokenizer_mark = "words"  # after the files: a hub that does not answer takes its time
    if settings.tokenizer is not None:
        serialised = load_tokenizer_file(settings.tokenizer).to_str()
        tokenizer_mark = hashlib.sha256(serialised.encode()).hexdigest()[:16]
    jobs = [
        Job(path, language_of_file(path), kind, settings.rules, settings.tokenizer, tokenizer_mark, folder)
        for kind, path in kinds
    ]
    warnings = []
    if settings.languages is not None:
        found = {job.language for job in jobs}
        missing = [code for code in settings.languages if code not in found]
        jobs = [job for job in jobs if job.language in settings.languages]
        if not jobs:
            raise DataError(
                f"corpus.languages keeps only {', '.join(settings.languages)}, but the files are in "
                f"{', '.join(sorted(found))}",
                "Add files in those languages, or change corpus.languages.",
            )
        if missing:
            warnings.append(f"corpus.languages names {', '.join(missing)}, but no file is in it")
    jobs.sort(key=lambda job: (job.language, job.path.name, str(job.path)))
    names = [job.name for job in jobs]
    twice = next((job for job in jobs if names.count(job.name) > 1), None)
    if twice:
        raise DataError(f"{twice.path}: named both as a dump and as text", "Name it once.")
    return jobs, warnings


def _expand(patterns: Iterable[str], what: str, in_folder: str) -> list[Path]:
    """Files of the patterns; in a folder only those of the right ending, since folders hold checksums and notes too."""
    spelled = [str(Path(glob.escape(p)) / in_folder) if Path(p).expanduser().is_dir() else p for p in patterns]
    found = expand(spelled, what) if spelled else []
    return [path for path in found if not _BESIDE_DUMPS.search(path.name)]


def _finished(output: Path, jobs: list[Job], wanted: Mapping[str, str]) -> dict[str, Any] | None:
    """The statistics of a corpus that is complete and made from this very input; None if there is none."""
    try:
        done, statistics = read_json(output / "parts" / _DONE), read_json(output / STATISTICS)
        whole = all(
            (output / f"{code}.parquet").exists()
            for code, counts in statistics["languages"].items()
            if counts["samples"]
        )
    except (DataError, TypeError, KeyError):
        return None
    return statistics if done == wanted and whole else None


def _remove_leftovers(output: Path) -> None:
    """Half-written neighbours that a killed process could not remove itself."""
    for folder in (output, output / "parts"):
        for path in folder.glob(".*.tmp"):
            path.unlink(missing_ok=True)


# --- parts ---


def _make_parts(jobs: list[Job], workers: int) -> list[dict[str, Any]]:
    """The counts of every job, in their order; makes the parts that are not there yet."""
    parts = {job.name: part for job in jobs if (part := job.finished()) is not None}
    pending = [job for job in jobs if job.name not in parts]
    # Long files first, so that the last worker does not start on the longest one.
    pending.sort(key=lambda job: -job.path.stat().st_size)
    total = sum(job.path.stat().st_size for job in jobs)
    with progress_bar(total, "corpus", "B", unit_scale=True) as bar:
        bar.update(total - sum(job.path.stat().st_size for job in pending))
        if min(workers, len(pending)) <= 1:
            for job in pending:
                parts[job.name] = make_part(job, bar.update)
        else:
            _make_parts_in_processes(pending, min(workers, len(pending)), bar, parts)
    return [parts[job.name] for job in jobs]


def _make_parts_in_processes(jobs: list[Job], workers: int, bar: Any, parts: dict[str, dict[str, Any]]) -> None:
    context = multiprocessing.get_context("spawn")
    read = context.Value("q", 0)
    others = set(multiprocessing.active_children())
    executor = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(read,))
    start, shown = bar.n, 0
    try:
        futures = {executor.submit(_work, job): job for job in jobs}
        pending = set(futures)
        while pending:
            done, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in done:
                parts[futures[future].name] = future.result()
            bar.update(read.value - shown)
            shown = bar.n - start
        executor.shutdown()
    except BaseException as error:
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()
        executor.shutdown(cancel_futures=True)
        if isinstance(error, BrokenProcessPool):
            raise DataError(
                "a process that reads files ended unexpectedly, most likely for want of memory",
                "Set corpus.workers to a smaller number; the files that are finished are kept.",
            ) from None
        raise


_advance: Callable[[int], None] = lambda size: None  # noqa: E731 - replaced in each worker


def _start_worker(read: Any) -> None:
    """Set up a worker: it leaves Ctrl-C to its parent, counts bytes for it, and does not outlive it."""
    global _advance
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"

    def advance(size: int) -> None:
        with read.get_lock():
            read.value += size

    _advance = advance
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(job: Job) -> dict[str, Any]:
    return make_part(job, _advance)


# --- languages ---


def _merge(jobs: list[Job], parts: list[dict[str, Any]], output: Path) -> None:
    """Put the parts of each language one after the other into its file."""
    by_language: dict[str, list[tuple[Job, int]]] = {}
    for job, part in zip(jobs, parts, strict=True):
        if part["counts"]["samples"]:
            by_language.setdefault(job.language, []).append((job, part["counts"]["samples"]))
    for old in output.glob("*.parquet"):
        if old.stem not in by_language:
            old.unlink()  # of an earlier input; tokens would be made of it
    total = sum(samples for pairs in by_language.values() for _, samples in pairs)
    with progress_bar(total, "merging", "samples", unit_scale=True) as bar:
        for code, pairs in by_language.items():
            target = output / f"{code}.parquet"
            if len(pairs) == 1:
                _link(pairs[0][0].samples_path, target)
                bar.update(pairs[0][1])
                continue
            with atomic_file(target, "wb") as stream, pq.ParquetWriter(stream, SCHEMA, compression="zstd") as writer:
                for job, _ in pairs:
                    for batch in pq.ParquetFile(job.samples_path).iter_batches(ROWS):
                        writer.write_batch(batch)
                        bar.update(batch.num_rows)


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


# --- report ---


def _report(statistics: Mapping[str, Any], strict: bool) -> None:
    damage = [entry["damage"] for entry in statistics["files"] if entry["damage"]]
    for text in [*damage, *statistics["warnings"]]:
        print(f"warning: {text}", file=sys.stderr)
    if not statistics["totals"]["samples"]:
        raise DataError(
            "not one sample in any of the files" + (f"; the first damage: {damage[0]}" if damage else ""),
            "Look at the warnings and at the table of what the rules dropped.",
        )
    if damage and strict:
        raise DataError(
            f"{len(damage)} of {len(statistics['files'])} files are damaged; the first: {damage[0]}",
            "Download them again, or leave out corpus.strict to go on with what was read.",
        )
