"""One table, three ways to write it: HTML for the page, Markdown for report.md, CSV for other programs.

The fourth, LaTeX for papers, is `report.latex`.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape

Value = str | int | float | None


@dataclass(frozen=True)
class Column:
    """A column's heading; `numeric` ones are set to the right. `unit` is only written into CSV headings."""

    label: str
    numeric: bool = True
    unit: str = ""


@dataclass(frozen=True)
class Cell:
    """What is shown (`text`) and what it stands for (`value`: sorting and CSV).

    `small` is shown after the text in smaller type, for example a margin of error, and `parts` are the values in it by
    name: in CSV each has a column of its own, `HEADING, NAME`. `note` explains an empty or shortened cell, below the
    table under a raised letter.
    """

    text: str
    value: Value = None
    small: str = ""
    strong: bool = False
    note: str = ""
    language: str = ""
    """The language code of the text, so that browsers and readers choose the right voice and font."""
    parts: Mapping[str, Value] = field(default_factory=dict)


def words(text: str, strong: bool = False) -> Cell:
    """A cell of plain text."""
    return Cell(text, text, strong=strong)


@dataclass(frozen=True)
class Table:
    """A captioned table. `name` is its file name and anchor; `total`: the last row is a sum and is not sorted."""

    name: str
    caption: str
    columns: list[Column]
    rows: list[list[Cell]]
    notes: list[str] = field(default_factory=list)
    total: bool = False
    heading_columns: int = 1
    """So many columns on the left name the row."""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.name}: a row of {len(row)} cells under {len(self.columns)} columns")


def marks(table: Table) -> dict[str, str]:
    """Every explanation of a cell with its letter, in the order of the cells: a to z, then aa, ab and so on."""
    found: dict[str, str] = {}
    for note in (cell.note for row in table.rows for cell in row if cell.note):
        found.setdefault(note, _letters(len(found)))
    return found


def _letters(number: int) -> str:
    return (_letters(number // 26 - 1) if number >= 26 else "") + chr(ord("a") + number % 26)


def to_csv(table: Table) -> str:
    """The raw values under the columns' headings, RFC 4180 with plain line ends; empty where there is no value.

    What stands beside a value, such as its margin of error, has a column of its own to the right of it.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    cells_of = [[row[position] for row in table.rows] for position in range(len(table.columns))]
    parts = [list(dict.fromkeys(name for cell in cells for name in cell.parts)) for cells in cells_of]
    headings = []
    for column, names in zip(table.columns, parts, strict=True):
        headings.append(f"{column.label} ({column.unit})" if column.unit else column.label)
        headings += [f"{column.label}, {name}" for name in names]
    writer.writerow(headings)
    for row in table.rows:
        values = []
        for cell, names in zip(row, parts, strict=True):
            values += [cell.value, *(cell.parts.get(name) for name in names)]
        writer.writerow(["" if value is None else value for value in values])
    return stream.getvalue()


def to_markdown(table: Table) -> str:
    """A GitHub-style table with the caption above and the notes below."""
    lines = [f"**{plain_markdown(table.caption)}**", ""]
    lines.append("| " + " | ".join(plain_markdown(column.label) for column in table.columns) + " |")
    lines.append("|" + "|".join("---:" if column.numeric else "---" for column in table.columns) + "|")
    letters = marks(table)
    for row in table.rows:
        lines.append("| " + " | ".join(_markdown_cell(cell, letters) for cell in row) + " |")
    notes = [plain_markdown(note) for note in table.notes]
    notes += [f"({letter}) {plain_markdown(note)}" for note, letter in letters.items()]
    if notes:
        lines += ["", *(f"- {note}" for note in notes)]
    return "\n".join(lines) + "\n"


def _markdown_cell(cell: Cell, letters: Mapping[str, str]) -> str:
    text = f"**{plain_markdown(cell.text)}**" if cell.strong else plain_markdown(cell.text)
    text += f" ({letters[cell.note]})" if cell.note else ""
    return f"{text} {plain_markdown(cell.small)}" if cell.small else text


def plain_markdown(text: str) -> str:
    """Text on one line, its Markdown and HTML signs escaped: names come from files and may hold anything."""
    return re.sub(r"([\\`*_\[\]<>|~&$])", r"\\\1", " ".join(text.split()))


def to_html(table: Table) -> str:
    """The table in a scrolling region of its own, ready for sorting: every cell carries its value.

    All text is escaped; the result can be put on the page as it is.
    """
    long = " long" if len(table.rows) > 30 else ""
    heading = f"table-{table.name}-caption"
    parts = [
        f'<div class="scroll{long}" role="region" aria-labelledby="{heading}" tabindex="0">',
        f'<table id="table-{table.name}" class="sortable">',
        f'<caption id="{heading}"><span>{escape(table.caption)}</span></caption>',
        "<thead><tr>",
    ]
    for column in table.columns:
        kind = "number" if column.numeric else "text"
        parts.append(f'<th scope="col" class="{kind}" data-kind="{kind}">{escape(column.label)}</th>')
    parts.append("</tr></thead>")
    body, total = (table.rows[:-1], table.rows[-1:]) if table.total else (table.rows, [])
    letters = marks(table)
    parts.append("<tbody>")
    parts += [_html_row(table, row, letters) for row in body]
    parts.append("</tbody>")
    if total:
        parts += ["<tfoot>", *(_html_row(table, row, letters) for row in total), "</tfoot>"]
    parts.append("</table></div>")
    notes = [escape(note) for note in table.notes]
    notes += [f"<sup>{letter}</sup> {escape(note)}" for note, letter in letters.items()]
    if notes:
        parts += ['<ul class="notes">', *(f"<li>{note}</li>" for note in notes), "</ul>"]
    return "\n".join(parts)


def _html_row(table: Table, row: list[Cell], letters: Mapping[str, str]) -> str:
    cells = []
    for position, (column, cell) in enumerate(zip(table.columns, row, strict=True)):
        tag, scope = ("th", ' scope="row"') if position < table.heading_columns else ("td", "")
        sort = (
            "" if cell.value is None or (isinstance(cell.value, float) and math.isnan(cell.value)) else str(cell.value)
        )
        text = escape(cell.text)
        if cell.language:
            # Names in right-to-left scripts must not turn the rest of the row around.
            text = f'<bdi lang="{escape(cell.language)}">{text}</bdi>'
        if cell.strong:
            text = f"<strong>{text}</strong>"
        if cell.note:
            text = f'<abbr title="{escape(cell.note)}">{text}</abbr><sup>{letters[cell.note]}</sup>'
        if cell.small:
            text += f" <small>{escape(cell.small)}</small>"
        kind = "number" if column.numeric else "text"
        cells.append(f'<{tag}{scope} class="{kind}" data-sort="{escape(sort)}">{text}</{tag}>')
    return "<tr>" + "".join(cells) + "</tr>"
