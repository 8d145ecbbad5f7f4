"""What universality is measured on: line-aligned translations, and text by language."""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import random
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

from unibert.benchmark.layouts import files_below
from unibert.corpus.texts import is_text, language_of_text, open_text
from unibert.errors import DataError
from unibert.files import expand
from unibert.languages import ISO_639_3, LANGUAGES, language
from unibert.progress import progress_bar
from unibert.tasks.text_files import read_text
from unibert.tokens.encode import open_samples, read_rows

LEAST_TEXTS = 50
"""A language with fewer texts than this, and than are asked for, is left out."""
_SHORTEST, _SHORTEST_UNSPACED = 20, 8
"""Characters of a text; in scripts without spaces a character says more."""
_UNSPACED = frozenset(("Hani", "Hant", "Jpan", "Khmr", "Laoo", "Mymr", "Thai", "Tibt"))
_ROW_GROUPS = 64
"""Of a Parquet file so many row groups are read: a corpus of gigabytes is not read whole to draw some hundred texts."""

_CODE = r"[a-z]{2,3}(?:[-_][A-Za-z]{2,10})*|simple"
_WITH_SCRIPT = re.compile(r"(?P<code>[a-z]{3})_[A-Z][a-z]{3}")


@dataclass(frozen=True)
class Parallel:
    """One line-aligned pair of files."""

    name: str
    """Unique: `de-en`; where several pairs are of the same languages, `de-en (flores)`."""
    language: str
    """Our code of the one that is not English; of the first, where neither is."""
    other: str
    texts: list[str]
    """In `language`; single spaces, no text is empty."""
    others: list[str]
    """Their translations, as many."""


@dataclass(frozen=True)
class _Sides:
    """Two files that may be a pair."""

    stem: str
    """What their names have in common."""
    language: str
    other: str
    files: tuple[Path, Path]

    @property
    def file(self) -> str:
        """The name of the first file."""
        return self.files[0].name.removesuffix(".gz")


_LABELS: tuple[Callable[[_Sides], str], ...] = (
    lambda side: side.stem,
    lambda side: side.file,
    lambda side: f"{side.files[0].parent.name}/{side.file}",
)
"""What is added to the names of pairs of the same languages; the first that tells them apart."""


# --- translations ---


def find_parallel(
    paths: Sequence[Path | str], languages: Collection[str] | None = None, least: int = 100
) -> tuple[list[Parallel], dict[str, str]]:
    """Read line-aligned translations.

    A pair is `NAME.XX-YY.XX` with `NAME.XX-YY.YY`, as in Tatoeba (`tatoeba.deu-eng.deu`), or two files that differ in
    a language's code at the end only (`flores.de`, `flores.en`; of more than two, each goes with English, or with the
    alphabetically first language where there is no English). Codes are ours, ISO 639-3 or of the form `deu_Latn`; one
    that is not known is kept. Any file may end in `.gz`; of a file in both forms the plain one is read. Lines end at
    the newline character only; a line pair with an empty side is dropped on both sides.

    Args:
        paths: folders, which are searched with the folders in them, and files or globs.
        languages: our codes; only pairs of these, and of these with English.
        least: pairs with fewer sentences are left out.

    Returns:
        The pairs by name, and what was left out: by the name of the pair (or the file, if one has no partner) the
        reason. A pair that lost only some lines is in both.

    Raises:
        DataError: a path that is not there or in which there is no pair.
    """
    files = {str(path): _parallel_files(path) for path in paths}
    sides, left_out = _match({path for below in files.values() for path in below})
    paired = {path for side in sides for path in side.files}
    for pattern, below in files.items():
        if not paired.intersection(below):
            raise DataError(
                f"{pattern}: no pair of line-aligned files in it",
                "Name them tatoeba.deu-eng.deu and tatoeba.deu-eng.eng, or flores.de and flores.en; .gz may follow.",
            )
    pairs = []
    for name, side in _named(sides).items():
        if languages is not None and not {side.language, side.other} <= {*languages, "en"}:
            continue
        try:
            texts, others, lost = _read_pair(side)
        except DataError as error:
            left_out[name] = error.message
            continue
        if lost:
            left_out[name] = lost
        if len(texts) < least:
            left_out[name] = f"{len(texts):,} sentences, fewer than {least:,}" + (f"; {lost}" if lost else "")
        else:
            pairs.append(Parallel(name, side.language, side.other, texts, others))
    there = {code for side in sides for code in (side.language, side.other)}
    left_out |= {code: "no translations of it were found" for code in sorted({*(languages or ())} - there)}
    return pairs, left_out


def _parallel_files(path: Path | str) -> list[Path]:
    folder = Path(path).expanduser()
    return [folder / name for name in files_below(folder)] if folder.is_dir() else expand([path], "file")


