"""Rows of tables by column name: tab-separated, comma-separated, and JSON lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unibert.errors import DataError
from unibert.tasks.text_files import json_lines, read_text

_JSON_LINES = (".jsonl", ".json")
_TABLES = (".tsv", ".csv")


def ending(path: Path) -> str:
    """What the file's name ends with, in lower case, apart from `.gz`: `.csv` for `Pairs.CSV.gz`."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def is_json_lines(path: Path) -> bool:
    """Whether the file's name says that it holds JSON lines."""
    return ending(path) in _JSON_LINES


@dataclass(frozen=True)
class _Wanted:
    """The columns to read, by the task's names."""

    meanings: Mapping[str, str]
    own: dict[str, str]
    """What the file calls them."""
    needed: list[str]
    """Those without which there is no reading it."""
    header: bool
    """Whether the file must name them."""

    def described(self) -> str:
        return ", ".join(f"{name} ({meaning})" for name, meaning in self.meanings.items())


def read_rows(
    path: Path, wanted: Mapping[str, str], columns: Mapping[str, str], optional: Collection[str] = ()
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a table, with the line that each begins on; `.gz` is unpacked. Empty lines are left out.

    The file's ending says what it is. `.csv`: cells may be quoted and then hold commas, quotes and line ends. `.tsv`:
    cells are what stands between tabs, quotes included. Either begins with a header line that names all the wanted
    columns, among others perhaps (exactly, or but for upper and lower case); or it has none, and just the wanted
    columns in their order. `.jsonl`, `.json`: an object on each line that has the wanted fields, among others perhaps.

    Args:
        path: the file.
        wanted: the columns to read, with what stands there, for messages.
        columns: the file's own names for those of `wanted` that it calls otherwise.
        optional: those of `wanted` that a file need not have, unless `columns` names them.

    Yields:
        The line's number from 1, and what it has for each of `wanted`: text, in JSON lines any JSON value. Those of
        `optional` that the first row has not are in no row.

    Raises:
        DataError: names the file, and the line where there is one: no such file, another ending or encoding, a missing
            column, a row with more or fewer cells than the first, a quote that is not closed, a line that is no JSON
            object, no row at all.
    """
    unknown = [name for name in columns if name not in wanted]
    if unknown:
        raise DataError(
            f"columns: there is no {unknown[0]!r} to give another name to",
            f"The names on the left are the task's own: {', '.join(wanted)}.",
        )
    own = {name: columns.get(name, name) for name in wanted}
    needed = [name for name in wanted if name in columns or name not in optional]
    asked = _Wanted(wanted, own, needed, header=bool(columns))
    kind = ending(path)
    if kind in _JSON_LINES:
        rows = _json_rows(path, asked)
    elif kind in _TABLES:
        rows = _named(path, _csv_rows(path) if kind == ".csv" else _tsv_rows(path), asked)
    else:
        raise DataError(
            f"{path}: its ending {kind!r} does not say what is in it" if kind else f"{path}: its name has no ending",
            "Call it .tsv, .csv or .jsonl, for what it is; .gz may follow.",
        )
    empty = True
    for row in rows:
        empty = False
        yield row
    if empty:
        raise DataError(f"{path}: no row in it", "Give a file with a sample on each line.")


def text_of(row: Mapping[str, Any], name: str, place: str) -> str:
    """The text of a cell or field.

    Args:
        row: from `read_rows`.
        name: which of the wanted ones.
        place: file and line, for messages.

    Raises:
        DataError: no text, an empty one, or one with half a character in it (a lone surrogate, which JSON can spell).
    """
    value = row[name]
    if not isinstance(value, str):
        raise DataError(f"{place}: {name} is {_shown(value)}, not a text", f"Put the text of {name} in quotes.")
    if not value.strip():
        raise DataError(f"{place}: {name} is empty", "Write a text there, or delete this row.")
    check_characters(value, name, place)
    return value


def check_characters(text: str, name: str, place: str) -> None:
    r"""Refuse half characters, such as JSON's `\ud83d` without its other half: no tokenizer reads them.

    Raises:
        DataError: there is one.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{place}: {name} has half a character in it (\\u{ord(text[error.start]):04x})",
            "Write the file again from its source; something cut a character in two.",
        ) from None


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "..."


# JSON lines ---------------------------------------------------------------------------------------------------------


