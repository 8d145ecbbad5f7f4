"""Tables hold whatever text the files bring, in all three formats."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unibert.report.tables import Cell, Column, Table, marks, to_csv, to_html, to_markdown, words

# csv's reader takes \r and \0 apart from the rest; names in files hold neither.
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)


def table(rows: list[list[Cell]], **more) -> Table:
    return Table("zoo", "Animals", [Column("Name", False), Column("Weight", unit="kg")], rows, **more)


class Cells(HTMLParser):
    def __init__(self, source: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.sort: list[str | None] = []
        self.stack: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.stack.append(tag)
        if tag in ("td", "th") and "data-sort" in dict(attrs):
            self.cells.append("")
            self.sort.append(dict(attrs)["data-sort"])

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if self.cells and {"td", "th"} & set(self.stack):
            self.cells[-1] += data


@given(st.lists(st.tuples(texts, st.floats(allow_nan=False, allow_infinity=False)), min_size=1, max_size=5))
def test_any_text_survives_in_csv_and_html(rows):
    made = table([[words(name), Cell(f"{weight:.1f}", weight)] for name, weight in rows])
    read = list(csv.reader(io.StringIO(to_csv(made))))
    assert read[0] == ["Name", "Weight (kg)"]
    assert [(name, float(weight)) for name, weight in read[1:]] == rows
    page = Cells(to_html(made))
    assert page.stack == []
    assert page.cells[0::2] == [name for name, _ in rows]
    assert [float(value or "nan") for value in page.sort[1::2]] == [weight for _, weight in rows]


@given(st.lists(texts, min_size=1, max_size=5))
def test_any_text_stays_in_its_cell_in_markdown(names):
    lines = to_markdown(table([[words(name), Cell("1", 1)] for name in names])).splitlines()
    body = lines[4:]
    assert len(body) == len(names)
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 3 for line in body)
    assert not re.search(r"(?<!\\)<", "".join(body))


def test_total_is_apart_so_that_sorting_leaves_it_below():
    made = to_html(table([[words("ant"), Cell("1", 1)], [words("all"), Cell("1", 1)]], total=True))
    assert made.index("ant") < made.index("<tfoot>") < made.index("all")


def test_empty_cell_says_why_and_has_no_value():
    made = table([[words("ant"), Cell("—", note="not weighed")]])
    assert 'title="not weighed"' in to_html(made) and 'data-sort=""' in to_html(made)
    assert to_csv(made).splitlines()[1] == "ant,"


def test_row_of_another_width_is_refused():
    with pytest.raises(ValueError, match="zoo"):
        table([[words("ant")]])


def test_cells_that_explain_themselves_have_a_letter_and_the_reason_below():
    rows = [
        [words("ant"), Cell("—", note="not weighed")],
        [words("bee"), Cell("—", note="flew | away")],
        [words("cow"), Cell("—", note="not weighed")],
    ]
    made = table(rows, notes=["In kilograms."])
    assert marks(made) == {"not weighed": "a", "flew | away": "b"}
    assert to_markdown(made).splitlines()[4:] == [
        "| ant | — (a) |", "| bee | — (b) |", "| cow | — (a) |", "",
        "- In kilograms.", "- (a) not weighed", r"- (b) flew \| away",
    ]  # fmt: skip
    page = to_html(made)
    assert re.findall(r"</abbr><sup>(\w+)</sup>", page) == ["a", "b", "a"]
    assert "<li><sup>a</sup> not weighed</li>\n<li><sup>b</sup> flew | away</li>" in page


def test_letters_go_on_after_z():
    rows = [[words(f"x{number}"), Cell("—", note=f"reason {number}")] for number in range(26 * 27 + 1)]
    letters = list(marks(table(rows)).values())
    assert letters[:2] + letters[25:28] + letters[-2:] == ["a", "b", "z", "aa", "ab", "zz", "aaa"]
    assert len(set(letters)) == len(rows)


def test_what_stands_beside_a_value_has_columns_of_its_own_in_csv():
    rows = [
        [words("ant"), Cell("1", 1, small="± 0.5", parts={"±": 0.5})],
        [words("bee"), Cell("2", 2, small="(3 hives)", parts={"hives": 3})],
        [words("cow"), Cell("—", note="not weighed")],
    ]
    assert list(csv.reader(io.StringIO(to_csv(table(rows))))) == [
        ["Name", "Weight (kg)", "Weight, ±", "Weight, hives"], ["ant", "1", "0.5", ""], ["bee", "2", "", "3"],
        ["cow", "", "", ""],
    ]  # fmt: skip
