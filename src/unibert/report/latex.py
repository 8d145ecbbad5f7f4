r"""A table as LaTeX for a paper: booktabs rules, no vertical lines, notes below; plain ASCII for any pdfLaTeX.

A table that is wider than the page is cut into parts of as many columns, each with the columns that name the row: the
type stays legible, where shrinking it or turning the page would not help a benchmark of fifteen languages. The parts
stand one below the other; those of a long table are `longtable`s, which go on over pages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from math import ceil

from unibert.languages import language
from unibert.report.latex_text import latex_text, writable
from unibert.report.tables import Cell, Table, marks

_WIDTH = 84
"""Letters of \\footnotesize on a line of LaTeX's article class (345 pt, 8 pt type, about 4.1 pt a letter)."""
_GAP = 2
"""Letters that the space between two columns takes."""
_PARAGRAPH = 34
"""Letters from which on a column of text is set as paragraphs of this width."""
_HEADING = 13
"""Letters of a heading's line; longer headings are broken between words."""
_LINES = 48
"""Rows that fit on a page with caption and notes; more make a table that goes on over pages."""


def to_latex(table: Table) -> str:
    r"""The table as it is put into a paper with `\input`.

    Names in a language's own script are given in English where the encoding T1 has not all of their letters. A cell
    that explains itself (`Cell.note`) gets a raised letter, and the explanation stands below with the table's notes.

    Returns:
        LaTeX in ASCII; a comment at the top names the packages that it needs.
    """
    return _Writer(table).whole()


Part = Sequence[int]
"""The columns that stand side by side, those that name the row first."""


