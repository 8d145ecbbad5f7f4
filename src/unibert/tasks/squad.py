"""Questions about a text, with their answers in it: SQuAD JSON, and JSON lines in the layout of hub data sets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unibert.errors import DataError
from unibert.tasks.tables import check_characters
from unibert.tasks.text_files import json_lines, kind_of_json, read_text

FIELDS = ("id", "context", "question", "answers")
_LAYOUTS = (
    'Give SQuAD JSON ({"data": [{"paragraphs": [{"context": ..., "qas": [...]}]}]}) or JSON lines with context, '
    "question and answers."
)
_SQUAD_2 = "Leave such questions out, as SQuAD 1.1 does: answers are looked for in every context."
_OFFSETS = "Mend answer_start: it counts characters (not bytes) from the start of the context, from 0."


@dataclass(frozen=True)
class Answer:
    """A stretch of the context, and the character it starts at."""

    text: str
    start: int


@dataclass(frozen=True)
class Question:
    """A question about a context, with the answers that are accepted; none where they are to be predicted."""

    id: str
    question: str
    context: str
    answers: tuple[Answer, ...]
    numbered: bool = field(default=False, compare=False, repr=False)
    """Whether the id is only the number of its line: the same one in another file is another question."""


def read_questions(path: Path, columns: Mapping[str, str]) -> list[Question]:
    """Read SQuAD JSON (version 1.1, as MLQA and XQuAD are written too) or JSON lines; `.gz` is unpacked.

    A line of JSON lines has `context` and `question`; `answers` as `{"text": [...], "answer_start": [...]}` or as a
    list of `{"text", "answer_start"}`; and `id`, without which the line's number is the id. Answers may be missing,
    in a file that is only predicted on.

    Args:
        path: a file; which of the two it is, is seen from what is in it.
        columns: names of the fields of JSON lines that are called otherwise, such as `{"context": "passage"}`.

    Raises:
        DataError: names the file and the line or question: not JSON, a field that is missing, empty or of another
            kind, an answer that does not stand in the context where it says, a question of SQuAD 2 that has none, an id
            that occurs twice.
    """
    text = read_text(path)
    document = _document(text, path)
    if document is not None:
        return _collected(_squad_rows(document, str(path)), str(path))
    return questions_from_rows(json_lines(text, path, _LAYOUTS), str(path), columns)


def questions_from_rows(
    rows: Iterable[tuple[int, Mapping[str, Any]]], source: str, columns: Mapping[str, str]
) -> list[Question]:
    """Questions from numbered rows in the layout of JSON lines; see `read_questions`.

    Args:
        rows: number and fields of each.
        source: where they are from, for messages.
        columns: names of fields that are called otherwise.

    Raises:
        DataError: as `read_questions`.
    """
    unknown = sorted(set(columns) - set(FIELDS))
    if unknown:
        raise DataError(
            f"columns: {', '.join(unknown)} is nothing that a question has", f"Give names for {', '.join(FIELDS)}."
        )
    names = {field: columns.get(field, field) for field in FIELDS}

    def named() -> Iterator[tuple[str, Mapping[str, Any]]]:
        for number, row in rows:
            needed = {"context", "question", *columns}
            missing = [name for field, name in names.items() if field in needed and name not in row]
            if missing:
                raise DataError(
                    f"{source}:{number}: no {missing[0]!r}; there is {', '.join(map(repr, row)) or 'nothing'}",
                    f"Say what it is called here: --column NAME=YOURS (in a recipe: columns). {_LAYOUTS}",
                )
            given = {field: row[name] for field, name in names.items() if name in row}
            yield f"{source}:{number}", {"id": str(number), "numbered": "id" not in given, **given}

    return _collected(named(), source)


# The two layouts ----------------------------------------------------------------------------------------------------


def _document(text: str, path: Path) -> Any | None:
    """The whole file as one JSON value; nothing if it is JSON lines."""
    first, _, rest = text.lstrip().partition("\n")
    try:
        line = json.loads(first)
    except (ValueError, RecursionError):
        return None if path.name.removesuffix(".gz").endswith(".jsonl") else _parsed(text, path, 1)
    lines = rest.strip() or (isinstance(line, dict) and "data" not in line)
    return None if lines else line


def _parsed(text: str, path: Path, line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{line + error.lineno - 1}: not JSON ({error.msg})", _LAYOUTS) from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; thousands of brackets
        raise DataError(f"{path}:{line}: JSON that cannot be read ({error})", _LAYOUTS) from None


def _squad_rows(document: Any, source: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not isinstance(document, dict) or "data" not in document:
        there = ", ".join(map(repr, document)) or "nothing" if isinstance(document, dict) else kind_of_json(document)
        raise DataError(f"{source}: no 'data' at its top; there is {there}", _LAYOUTS)
    for article_number, article in enumerate(_list(document, "data", source), start=1):
        place = f"{source}: article {article_number}"
        for paragraph_number, paragraph in enumerate(_list(article, "paragraphs", place), start=1):
            there = f"{place}, paragraph {paragraph_number}"
            context = _value(paragraph, "context", there)
            for number, entry in enumerate(_list(paragraph, "qas", there), start=1):
                here = f"{there}, question {number}"
                row = {"context": context, "id": _value(entry, "id", here), "question": _value(entry, "question", here)}
                row.update({key: entry[key] for key in ("answers", "is_impossible") if key in entry})
                yield f"{source}: question {row['id']}", row


def _value(thing: Any, key: str, place: str) -> Any:
    if not isinstance(thing, dict):
        raise DataError(f"{place}: {kind_of_json(thing)} where an object should be", _LAYOUTS)
    if key not in thing:
        raise DataError(f"{place}: no {key!r}; there is {', '.join(map(repr, thing)) or 'nothing'}", _LAYOUTS)
    return thing[key]


def _list(thing: Any, key: str, place: str) -> list[Any]:
    value = _value(thing, key, place)
    if not isinstance(value, list):
        raise DataError(f"{place}: {key!r} is {kind_of_json(value)}, not a list", _LAYOUTS)
    return value


# Checking -----------------------------------------------------------------------------------------------------------


def _collected(rows: Iterable[tuple[str, Mapping[str, Any]]], source: str) -> list[Question]:
    """Checked questions from places and fields, each id once."""
    found: list[Question] = []
    places: dict[str, str] = {}
    for place, row in rows:
        question = _question(row, place)
        if question.id in places:
            raise DataError(
                f"{place}: the id {question.id!r} is there twice, first at {places[question.id]}",
                "Give every question an id of its own.",
            )
        places[question.id] = place
        found.append(question)
    if not found:
        raise DataError(f"{source}: no question in it", _LAYOUTS)
    return found


def _question(row: Mapping[str, Any], place: str) -> Question:
    number = row["id"]
    identity = str(number) if isinstance(number, int) and not isinstance(number, bool) else number
    context = _text(row["context"], "context", place)
    if row.get("is_impossible"):
        raise DataError(f"{place}: it has no answer in its context (is_impossible, as in SQuAD 2)", _SQUAD_2)
    answers = tuple(_answer(text, start, context, place) for text, start in _answers(row, place))
    question = _text(row["question"], "question", place)
    return Question(_text(identity, "id", place), question, context, answers, bool(row.get("numbered")))


def _text(value: Any, what: str, place: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{place}: the {what} is {kind_of_json(value)}, not a string", "Write text there.")
    if not value.strip():
        raise DataError(f"{place}: the {what} is empty", "Write text there, or leave the question out.")
    check_characters(value, what, place)
    return value


def _answers(row: Mapping[str, Any], place: str) -> list[tuple[Any, Any]]:
    value, there = row.get("answers"), f"{place}: answers"
    if value is None:
        return []
    if isinstance(value, list):
        return [(_value(entry, "text", there), _value(entry, "answer_start", there)) for entry in value]
    if isinstance(value, dict):
        texts, starts = _list(value, "text", there), _list(value, "answer_start", there)
        if len(texts) == len(starts):
            return list(zip(texts, starts, strict=True))
        raise DataError(
            f"{place}: {len(texts)} answers, but {len(starts)} answer_start", "Give each answer its offset."
        )
    raise DataError(f"{place}: 'answers' is {kind_of_json(value)}, not a list or an object", _LAYOUTS)


def _answer(text: Any, start: Any, context: str, place: str) -> Answer:
    text = _text(text, "answer", place)
    if not isinstance(start, int) or isinstance(start, bool):
        raise DataError(f"{place}: answer_start is {kind_of_json(start)}, not a whole number", _OFFSETS)
    there = context[start : start + len(text)] if start >= 0 else ""
    if there != text:
        found = context.find(text)
        hint = f"it is first at {found}" if found >= 0 else "it is nowhere in the context"
        at = f"stands {_shown(there)}" if there else f"the context of {len(context)} characters has nothing"
        raise DataError(f"{place}: the answer {_shown(text)} should start at {start}, where {at}; {hint}", _OFFSETS)
    return Answer(text, start)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
