"""Tagged sentences: CoNLL files (a token and its tag a line) and JSON lines."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unibert.errors import DataError
from unibert.tasks.tables import check_characters, is_json_lines, read_rows
from unibert.tasks.text_files import read_text

OUTSIDE = "O"
_TAG = re.compile(r"O|[BI]-\S+")
_DOCUMENT_START = "-DOCSTART-"
_FIELDS = {"tokens": "the words of a sentence", "tags": "their tags: O, B-TYPE, I-TYPE"}
_LATIN_1 = "CoNLL files of 2002 were published in Latin-1"


@dataclass(frozen=True)
class Sentence:
    """Words and their IOB2 tags, one tag a word."""

    words: tuple[str, ...]
    tags: tuple[str, ...]


def read_sentences(path: Path, columns: Mapping[str, str]) -> list[Sentence]:
    """Read a CoNLL file, or JSON lines where the file's name says so (`.jsonl`, `.json`).

    In JSON, `tokens` and `tags` are lists of the same length, or texts whose words are apart by spaces; tags are names,
    IOB1 or IOB2. A file that is only predicted on needs no tags there; its sentences then have none.

    Args:
        path: the file; `.gz` is unpacked.
        columns: the fields' names where they are not `tokens` and `tags`; for JSON only.

    Raises:
        DataError: names file and line.
    """
    if is_json_lines(path):
        return [
            _json_sentence(row, f"{path}:{number}")
            for number, row in read_rows(path, _FIELDS, columns, optional=("tags",))
        ]
    if columns:
        raise DataError(
            f"{path}: columns of a CoNLL file have no names",
            "Leave out --column (in a recipe: columns); the token stands in the first column, its tag in the last.",
        )
    return read_conll(path)


def _json_sentence(row: Mapping[str, Any], place: str) -> Sentence:
    words = _texts(row, "tokens", place)
    if not words:
        raise DataError(f"{place}: the sentence is empty", "Delete this line.")
    for word in words:
        check_characters(word, "tokens", place)
    if "tags" not in row:
        return Sentence(tuple(words), ())
    tags = _texts(row, "tags", place)
    if len(tags) != len(words):
        raise DataError(f"{place}: {len(words)} tokens and {len(tags)} tags", "Give every token one tag.")
    return Sentence(tuple(words), tuple(to_iob2([_checked_tag(tag, place) for tag in tags])))


def _texts(row: Mapping[str, Any], name: str, place: str) -> list[str]:
    value = row[name]
    if isinstance(value, str):
        return value.split()
    if not isinstance(value, list):
        raise DataError(f"{place}: {name} is no list", f"Write {name} as a list of texts.")
    wrong = [entry for entry in value if not isinstance(entry, str) or not entry]
    if not wrong:
        return value
    if wrong[0] == "":
        raise DataError(f"{place}: an empty text in {name}", "Delete it, and what belongs to it in the other list.")
    raise DataError(
        f"{place}: {wrong[0]!r} in {name} is not a text",
        "Write names of tags, such as B-PER, in place of their numbers." if name == "tags" else "Write it in quotes.",
    )


def read_conll(path: Path | str) -> list[Sentence]:
    """Read a CoNLL-format file: a token a line with its tag last, sentences apart by empty lines; `.gz` is unpacked.

    Columns are separated by tabs on a line that has one (a token may then contain spaces), else by spaces. A
    `-DOCSTART-` line ends a sentence and is left out. IOB1 and IOB2 tags are both accepted and come out as IOB2.
    Where the first line has the token alone, there are no tags: a file that is only predicted on.

    Raises:
        DataError: names the file and the line: a missing or empty file, another encoding than UTF-8, a line with
            another number of columns than the first one, a tag that is not O, B-TYPE or I-TYPE.
    """
    path = Path(path)
    sentences: list[Sentence] = []
    words: list[str] = []
    tags: list[str] = []
    expected = 0
    # Only the newline ends a line: tokens may hold other characters that Python counts as line ends.
    for number, raw in enumerate(read_text(path, _LATIN_1).split("\n"), start=1):
        line = raw.rstrip("\r")
        columns = _columns(line)
        if not columns or columns[0] == _DOCUMENT_START:
            _close(words, tags, sentences)
            continue
        expected = expected or len(columns)
        if len(columns) != expected:
            raise DataError(
                f"{path}:{number}: {len(columns)} columns found, {expected} expected as on the lines before",
                "Give every line the same columns, the token first and the tag last; or mend or delete this line.",
            )
        if not columns[0].strip():
            raise DataError(f"{path}:{number}: the token is empty", "Write the token in the first column.")
        words.append(columns[0])
        if expected > 1:
            tags.append(_checked_tag(columns[-1], f"{path}:{number}", " in the last column"))
    _close(words, tags, sentences)
    if not sentences:
        raise DataError(f"{path}: no sentence in it", "Give a file with a token and its tag on each line.")
    if expected > 2 and len(sentences[0].words) > 1 and all(_is_numbering(sentence.words) for sentence in sentences):
        raise DataError(
            f"{path}: the first column numbers the tokens, as in CoNLL-U and GermEval",
            "Leave that column out: the token stands in the first column, its tag in the last.",
        )
    return sentences


def _is_numbering(words: Sequence[str]) -> bool:
    return all(word == str(number) for number, word in enumerate(words, start=1))


def _columns(line: str) -> list[str]:
    if not line.strip():
        return []
    if "\t" in line:
        return line.rstrip(" ").split("\t")
    return [column for column in line.split(" ") if column]


def _checked_tag(tag: str, place: str, where: str = "") -> str:
    if _TAG.fullmatch(tag):
        return tag
    raise DataError(
        f"{place}: {tag!r} is not a tag (O, B-TYPE or I-TYPE){where}",
        f"{'Put the tag there and convert' if where else 'Convert'} other schemes, such as IOBES, to IOB2.",
    )


def _close(words: list[str], tags: list[str], sentences: list[Sentence]) -> None:
    if words:
        sentences.append(Sentence(tuple(words), tuple(to_iob2(tags))))
        words.clear()
        tags.clear()


def to_iob2(tags: Sequence[str]) -> list[str]:
    """Turn IOB1 (or IOB2, which stays as it is) into IOB2: every entity's first word gets B-.

    An I- that does not go on from the same type begins an entity; so conlleval counts it too.
    """
    result = []
    before = OUTSIDE
    for tag in tags:
        result.append("B" + tag[1:] if tag[0] == "I" and before[1:] != tag[1:] else tag)
        before = tag
    return result