class _Writer:
    """One table on its way to LaTeX: the texts of its cells, the width of its columns, the marks of its notes."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.marks = marks(table)
        self.headings = [_broken(column.label) for column in table.columns]
        self.widths = [self._width(position) for position in range(len(table.columns))]

    def whole(self) -> str:
        parts = self._parts()
        long = len(self.table.rows) > _LINES
        packages = [
            "booktabs",
            *(["array"] if any(map(self._is_paragraph, range(len(self.widths)))) else []),
            *(["longtable"] if long else []),
        ]
        needed = "".join(f" \\usepackage{{{package}}}" for package in packages)
        lines = [f"% Needs \\usepackage[T1]{{fontenc}}{needed}"]
        lines += self._long(parts) if long else self._floating(parts)
        return "\n".join(lines) + "\n"

    def _floating(self, parts: Sequence[Part]) -> Iterator[str]:
        """One table that floats, or several of one number where the parts do not fit onto one page."""
        together = max(1, _LINES // (len(self.table.rows) + 3))
        floats = [parts[first : first + together] for first in range(0, len(parts), together)]
        for number, found in enumerate(floats, start=1):
            if number > 1:
                yield "\\addtocounter{table}{-1}"
            yield from ("\\begin{table}", "\\centering", "\\footnotesize", "\\setlength{\\tabcolsep}{4pt}")
            yield self._caption(number, len(floats))
            for position, part in enumerate(found):
                yield from ["\\par\\medskip"] * bool(position)
                yield f"\\begin{{tabular}}{{{self._layout(part)}}}"
                yield from ("\\toprule", self._heading(part), "\\midrule", *self._body(part), "\\bottomrule")
                yield "\\end{tabular}"
            if number == len(floats):
                yield from self._notes()
            yield "\\end{table}"

    def _long(self, parts: Sequence[Part]) -> Iterator[str]:
        """A table that goes on over pages for each part, all of one number."""
        yield from ("{\\footnotesize", "\\setlength{\\tabcolsep}{4pt}")
        for number, part in enumerate(parts, start=1):
            if number > 1:
                yield "\\addtocounter{table}{-1}"
            yield f"\\begin{{longtable}}{{{self._layout(part)}}}"
            yield f"{self._caption(number, len(parts))} \\\\"
            yield from ("\\toprule", self._heading(part), "\\midrule", "\\endfirsthead")
            yield from ("\\toprule", self._heading(part), "\\midrule", "\\endhead")
            yield from ("\\bottomrule", "\\endfoot", *self._body(part), "\\end{longtable}")
        yield from self._notes()
        yield "}"

    def _caption(self, number: int, of: int) -> str:
        which = f" (part {number} of {of})" if of > 1 else ""
        label = f"\\label{{tab:{re.sub(r'[^A-Za-z0-9:.-]', '-', self.table.name)}}}" if number == 1 else ""
        return f"\\caption{{{latex_text(self.table.caption)}{which}}}{label}"

    def _heading(self, part: Part) -> str:
        cells = []
        for position in part:
            lines = [latex_text(line) for line in self.headings[position]]
            side = "r" if self.table.columns[position].numeric else "l"
            stacked = "\\\\".join(lines)
            cells.append(lines[0] if len(lines) == 1 else f"\\shortstack[{side}]{{{stacked}}}")
        return f"{' & '.join(cells)} \\\\"

    def _body(self, part: Part) -> Iterator[str]:
        rows = self.table.rows
        for number, row in enumerate(rows):
            if self.table.total and number == len(rows) - 1:
                yield "\\midrule"
            elif self._starts_group(number):
                yield "\\addlinespace"
            yield f"{' & '.join(self._cell(row[position]) for position in part)} \\\\"

    def _starts_group(self, number: int) -> bool:
        """Whether this row is of another model than the one above, in a table of several rows to a model."""
        rows = self.table.rows
        firsts = [row[0].text for row in rows]
        grouped = self.table.heading_columns > 1 and len(set(firsts)) < len(firsts)
        return grouped and number > 0 and firsts[number] != firsts[number - 1]

    def _cell(self, cell: Cell) -> str:
        text = latex_text(shown(cell))
        text = f"\\textbf{{{text}}}" if cell.strong and text else text
        if cell.note:
            text += f"\\textsuperscript{{{self.marks[cell.note]}}}"
        return f"{text} {{\\scriptsize {latex_text(cell.small)}}}" if cell.small else text

    def _notes(self) -> Iterator[str]:
        notes = [*(latex_text(note) for note in self.table.notes)]
        notes += [f"\\textsuperscript{{{mark}}} {latex_text(note)}." for note, mark in self.marks.items()]
        if notes:
            yield "\\par\\smallskip"
            yield "\\begin{minipage}{\\linewidth}\\footnotesize\\raggedright"
            yield " \\par\n".join(notes)
            yield "\\end{minipage}"

    def _layout(self, part: Part) -> str:
        return "".join(self._kind(position) for position in part)

    def _kind(self, position: int) -> str:
        if self._is_paragraph(position):
            return f">{{\\raggedright\\arraybackslash}}p{{{_PARAGRAPH * 0.5:g}em}}"
        return "r" if self.table.columns[position].numeric else "l"

    def _is_paragraph(self, position: int) -> bool:
        return not self.table.columns[position].numeric and self.widths[position] > _PARAGRAPH

    def _width(self, position: int) -> int:
        """Letters of the widest line of a column."""
        cells = [len(shown(row[position])) + len(row[position].small) for row in self.table.rows]
        return max([*cells, *(len(line) for line in self.headings[position])], default=0)

    def _parts(self) -> list[Part]:
        """The columns dealt out over parts of about equal width that fit onto the page."""
        taken = [min(width, _PARAGRAPH) + _GAP for width in self.widths]
        names = list(range(self.table.heading_columns))
        others = list(range(self.table.heading_columns, len(taken)))
        room = max(_WIDTH - sum(taken[position] for position in names), 1)
        number = max(1, ceil(sum(taken[position] for position in others) / room))
        while True:
            # As evenly as can be; one column that is wider than the page still stands somewhere.
            length = max(1, ceil(len(others) / number))
            dealt = [others[first : first + length] for first in range(0, len(others), length)] or [[]]
            if length == 1 or all(sum(taken[position] for position in part) <= room for part in dealt):
                return [[*names, *part] for part in dealt]
            number += 1


def shown(cell: Cell) -> str:
    """The text of a cell as LaTeX has it: a language's own name in English where its letters cannot be written."""
    if cell.language and not writable(cell.text):
        return language(cell.language).name
    return cell.text


def _broken(label: str) -> list[str]:
    """A heading in lines of about `_HEADING` letters, broken between words."""
    lines: list[str] = []
    for word in label.split() or [""]:
        if lines and len(lines[-1]) + 1 + len(word) <= _HEADING:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