def _match(files: Collection[Path]) -> tuple[list[_Sides], dict[str, str]]:
    """The pairs among files by their names, and the files whose partner is missing."""
    groups: dict[tuple[Path, str], dict[str, Path]] = defaultdict(dict)
    for path in sorted(files, reverse=True):  # NAME.gz before NAME, which replaces it
        stem, _, ending = path.name.removesuffix(".gz").rpartition(".")
        if stem and re.fullmatch(_CODE, ending):
            groups[path.parent, stem][ending] = path
    sides, lonely = [], {}
    for (_, stem), by_code in sorted(groups.items()):
        middle = stem.rpartition(".")[2]
        chosen = [codes for codes in permutations(sorted(by_code), 2) if "-".join(codes) == middle]
        if not chosen:
            known = [code for code in sorted(by_code) if _is_known(code)]
            pivot = next((code for code in known if _our_code(code, False) == "en"), known[0] if known else "")
            chosen = [(code, pivot) for code in known if code != pivot]
        if not chosen:
            for code, path in by_code.items():
                if re.fullmatch(rf"(?:{_CODE})-{code}|{code}-(?:{_CODE})", middle):
                    lonely[path.name] = "the file that it should be aligned with is not there"
        for first, second in chosen:
            standard = any(code in ISO_639_3 and code not in LANGUAGES for code in (first, second))
            pair = [(_our_code(code, standard), by_code[code]) for code in (first, second)]
            if pair[0][0] == "en":
                pair.reverse()
            (code, path), (other, its_path) = pair
            sides.append(_Sides(stem, code, other, (path, its_path)))
    return sides, lonely


def _is_known(code: str) -> bool:
    return code in LANGUAGES or code in ISO_639_3 or _WITH_SCRIPT.fullmatch(code) is not None


def _our_code(code: str, standard: bool) -> str:
    """Our code of a file's; `standard`: it is ISO 639-3, as what stands beside it tells, even if it could be ours."""
    with_script = _WITH_SCRIPT.fullmatch(code)
    if with_script:
        code, standard = with_script["code"], True
    return code if code in LANGUAGES and not standard else ISO_639_3.get(code, code)


def _named(sides: Iterable[_Sides]) -> dict[str, _Sides]:
    """Pairs by names that differ: of the languages alone where that is enough, else with what their files share."""
    shared: dict[str, list[_Sides]] = defaultdict(list)
    for side in sides:
        shared[f"{side.language}-{side.other}"].append(side)
    named = {}
    for name, same in sorted(shared.items()):
        for label_of in _LABELS:
            labels = [label_of(side) for side in same]
            if len(set(labels)) == len(same):
                break
        else:
            labels = [f"{label} {number}" for number, label in enumerate(labels, start=1)]
        for label, side in zip(labels, same, strict=True):
            named[name if len(same) == 1 else f"{name} ({label})"] = side
    return named


def _read_pair(side: _Sides) -> tuple[list[str], list[str], str]:
    """Both sides' sentences, and in words what was dropped.

    Raises:
        DataError: a file that cannot be read, or another number of lines.
    """
    both = [_lines(path) for path in side.files]
    if len(both[0]) != len(both[1]):
        told = [f"{path.name} has {len(lines):,} lines" for path, lines in zip(side.files, both, strict=True)]
        raise DataError(f"not aligned: {told[0]}, {told[1]}")
    kept = [pair for pair in zip(*both, strict=True) if all(pair)]
    lost = len(both[0]) - len(kept)
    texts, others = ([pair[place] for pair in kept] for place in (0, 1))
    return texts, others, f"{lost:,} of {len(both[0]):,} lines, because a side of them is empty" if lost else ""


def _lines(path: Path) -> list[str]:
    """The lines of a file with single spaces; one without anything to be seen is empty."""
    try:
        text = read_text(path)
    except DataError as error:
        # What is left out is told in results that others read: where the file lay is not their business.
        raise DataError(error.message.replace(str(path), path.name)) from None
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()  # the last line's end
    return [_tidy(line) for line in lines]


def _tidy(line: str) -> str:
    words = line.split()
    return " ".join(words) if any(letter.isprintable() for word in words for letter in word) else ""


# --- text by language ---


