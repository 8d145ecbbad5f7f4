"""A benchmark's data, from a folder, the hub or users' own files, as the recipe's table [benchmark.data.NAME] says."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from unibert.benchmark.catalog import KNOWN, Counts, Known, find_known
from unibert.benchmark.hub_data import hub_files
from unibert.benchmark.layouts import PARTS, Found, arrange, files_below
from unibert.benchmark.splitting import derived, draw, split_parts
from unibert.benchmark.sts22 import DOWNLOADER, find_articles, find_lists, read_list
from unibert.errors import DataError
from unibert.files import sha256_of_file
from unibert.task_settings import BenchmarkData
from unibert.tasks.data import Split, Splits
from unibert.tasks.task import find_task

Refuse = Callable[[DataError], object]
_NO_COUNTS: Counts = (None, None, None)
_SHOWN = 3  # left-out rows that a note names


@dataclass(frozen=True)
class LoadedData:
    """A benchmark's samples, ready to be trained and tested on."""

    name: str
    """As the recipe calls it."""
    title: str
    """For tables: results are "on TITLE", such as "on a split of XNLI"."""
    task: str
    languages: dict[str, Splits] = field(repr=False)
    """By language, or pair of languages (`de-en`, STS22 only), in alphabetical order."""
    notes: list[str]
    """What a reader of the results should know about the data."""
    mono: tuple[str, ...] = ()
    """The languages whose samples are in one language; those of the setting `mono`."""


