"""Which of a benchmark's files is which part of which language, from the files' names."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unibert.errors import DataError

PARTS = ("train", "dev", "test")
_PART_NAMES = {"validation": "dev", "valid": "dev", "testa": "dev", "testb": "test"}
_SHARD = re.compile(r"(?:-\d{5}-of-\d{5}|/\d{4})\.parquet$")

LeftOut = Callable[[str], object]
"""Told of a row that is left out of a training part; rows of other parts are never left out."""
Reader = Callable[[Path, "LeftOut | None"], Mapping["str | None", list[Any]]]
"""Reads a file into samples by language; None where the file's name says the language."""


@dataclass(frozen=True)
class Files:
    """Files of one kind: how they are called, and how they are read."""

    pattern: str
    """A regular expression of the end of the path, folders with `/`; the groups `language` and `part` say what is in
    the file. Without a group `language`, the file holds many and says so by itself."""
    read: Reader
    part: str = ""
    """What the file is where its name does not say it; `train`, `dev` or `test`."""
    languages: Mapping[str, str] | None = None
    """What the name's `language` stands for, where that is not the code."""


@dataclass(frozen=True)
class Found:
    """The files of a part, of one language or (`language` is None) of many."""

    language: str | None
    part: str
    paths: tuple[str, ...]
    read: Reader


def arrange(layouts: Sequence[Sequence[Files]], files: Iterable[str], place: str) -> list[Found]:
    """The parts among files, by the first layout of which anything is there.

    Args:
        layouts: the ways in which the benchmark is published, each a few kinds of files.
        files: paths in the folder or data set, folders with `/`.
        place: the folder or data set, for messages.

    Returns:
        Languages in alphabetical order, train before dev before test; empty when no file fits.

    Raises:
        DataError: two files that are both the same part.
    """
    names = sorted(files)
    for layout in layouts:
        found: dict[tuple[str | None, str], tuple[list[str], Reader]] = {}
        for kind in layout:
            _gather(kind, names, found, place)
        if found:
            ordered = sorted(found.items(), key=lambda item: (item[0][0] or "", PARTS.index(item[0][1])))
            return [Found(language, part, tuple(paths), read) for (language, part), (paths, read) in ordered]
    return []


def files_below(folder: Path) -> list[str]:
    """The files in a folder and in those below it, as `arrange` takes them.

    Raises:
        DataError: one of the folders cannot be read; what is in it would be missing without a word.
    """

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror})", "Give yourself the right to read it.")

    found = [Path(place, name) for place, _, names in os.walk(folder, onerror=refuse) for name in names]
    return sorted(path.relative_to(folder).as_posix() for path in found if path.is_file())


def _gather(
    kind: Files, names: Iterable[str], found: dict[tuple[str | None, str], tuple[list[str], Reader]], place: str
) -> None:
    pattern = re.compile(rf"(?:^|/){kind.pattern}$")
    here: dict[tuple[str | None, str], list[str]] = {}
    for name in names:
        match = pattern.search(name)
        if not match:
            continue
        groups = match.groupdict()
        language = groups.get("language")
        if language is not None:
            language = (kind.languages or {}).get(language, language.lower())
        said = groups.get("part") or kind.part
        here.setdefault((language, _PART_NAMES.get(said, said)), []).append(name)
    for key, paths in here.items():
        if len(paths) > 1 and not all(_SHARD.search(path) for path in paths):
            raise DataError(
                f"{place}: {paths[0]} and {paths[1]} are both {' '.join(filter(None, key))}",
                "Name the folder that holds one of them, or remove the other.",
            )
        # An earlier kind of files has precedence over a later one.
        found.setdefault(key, (paths, kind.read))