def _json_rows(path: Path, asked: _Wanted) -> Iterator[tuple[int, dict[str, Any]]]:
    names: list[str] = []
    fix = (
        "Write JSON lines, one object on each: `jq -c . FILE` turns indented objects into that, "
        "`jq -c '.[]' FILE` takes a list of objects apart."
    )
    for number, row in json_lines(read_text(path), path, fix):
        names = names or [name for name, field in asked.own.items() if name in asked.needed or field in row]
        missing = [name for name in names if asked.own[name] not in row]
        if missing:
            raise _missing_columns(f"{path}:{number}", "field", missing, list(row), asked)
        yield number, {name: row[asked.own[name]] for name in names}


# Tables -------------------------------------------------------------------------------------------------------------


def _tsv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    for number, raw in enumerate(read_text(path).split("\n"), start=1):
        line = raw.rstrip("\r")
        if line.strip(" "):
            yield number, line.split("\t")


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    text = read_text(path)
    csv.field_size_limit(max(len(text), csv.field_size_limit()))  # as many characters as there are may be one cell
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    number = 1
    try:
        for row in reader:
            if len(row) > 1 or any(cell.strip() for cell in row):
                yield number, row
            number = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{path}:{number}: not a row of comma-separated cells ({error})",
            'Put cells with commas, quotes or line ends in "quotes", which are doubled inside: "so ""it"" is".',
        ) from None


def _named(path: Path, rows: Iterable[tuple[int, list[str]]], asked: _Wanted) -> Iterator[tuple[int, dict[str, Any]]]:
    places: dict[str, int] = {}
    width = 0
    for number, cells in rows:
        if not places:
            width = len(cells)
            places = _header(f"{path}:{number}", cells, asked)
            if places:
                continue
            places = {name: place for place, name in enumerate(asked.own) if place < width}
        if len(cells) != width:
            raise DataError(
                f"{path}:{number}: {len(cells)} columns found, {width} expected as on the first line",
                "Give every line the same columns; or mend or delete this line.",
            )
        yield number, {name: cells[place] for name, place in places.items()}


def _header(place: str, cells: list[str], asked: _Wanted) -> dict[str, int]:
    """Where the wanted columns stand, if this row names them; nothing if it is a sample."""
    found = {name: _column(place, cells, column) for name, column in asked.own.items()}
    missing = [name for name in asked.needed if found[name] is None]
    if not missing:
        return {name: position for name, position in found.items() if position is not None}
    if asked.header or any(position is not None for position in found.values()):
        raise _missing_columns(place, "column", missing, cells, asked)
    if len(cells) in (len(asked.own), len(asked.needed)):
        return {}
    count = "1 column" if len(cells) == 1 else f"{len(cells)} columns"
    marks = {";": "semicolons", "\t": "tabs", ",": "commas"}
    other = next((name for mark, name in marks.items() if len(cells) == 1 and mark in cells[0]), "")
    raise DataError(
        f"{place}: {count} found, {len(asked.own)} expected ({', '.join(asked.own.values())}), and no header line that"
        " names them" + (f"; are its columns separated by {other}?" if other else ""),
        "Separate columns by tabs in .tsv and by commas in .csv; with more of them, give a header line with their"
        f" names, or say which of yours they are: --column {next(iter(asked.own))}=YOURS (in a recipe: columns)."
        f" Needed: {asked.described()}.",
    )


def _column(place: str, cells: list[str], name: str) -> int | None:
    names = [cell.strip() for cell in cells]
    found = [number for number, cell in enumerate(names) if cell == name]
    found = found or [number for number, cell in enumerate(names) if cell.casefold() == name.casefold()]
    if len(found) > 1:
        raise DataError(f"{place}: two columns are called {name!r}", "Rename one of them in the header line.")
    return found[0] if found else None


def _missing_columns(place: str, what: str, missing: list[str], there: list[str], asked: _Wanted) -> DataError:
    listed = ", ".join(name.strip() for name in there[:20]) + (", ..." if len(there) > 20 else "")
    named = " and no ".join(repr(asked.own[name]) for name in missing)
    return DataError(
        f"{place}: no {what} {named} in it; it has: {listed}",
        f"Say what it is called here: --column {missing[0]}=YOURS (in a recipe: columns). Needed: {asked.described()}.",
    )