@dataclass
class _Parts:
    """What was read: parts by language."""

    languages: dict[str, dict[str, Split]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    passed: set[str] = field(default_factory=set)
    """Languages that are there, but were not read."""
    pairs: bool = False
    """Languages may be pairs, such as `de-en`."""
    sizes: dict[tuple[str, str], int] = field(default_factory=dict)
    """Samples by language and part, as they were read."""
    cut: Callable[[str, Split], Split] = lambda part, split: split
    """What is kept of a part; at once, because a whole benchmark may not fit into the memory."""

    def add(self, language: str, part: str, split: Split) -> None:
        """Keep a part that has samples."""
        if split.samples:
            self.sizes[language, part] = len(split.samples)
            self.languages.setdefault(language, {})[part] = self.cut(part, split)

    @property
    def splits(self) -> dict[str, Splits]:
        """In alphabetical order."""
        return {language: Splits(**self.languages[language]) for language in sorted(self.languages)}


def load_data(name: str, settings: BenchmarkData, refuse: Refuse | None = None) -> LoadedData:
    """The data of a benchmark, read and checked, split and cut as the settings say.

    Training parts of another benchmark (`settings.train_on`) are not added: see `with_training_of`.

    Args:
        name: of a known benchmark, or any name for files of one's own.
        settings: the recipe's table of it.
        refuse: told of files that cannot be used, which are then left out; without it, the first one is an error.

    Raises:
        DataError: names what is wrong and where: no such benchmark, files or language; a file that is damaged or of
            another task.
    """
    known = None if settings.files else find_known(name)
    if known and settings.task not in (None, known.task):
        raise DataError(
            f"benchmark.data.{name}: {known.title} is a benchmark of the task {known.task}, not {settings.task}",
            "Leave `task` out; or, for files of your own, give `files` and choose another name.",
        )
    task = known.task if known else str(settings.task)
    cut = partial(_cut, task, settings, bool(known and known.parallel))
    parts = _Parts(pairs=name == "sts22" and known is not None, cut=_whole if settings.split else cut)
    if known:
        _read_known(parts, known, settings, refuse)
    else:
        _read_own(parts, name, settings, refuse)
    if not parts.languages and not parts.passed:
        raise DataError(f"benchmark.data.{name}: no samples in it", "Name files with samples in them.")
    _check_asked(parts, settings, name)
    languages, notes = _asked(parts.splits, settings), parts.notes
    # Files of one's own are not a known benchmark, whatever their name.
    title = known.title if known else f"{name} (own files)" if name in KNOWN else name
    published = known.counts if known else {}
    notes += _differences(published, languages, parts.sizes)
    whole = {code: parts.sizes.get((code, "test"), 0) for code in languages}
    part_of = any(whole[code] and whole[code] != (published.get(code, _NO_COUNTS)[2] or whole[code]) for code in whole)
    if settings.split:
        read = parts.splits
        divided = split_parts(task, read, known.parallel if known else None)
        notes += divided.notes
        uncut = _asked(divided.languages, settings)
        if any(splits is not read[code] for code, splits in uncut.items()):
            title, part_of = f"a split of {title}", False
            whole = {code: _tested(splits) for code, splits in uncut.items()}
        languages = {
            code: Splits(**{part: cut(part, split) if split else None for part, split in _by_part(splits)})
            for code, splits in uncut.items()
        }
    if part_of or any(_tested(splits) < whole[code] for code, splits in languages.items()):
        title = f"a part of {title}"
    notes += _missing(languages, settings)
    mono = tuple(language for language in languages if not (parts.pairs and "-" in language))
    return LoadedData(name, title, task, languages, notes, mono)


def _by_part(splits: Splits) -> Iterable[tuple[str, Split | None]]:
    return ((part, getattr(splits, part)) for part in PARTS)


def with_training_of(data: LoadedData, other: LoadedData, most: int | None = None) -> LoadedData:
    """Data trained on the training parts of another benchmark, language by language; tested on its own.

    Its own dev part chooses the epoch where there is one, else the other's. Languages that only the other one has are
    not added; languages that it does not have are only tested on.

    Args:
        data: what is tested on.
        other: what is trained on.
        most: use at most so many training samples of each language; `max_train` of the data that is tested on.

    Raises:
        DataError: another task, or no language in common that the other one can be trained on.
    """
    if data.task != other.task:
        raise DataError(
            f"benchmark.data.{data.name}: trained on {other.name}, which is of the task {other.task}, not {data.task}",
            "Name a benchmark of the same task in train_on.",
        )
    none = Splits()
    training = {language: splits.train for language, splits in other.languages.items() if splits.train}
    if most:
        training = {language: draw(other.task, train, most, False) for language, train in training.items()}
    languages = {
        language: replace(
            splits,
            train=training.get(language),
            dev=splits.dev or other.languages.get(language, none).dev,
        )
        for language, splits in data.languages.items()
    }
    if not any(splits.train for splits in languages.values()):
        there = ", ".join(training) or "none"
        raise DataError(
            f"benchmark.data.{data.name}: {other.name} has a training part in none of its languages (it has {there})",
            "Name a benchmark in train_on that has a training part in at least one of them.",
        )
    notes = [note for note in data.notes if "no training part" not in note]
    title = f"{data.title}, trained on {other.title}"
    return replace(data, title=title, languages=languages, notes=[*notes, f"trained on {other.title}", *other.notes])


def _refused(error: DataError, refuse: Refuse | None) -> None:
    if refuse is None:
        raise error
    refuse(error)


# Known benchmarks ---------------------------------------------------------------------------------------------------


def _read_known(parts: _Parts, known: Known, settings: BenchmarkData, refuse: Refuse | None) -> None:
    if settings.folder and settings.hub:
        raise DataError(f"benchmark.data.{known.name}: both a folder and a hub id", "Give one of them.")
    if settings.columns:
        raise DataError(f"benchmark.data.{known.name}: columns are for files of your own", "Leave `columns` out.")
    wanted = _read_first(known.task, settings)
    if settings.folder:
        folder = Path(settings.folder).expanduser()
        if not folder.is_dir():
            what = "is a file, not a folder" if folder.exists() else "no such folder"
            raise DataError(f"{folder}: {what}", f"Name the folder with {_where(known)}.")
        if known.name == "sts22" and find_lists(folder):
            return _read_sts22(parts, folder, refuse)
        files = files_below(folder)
        place, root, found = str(folder), folder, arrange(known.layouts, files, str(folder))
    else:
        hub = settings.hub or known.hub
        if not hub:
            raise DataError(
                f"benchmark.data.{known.name}: {known.title} is not on the hub",
                f"Set `folder` to one with {_where(known)}.",
            )
        place = f"hub:{hub}"
        root, files = hub_files(hub, lambda listed: _paths(arrange(known.layouts, listed, place), wanted))
        found = arrange(known.layouts, files, place)
    if not found:
        raise DataError(f"{place}: none of the files of {known.title} in it", f"Expected are {_where(known)}.")
    for part in found:
        if wanted is None or part.language is None or part.language in wanted:
            _read(parts, part, root, place, refuse)
        else:
            parts.passed.add(part.language)
    return None


def _paths(found: Iterable[Found], wanted: Collection[str] | None) -> list[str]:
    chosen = [part for part in found if wanted is None or part.language is None or part.language in wanted]
    return [path for part in chosen for path in part.paths]


def _where(known: Known) -> str:
    return known.expected + (f" ({known.origin})" if known.origin else "")


def _read(parts: _Parts, found: Found, root: Path, place: str, refuse: Refuse | None) -> None:
    """Add what is in the files of a part."""
    left_out: list[str] = []
    lenient = left_out.append if found.part == "train" else None
    samples: dict[str | None, list[Any]] = {}
    try:
        for path in found.paths:
            for language, more in found.read(root / path, lenient).items():
                samples.setdefault(language, []).extend(more)
    except DataError as error:
        _refused(error, refuse)
        return
    digest = "\n".join(sha256_of_file(root / path) for path in found.paths)
    if len(found.paths) > 1:
        digest = derived(digest, "one after another")
    first = str(root / found.paths[0]) if not place.startswith("hub:") else f"{place}/{found.paths[0]}"
    source = first if len(found.paths) == 1 else f"{first} and {len(found.paths) - 1} more"
    for code, more in samples.items():
        language = code or found.language
        if language is None:
            _refused(DataError(f"{first}: no language in it", "Download the file again."), refuse)
            continue
        sha256 = digest if len(samples) == 1 else derived(digest, f"only {language}")
        parts.add(language, found.part, Split(source, sha256, more))
    if left_out:
        more_rows = f" and {len(left_out) - _SHOWN:,} more" if len(left_out) > _SHOWN else ""
        parts.notes.append(f"training rows left out: {'; '.join(left_out[:_SHOWN])}{more_rows}")


def _read_sts22(parts: _Parts, folder: Path, refuse: Refuse | None) -> None:
    articles = find_articles(folder)
    if not articles:
        raise DataError(
            f"{folder}: the lists of STS22 are there, but none of the articles",
            f"Run the official downloader ({DOWNLOADER}); it leaves NN/ID.json. Put its folder in here.",
        )
    for part, path in find_lists(folder).items():
        try:
            found = read_list(path, articles)
        except DataError as error:
            _refused(error, refuse)
            continue
        there = sum(len(pairs) for pairs in found.pairs.values())
        listed = sum(found.listed.values())
        if there < listed:
            parts.notes.append(
                f"{part}: {listed - there:,} of {listed:,} pairs are left out, for want of "
                f"{found.missing_articles:,} articles"
            )
        for language, pairs in found.pairs.items():
            # Which samples these are is decided by the articles that are there, too.
            texts = "\n".join(f"{pair.first}\t{pair.second}\t{pair.score}" for pair in pairs)
            parts.add(language, part, Split(str(path), derived(sha256_of_file(path), texts), pairs))


def _differences(
    published: Mapping[str, Counts], languages: Iterable[str], sizes: Mapping[tuple[str, str], int]
) -> list[str]:
    """How the parts that are there differ from the published ones in size."""
    found: dict[tuple[str, int, int], list[str]] = {}
    for language in languages:
        for part, count in zip(PARTS, published.get(language, _NO_COUNTS), strict=True):
            here = sizes.get((language, part))
            if here and count is not None and here != count:
                found.setdefault((part, here, count), []).append(language)
    return [
        f"{part} of {' '.join(codes)}: {here:,} samples, {count:,} were published"
        for (part, here, count), codes in found.items()
    ]


# Files of one's own -------------------------------------------------------------------------------------------------


def _read_own(parts: _Parts, name: str, settings: BenchmarkData, refuse: Refuse | None) -> None:
    if settings.task is None:
        raise DataError(f"benchmark.data.{name}: files without a task", "Set `task` to ner, nli, qa or sts.")
    if settings.folder or settings.hub:
        raise DataError(
            f"benchmark.data.{name}: files of your own and a {'folder' if settings.folder else 'hub id'}",
            "Give one of them.",
        )
    task = find_task(settings.task)
    wanted = _read_first(settings.task, settings)
    for language, files in settings.files.items():
        if wanted is not None and language not in wanted:
            parts.passed.add(language)
            continue
        for part in PARTS:
            path = getattr(files, part)
            if path is None:
                continue
            place = Path(path).expanduser()
            try:
                samples = task.read(place, settings.columns)
                parts.add(language, part, Split(str(path), _digest_of_own(place, settings.columns), samples))
            except DataError as error:
                _refused(error, refuse)


def _digest_of_own(path: Path, columns: Mapping[str, str]) -> str:
    """Which samples these are is decided by the columns that are read, too."""
    sha256 = sha256_of_file(path)
    named = ", ".join(f"{name!r} is {own!r}" for name, own in sorted(columns.items()) if name != own)
    return derived(sha256, f"columns: {named}") if named else sha256


# What is asked for --------------------------------------------------------------------------------------------------


def _check_asked(parts: _Parts, settings: BenchmarkData, name: str) -> None:
    there = sorted(parts.passed.union(parts.languages))
    unknown = [language for language in settings.languages or () if language not in parts.languages]
    if unknown:
        raise DataError(f"benchmark.data.{name}: no data in {', '.join(unknown)}", f"There is {', '.join(there)}.")


def _asked(languages: dict[str, Splits], settings: BenchmarkData) -> dict[str, Splits]:
    return {key: splits for key, splits in languages.items() if key in (settings.languages or languages)}


def _whole(part: str, split: Split) -> Split:
    return split


def _cut(task: str, settings: BenchmarkData, parallel: bool, part: str, split: Split) -> Split:
    limit = settings.max_train if part == "train" else settings.max_test
    return draw(task, split, limit, parallel) if limit else split


def _tested(splits: Splits) -> int:
    return len(splits.test.samples) if splits.test else 0


def _read_first(task: str, settings: BenchmarkData) -> Collection[str] | None:
    """The languages that have to be read; None for all.

    How a language is split must not depend on which other languages are asked for, but in questions and pairs it does
    depend on which other languages there are: parallel samples stay together.
    """
    return None if settings.split and task != "ner" else settings.languages


def _missing(languages: Mapping[str, Splits], settings: BenchmarkData) -> list[str]:
    notes = []
    for part, means in (
        ("train", "no training part: only tested on"),
        ("dev", "no dev part: the last epoch is kept"),
        ("test", "no test part: nothing to score; `split = true` makes one"),
    ):
        lacking = [language for language, splits in languages.items() if getattr(splits, part) is None]
        if lacking and not (part == "train" and settings.train_on):
            notes.append(f"{'all languages' if len(lacking) == len(languages) else ' '.join(lacking)}: {means}")
    return notes