def find_texts(
    paths: Sequence[Path | str], languages: Collection[str] | None, count: int, seed: int
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Draw texts of each language, a line each: distinct ones of at least 20 characters (8 in scripts without spaces).

    Files are `XX.txt[.gz]`, JSON lines and Parquet, as those that a corpus is made of, and the corpus folder of a run.
    The texts are in NFC and with single spaces. What is drawn depends on the seed and on which lines there are, not on
    their order nor on how many files they are in. Of a Parquet file with more than 64 row groups, 64 are drawn first,
    so that the time does not grow with the corpus.

    Args:
        paths: files, folders (of which the files themselves are read, not the folders in them), globs.
        languages: our codes; all that are found when None.
        count: texts of each language.
        seed: of the draw.

    Returns:
        By language at most `count` texts; and what was left out, by language or file, with the reason. A file of which
        a part could be read is in both.

    Raises:
        DataError: a path that is not there, or without any text file that has a language in its name.
    """
    files = sorted({entry for path in paths for entry in _text_files(path)})
    draws: dict[str, _Draw] = {}
    left_out: dict[str, str] = {}
    wanted = [(code, path) for code, path in files if languages is None or code in languages]
    size = sum(path.stat().st_size for _, path in wanted)
    with progress_bar(size, "drawing texts", "B", unit_scale=True, leave=False, delay=2.0) as bar:
        for code, path in wanted:
            draw = draws.setdefault(code, _Draw(count, seed))
            least = _shortest(code)
            try:
                if path.suffix == ".parquet":
                    draw.add_from(_rows(path, seed), least)
                    bar.update(path.stat().st_size)
                else:
                    source = open_text(path, advance=bar.update)
                    draw.add_from((sample.text for sample in source), least)
                    if source.damage:
                        left_out[path.name] = source.damage.removeprefix(f"{path.name}: ")
            except DataError as error:
                left_out[path.name] = error.message.replace(str(path), path.name).removeprefix(f"{path.name}: ")
    texts = {}
    for code in sorted({*draws, *(languages or ())}):
        found = draws[code].texts if code in draws else []
        if len(found) >= min(LEAST_TEXTS, count):
            texts[code] = found
        elif code in draws:
            least = _shortest(code)
            left_out[code] = (
                f"{len(found)} different texts of {least} characters or more, fewer than {min(LEAST_TEXTS, count)}, in "
                f"{', '.join(path.name for of, path in wanted if of == code)}"
            )
        else:
            left_out[code] = "no text of it was found"
    return texts, left_out


def _shortest(code: str) -> int:
    return _SHORTEST_UNSPACED if language(code).script in _UNSPACED else _SHORTEST


def _text_files(path: Path | str) -> list[tuple[str, Path]]:
    """The text files that a path means, with their languages."""
    folder = Path(path).expanduser()
    if not folder.is_dir():
        return [(language_of_text(file), file) for file in expand([path], "text file")]
    for place in (folder, folder / "corpus"):
        found = []
        for file in sorted(place.iterdir()) if place.is_dir() else ():
            # A corpus has its statistics beside it as JSON, and a folder of texts may have notes.
            if not is_text(file) or file.suffix == ".json" or file.name.startswith(".") or not file.is_file():
                continue
            with contextlib.suppress(DataError):
                found.append((language_of_text(file), file))
        if found:
            return found
    raise DataError(
        f"{folder}: no text file in it with a language in its name",
        "Name the files de.txt, de.txt.gz or de.parquet, or give the folder of a run's corpus.",
    )


def _rows(path: Path, seed: int) -> Iterator[str]:
    """The lines of a Parquet file's texts, or of 64 of its row groups.

    Raises:
        DataError: it is damaged or has no column `text`.
    """
    file = open_samples(path)
    if "text" not in file.schema_arrow.names:
        raise DataError(f"{path}: no column 'text'")
    groups = range(file.num_row_groups)
    chosen = sorted(random.Random(seed).sample(groups, _ROW_GROUPS)) if len(groups) > _ROW_GROUPS else list(groups)
    try:
        for rows in read_rows(path, ["text"], chosen):
            for (text,) in rows:
                for line in text.split("\n") if isinstance(text, str) else ():
                    yield unicodedata.normalize("NFC", " ".join(line.split()))
    except UnicodeDecodeError:
        raise DataError(f"{path}: a text that is not UTF-8") from None


class _Draw:
    """Distinct texts drawn from a stream: those whose hash with the seed is least, in memory for `count` of them."""

    def __init__(self, count: int, seed: int) -> None:
        self._count, self._key = count, str(seed).encode()
        self._heap: list[tuple[int, str]] = []  # negative hashes: the largest one comes first
        self._hashes: set[int] = set()

    def add_from(self, texts: Iterable[str], least: int) -> None:
        """Consider the texts that have at least so many characters."""
        for text in texts:
            if len(text) < least:
                continue
            number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8, key=self._key).digest())
            if number in self._hashes or (len(self._heap) == self._count and number >= -self._heap[0][0]):
                continue
            self._hashes.add(number)
            if len(self._heap) < self._count:
                heapq.heappush(self._heap, (-number, text))
            else:
                self._hashes.discard(-heapq.heapreplace(self._heap, (-number, text))[0])

    @property
    def texts(self) -> list[str]:
        """What was drawn, in an order that is drawn too."""
        return [text for _, text in sorted(self._heap, reverse=True)]
