"""The corpus stage: slices of files side by side into parts, parts into one Parquet file per language, statistics."""

from __future__ import annotations

import glob
import hashlib
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unibert import runs
from unibert.corpus import dedup, identify
from unibert.corpus.counting import WORDS
from unibert.corpus.dump import other_project
from unibert.corpus.export_xml import Header
from unibert.corpus.merge import merges
from unibert.corpus.parts import Job, entry
from unibert.corpus.sources import dump_files
from unibert.corpus.statistics import STATISTICS, empty_counts, merge_statistics, read_statistics
from unibert.corpus.texts import is_text, language_of_text
from unibert.errors import DataError, Interrupted
from unibert.files import expand, read_json, telling_of_full_disk, write_json
from unibert.languages import language_of_file
from unibert.progress import progress_bar
from unibert.recipe import Corpus, Executor
from unibert.tokenizer_files import load_tokenizer_file

if TYPE_CHECKING:
    from unibert.corpus.executors import Task

_DONE = "done.json"
_FEW = 20_000
"""Samples that are merged, and searched for repeated ones, sooner than processes are started for it."""
_FORM = re.compile(r"(?P<wiki>\w+)-(?:\d{8}|latest)-pages-[a-z]+(?:-multistream)?")
"""The beginning of a dump's name; its parts differ in what follows."""


def build_corpus(settings: Corpus, output: Path, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Read dumps and other text, clean their paragraphs, write `output`/LANG.parquet and `output`/statistics.json.

    Files, and slices of large ones, are read side by side where the settings' executor has room; the result depends
    neither on how many nor on how they are cut. What is finished is kept as parts until the whole is done, so that an
    interrupted run goes on with what is missing. A run that is finished and whose input has not changed does nothing.

    Args:
        settings: what to read, how to clean it, and where.
        output: the corpus folder.
        recipe: the whole resolved recipe, saved for the reader.

    Returns:
        The statistics, as they stand in the file.

    Raises:
        DataError: no input, a file without a language in its name, a tokenizer that cannot be opened, an executor that
            cannot be used, a full disk, not one sample in all files; or, where `settings.strict`, a damaged file -
            after everything has been written.
        RunMismatch: `output` holds a corpus of other files or settings.
        Interrupted: on Ctrl-C; the parts that are finished stay.
    """
    output = output.absolute()  # another machine may work in it
    files, warnings = _files(settings, output / "parts")
    runs.open_run(output, "corpus", _identity(settings, files), recipe)
    wanted = {job.name: job.file_key() for job in files}
    statistics = _finished(output, wanted)
    if statistics is None:
        try:
            statistics, lost = _build(settings, output, files, warnings)
        finally:
            _remove_leftovers(settings, output)  # also of a process that was killed and whose task another one did
        if not lost:  # or the same command tries again
            write_json(output / "parts" / _DONE, wanted)
    if (output / "parts" / _DONE).exists():
        for samples in (output / "parts").glob("*.parquet"):
            samples.unlink()  # it is in the language's file now
    _report(statistics, settings.strict)
    return statistics


def _build(settings: Corpus, output: Path, files: list[Job], warnings: list[str]) -> tuple[dict[str, Any], bool]:
    """The statistics, written, and whether something could not be read although it may be sound."""
    for old in (output / STATISTICS, output / "parts" / _DONE):
        old.unlink(missing_ok=True)  # it would describe files that are about to change
    (output / "parts").mkdir(parents=True, exist_ok=True)
    _remove_leftovers(settings, output)
    jobs = _slices(files, settings.slice_mb * 1_000_000)
    try:
        given_up = {task.name for task in _run(settings, output, jobs, "corpus", "B")}
        parts = [_lost_part(job) if job.name in given_up else read_json(job.counts_path) for job in jobs]
        languages: dict[str, list[dedup.PartFiles]] = {}
        for job, part in zip(jobs, parts, strict=True):
            if part["counts"]["samples"]:
                languages.setdefault(job.language, []).append(dedup.PartFiles(job.name, job.samples_path))
        scratch = output / "parts" / "dedup"
        removed = dedup.deduplicate(languages, settings.deduplicate, partial(_run_steps, settings, output), scratch)
        merged = merges(jobs, [part["counts"]["samples"] for part in parts], removed, output)
        _remove_others(output, {merge.target for merge in merged})
        _run_steps(settings, output, merged, "merging")
    except KeyboardInterrupt:
        done = sum(job.finished() for job in jobs)
        raise Interrupted(
            f"{output}: interrupted; {done} of {len(jobs)} parts are finished and kept",
            "Run the same command again: it goes on from there.",
        ) from None
    deduplicated = {name: counts for merge in merged for name, counts in merge.counts().items()}
    for job, part in zip(jobs, parts, strict=True):
        part["counts"] = deduplicated.get(job.name, part["counts"])
    statistics = merge_statistics(parts, settings.tokenizer or WORDS, warnings)
    for found in statistics["files"]:
        if found["kind"] == "dump" and not found["pages"] and not found["damage"]:
            statistics["warnings"].append(f"{found['file']}: no article in this dump")
    with telling_of_full_disk(output / STATISTICS):
        write_json(output / STATISTICS, statistics)
    dedup.clean(scratch)
    return statistics, bool(given_up)


# --- input ---


def _files(settings: Corpus, folder: Path) -> tuple[list[Job], list[str]]:
    """One job per input file, in the order of the corpus: by language, file name, path; and warnings."""
    warnings: list[str] = []
    found: list[tuple[str, Path, str]] = []
    for path in dump_files(settings.dumps):
        try:
            found.append(("dump", path, language_of_file(path)))
        except DataError:
            project = other_project(Header(), path.name)
            if project is None:
                raise
            warnings.append(f"{path.name}: a dump of {project}, not of Wikipedia: left out")
    found += [("text", path, language_of_text(path)) for path in _texts(settings.text)]
    if settings.hub:
        from unibert.corpus.hub import hub_files

        found += [("text", path, language_of_text(path)) for path in hub_files(settings.hub, settings.languages)]
    if not found:
        raise DataError(
            "; ".join(warnings) or "corpus.dumps, corpus.text and corpus.hub name no file: there is nothing to read",
            "Name dumps or text.",
        )
    tokenizer_mark = "words"  # after the files: a hub that does not answer takes its time
    if settings.tokenizer is not None:
        serialised = load_tokenizer_file(settings.tokenizer).to_str()
        tokenizer_mark = hashlib.sha256(serialised.encode()).hexdigest()[:16]
    identify_mark = identify.model_mark(settings.identify)
    jobs = [
        Job(
            path=path.absolute(),
            language=language,
            kind=kind,
            rules=settings.rules,
            tokenizer=_absolute(settings.tokenizer),
            tokenizer_mark=tokenizer_mark,
            identify=settings.identify.model_copy(update={"model": _absolute(settings.identify.model)}),
            identify_mark=identify_mark,
            text_column=settings.text_column,
            folder=folder,
        )
        for kind, path, language in found
    ]
    if settings.languages is not None:
        languages = {job.language for job in jobs}
        missing = [code for code in settings.languages if code not in languages]
        jobs = [job for job in jobs if job.language in settings.languages]
        if not jobs:
            raise DataError(
                f"corpus.languages keeps only {', '.join(settings.languages)}, but the files are in "
                f"{', '.join(sorted(languages))}",
                "Add files in those languages, or change corpus.languages.",
            )
        if missing:
            warnings.append(f"corpus.languages names {', '.join(missing)}, but no file is in it")
    jobs.sort(key=lambda job: (job.language, job.path.name, str(job.path)))
    warnings += _told_twice([job.path for job in jobs if job.kind == "dump"])
    seen: set[str] = set()
    for job in jobs:
        if job.name in seen:
            raise DataError(f"{job.path}: named twice (as a dump and as text, or by two paths)", "Name it once.")
        seen.add(job.name)
    unknown = identify.unknown_languages(settings.identify, sorted({job.language for job in jobs}))
    if unknown:
        warnings.append(f"the model of corpus.identify does not know {', '.join(unknown)}: all of it is kept")
    return jobs, warnings


def _absolute(name: str | None) -> str | None:
    """A path that is there, for a process with another working folder; a name of the hub stays as it is."""
    path = Path(name).expanduser() if name else None
    return str(path.absolute()) if path and path.exists() else name


def _told_twice(dumps: Iterable[Path]) -> list[str]:
    """A warning for every wiki whose articles are in more than one of the dumps, by the dumps' names."""
    forms: dict[str, set[str]] = {}
    folders: dict[str, int] = Counter(path.name for path in dumps)
    for path in dumps:
        if form := _FORM.match(path.name):
            forms.setdefault(form["wiki"], set()).add(form[0])
    warnings = [
        f"{wiki}: dumps of several dates or forms ({', '.join(sorted(names))}): their articles are in the corpus once "
        "for each"
        for wiki, names in sorted(forms.items())
        if len(names) > 1
    ]
    return warnings + [
        f"{name}: in {number} folders, and read as often" for name, number in folders.items() if number > 1
    ]


def _texts(patterns: Iterable[str]) -> list[Path]:
    """Files of the patterns; in a folder, and below it, as data sets have them, all that are text by their name."""
    spelled: list[str | Path] = []
    for pattern in patterns:
        folder = Path(pattern).expanduser()
        if not folder.is_dir():
            spelled.append(pattern)
            continue
        # Data sets come with notes in .json, and with hidden folders.
        inside = [path for path in folder.rglob("*") if is_text(path) and path.is_file() and path.suffix != ".json"]
        inside = [path for path in inside if not any(p.startswith(".") for p in path.relative_to(folder).parts)]
        if not inside:
            raise DataError(f"{pattern}: no such text file", "Name files that end in .txt, .jsonl or .parquet.")
        spelled += [Path(glob.escape(str(path))) for path in inside]
    found = expand(spelled, "text file") if spelled else []
    dump = next((path for path in found if ".xml" in path.name), None)
    if dump:
        raise DataError(f"{dump}: a dump, by its name, among the text files", "Name it in corpus.dumps.")
    return found


def _identity(settings: Corpus, files: Sequence[Job]) -> dict[str, Any]:
    """What makes it this corpus and no other; settings that are off are left out."""
    identity: dict[str, Any] = {
        "rules": settings.rules.model_dump(mode="json"),
        "tokenizer": files[0].tokenizer_mark,
        "files": [[job.path.name, job.kind, job.language, job.path.stat().st_size] for job in files],
    }
    if settings.identify.model is not None:
        identity["identify"] = files[0].identify_mark
    if settings.deduplicate.exact or settings.deduplicate.minhash:
        identity["deduplicate"] = settings.deduplicate.model_dump(mode="json")
    if settings.text_column != Corpus().text_column and any(job.kind == "text" for job in files):
        identity["text_column"] = settings.text_column
    return identity


def _finished(output: Path, wanted: Mapping[str, str]) -> dict[str, Any] | None:
    """The statistics of a corpus that is complete and made from this very input; None if there is none."""
    try:
        done, statistics = read_json(output / "parts" / _DONE), read_statistics(output)
        whole = all(
            (output / f"{code}.parquet").stat().st_size == read_json(output / "parts" / f"{code}.merged.json")["bytes"]
            for code, counts in statistics["languages"].items()
            if counts["samples"]
        )
    except (DataError, OSError, TypeError, KeyError):
        return None
    return statistics if done == wanted and whole else None


# --- work ---


def _slices(files: list[Job], size: int) -> list[Job]:
    """The files' jobs, cut into slices where that is possible."""
    jobs = []
    with progress_bar(len(files), "planning", "files", delay=2.0) as bar:
        for job in files:
            jobs += job.slices(size)
            bar.update(1)
    return jobs


def _run(settings: Corpus, output: Path, tasks: Sequence[Task], label: str, unit: str) -> list[Task]:
    """Run tasks by the executor of the settings; those that were given up."""
    from unibert.corpus.executors import run_tasks  # datatrove takes a moment, which a finished corpus does not need

    logs = output / "parts" / "logs" / re.sub(r"\W+", "-", label)
    return run_tasks(tasks, settings.executor, settings.workers, logs, label, unit)


def _run_steps(settings: Corpus, output: Path, tasks: Sequence[Task], label: str) -> None:
    """Run tasks without which there is no corpus; in this process if there is little to do."""
    if sum(task.size for task in tasks) < _FEW:
        settings = settings.model_copy(update={"executor": Executor(), "workers": 1})
    given_up = _run(settings, output, tasks, label, "samples")
    if given_up:
        raise DataError(
            f"{given_up[0].name} ({label}): the process was killed twice, most likely for want of memory",
            "Run the same command again with a smaller corpus.workers, or on a machine with more memory.",
        )


def _lost_part(job: Job) -> dict[str, Any]:
    """The entry of a part that nobody could make."""
    place = f", bytes {job.part.start:,} to {job.part.stop:,}" if job.part else ""
    damage = (
        f"{job.path.name}{place}: the process that read it was killed twice (most likely for want of memory); "
        "the same command tries it again"
    )
    return entry(job, damage, empty_counts())


def _remove_others(output: Path, targets: set[Path]) -> None:
    """Files of languages that an earlier input had; tokens would be made of them."""
    for old in output.glob("*.parquet"):
        if old not in targets:
            old.unlink()


def _remove_leftovers(settings: Corpus, output: Path) -> None:
    """Half-written neighbours that a killed process could not remove itself."""
    if settings.executor.kind == "slurm":
        return  # the job of an interrupted command may be writing them
    for folder in (output, output / "parts"):
        for path in folder.glob(".*.tmp"):
            path.unlink(missing_ok=True)


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
