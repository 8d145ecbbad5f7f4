"""Tables as LaTeX: read back by a small reader of its own, since no TeX is asked for here."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unibert.languages import LANGUAGES
from unibert.report.contents import LANGUAGE_COLUMNS, language_cells
from unibert.report.latex import to_latex
from unibert.report.latex_text import latex_text, writable
from unibert.report.tables import Cell, Column, Table, words

ACCENTS = dict(
    zip(
        "`'^~\"Hrvu=.ckdb",
        "\u0300\u0301\u0302\u0303\u0308\u030b\u030a\u030c\u0306\u0304\u0307\u0327\u0328\u0323\u0331",
        strict=True,
    )
)
COMMANDS = {
    "textbackslash": "\\", "textasciicircum": "^", "textasciitilde": "~", "textless": "<", "textgreater": ">",
    "textbar": "|", "textquotedbl": '"', "textasciigrave": "`", "textquotedblleft": "“", "textquotedblright": "”",
    "textquoteleft": "‘", "textquoteright": "’", "ldots": "…", "S": "§", "ss": "ß", "ae": "æ", "AE": "Æ", "oe": "œ",
    "OE": "Œ", "o": "ø", "O": "Ø", "l": "ł", "L": "Ł", "dj": "đ", "DJ": "Đ", "dh": "ð", "DH": "Ð", "th": "þ",
    "TH": "Þ", "ng": "ŋ", "NG": "Ŋ", "i": "ı",
}  # fmt: skip
MATHS = {"-": "−", r"\pm": "±", r"\times": "×", r"\cdot": "·", r"\rightarrow": "→", r"\propto": "∝", r"\leq": "≤",
         r"\geq": "≥", r"\approx": "≈", r"\alpha": "α", r"\lambda": "λ", "^2": "²", r"^\circ": "°"}  # fmt: skip
PIECE = re.compile(
    r"""\\(?P<accent>textcommabelow|[`'^~"=.]|[Hrvuckdb](?={)){(?P<dotless>\\?)(?P<letter>\w)}"""
    r"|\\(?P<command>[A-Za-z]+){}|\\(?P<escaped>[{}$&%#_])|\$(?P<maths>[^$]+)\$|{(?P<grouped>[][*])}|(?P<dash>---?)"
    r"|(?P<nothing>{})|(?P<tie>~)|(?P<plain>[^\\{}$&%#_^~<>|\"`\n])"
)


def read_back(source: str) -> str:
    """The text that LaTeX would set; fails on anything that a text may not hold."""
    text, place = "", 0
    while place < len(source):
        match = PIECE.match(source, place)
        assert match, f"not a text in LaTeX: {source[place : place + 20]!r}"
        place = match.end()
        found = match.groupdict()
        if found["accent"]:
            mark = "\u0326" if found["accent"] == "textcommabelow" else ACCENTS[found["accent"]]
            assert bool(found["dotless"]) == (found["letter"] in "ij" and unicodedata.combining(mark) == 230)
            text += unicodedata.normalize("NFC", found["letter"] + mark)
        elif found["maths"]:
            text += MATHS[found["maths"]]
        elif found["command"]:
            text += COMMANDS[found["command"]]
        elif found["dash"]:
            text += "—" if found["dash"] == "---" else "–"
        elif found["tie"]:
            text += "\u00a0"
        else:
            text += found["escaped"] or found["grouped"] or found["plain"] or ""
    assert source.isascii()
    return text


def rows_of(source: str) -> list[list[str]]:
    """The cells between rules of every tabular or longtable, headings left out; checks that all is closed."""
    assert source.isascii()
    opened: list[str] = []
    for what, name in re.findall(r"\\(begin|end){(\w+)}", source):
        if what == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert opened == []
    bare = re.sub(r"\\[\\{}]", "", source)
    assert bare.count("{") == bare.count("}")
    rows = []
    bodies = r"(?:\\endfoot|\\begin{tabular}[^\n]*\n\\toprule\n[^\n]*\n\\midrule)\n(.*?)\\(?:bottomrule|end{longtable})"
    for body in re.findall(bodies, source, re.DOTALL):
        lines = re.sub(r"^\\(?:midrule|addlinespace|end\w+|toprule)$", "", body, flags=re.MULTILINE).splitlines()
        rows += [re.split(r"(?<!\\)&", line.removesuffix(r"\\")) for line in lines if line.endswith(r"\\")]
    return [[cell.strip() for cell in row] for row in rows]


def board(rows: list[list[Cell]], languages: int = 1, **more) -> Table:
    columns = [Column("Model", False), Column("Setting", False), *(Column(f"x{n}") for n in range(languages))]
    return Table("zoo", "Animals", columns, rows, **{"heading_columns": 2, **more})


@given(st.text(st.characters(max_codepoint=0x1FF, exclude_categories=["Cs"])))
def test_any_latin_text_can_be_read_back_or_is_told_by_its_number(text):
    source = latex_text(text)
    known = unicodedata.normalize("NFC", "".join(
        sign for sign in " ".join(text.replace("\u00a0", "\0").split())
        if sign == "\0" or unicodedata.category(sign) not in ("Cc", "Cf")
    ).replace("\0", "\u00a0"))  # fmt: skip
    expected = "".join(sign if writable(sign) or sign == " " else f"[U+{ord(sign):04X}]" for sign in known)
    assert read_back(source) == expected


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("50 % of a_b & c#1", r"50 \% of a\_b \& c\#1"),
        ("−1.23 ± 0.4", r"$-$1.23 $\pm$ 0.4"),
        ("C:\\temp{x}^~$", r"C:\textbackslash{}temp\{x\}\textasciicircum{}\textasciitilde{}\$"),
        ("Čeština, Íslenska, Română", r"\v{C}e\v{s}tina, \'{I}slenska, Rom\^{a}n\u{a}"),
        ("Lietuvių, Yorùbá", r"Lietuvi\k{u}, Yor\`{u}b\'{a}"),
        ("--set a=[1]", r"-{}-set a={[}1{]}"),
        ("fine-tuned", "fine-tuned"),
        ("a — b – c", "a --- b -- c"),
        ("í", r"\'{\i}"),
        ("中", "{[}U+4E2D{]}"),
    ],
)
def test_text(text, source):
    assert latex_text(text) == source


def test_every_language_has_a_name_that_can_be_written():
    rows = [language_cells(code) for code in LANGUAGES]
    read = rows_of(to_latex(Table("names", "Names", LANGUAGE_COLUMNS, rows)))
    assert len(read) == len(LANGUAGES)
    for (code, entry), (_, name, native) in zip(LANGUAGES.items(), read, strict=True):
        assert read_back(name) == entry.name
        assert read_back(native) == (entry.native.replace("ʻ", "‘") if writable(entry.native) else entry.name), code
    natives = {row[0]: read_back(row[2]) for row in read}
    assert (natives["de"], natives["cs"], natives["ru"], natives["az"]) == (
        "Deutsch",
        "Čeština",
        "Russian",
        "Azerbaijani",
    )


def test_best_margins_missing_cells_and_groups():
    rows = [
        [words("small"), words("each"), Cell("61.20", 61.2, small="± 0.31")],
        [words("small"), words("all"), Cell("63.00", 63.0, strong=True)],
        [words("base"), words("each"), Cell("—", note="not run: 3 % left")],
    ]
    source = to_latex(board(rows, notes=["The mean over seeds."]))
    assert rows_of(source) == [
        ["small", "each", r"61.20 {\scriptsize $\pm$ 0.31}"],
        ["small", "all", r"\textbf{63.00}"],
        ["base", "each", r"---\textsuperscript{a}"],
    ]
    assert "\\addlinespace\nbase" in source and source.count("addlinespace") == 1
    below = source.split("\\bottomrule")[1]
    assert "The mean over seeds." in below and r"\textsuperscript{a} not run: 3 \% left" in below
    assert source.startswith("% Needs \\usepackage[T1]{fontenc} \\usepackage{booktabs}\n")
    assert r"\caption{Animals}\label{tab:zoo}" in source and "{llr}" in source


@pytest.mark.parametrize("languages", [1, 5, 15, 21, 107])
def test_wide_tables_are_cut_and_lose_nothing(languages):
    numbers = [[f"{row}{column:03}" for column in range(languages)] for row in range(3)]
    rows = [
        [words(f"m{row}"), words("all"), *(Cell(text, int(text)) for text in its)] for row, its in enumerate(numbers)
    ]
    source = to_latex(board(rows, languages))
    parts = re.findall(r"\\begin{tabular}{(\w+)}", source)
    read = rows_of(source)
    assert len(read) == 3 * len(parts)
    for row in range(3):
        its = [cells for cells in read if cells[0] == f"m{row}"]
        assert [cell for cells in its for cell in cells[2:]] == numbers[row]
    # 84 letters, of which a column takes its text and two more.
    assert all(sum(4 + 2 for kind in part) <= 84 for part in parts)
    assert max(map(len, parts)) - min(map(len, parts)) <= max(map(len, parts)) / 2 + 2
    assert source.count(r"\label{") == 1
    assert source.count(r"\addtocounter{table}{-1}") == source.count(r"\caption") - 1


def test_long_tables_go_on_over_pages():
    rows = [[words(f"m{number}"), words("all"), Cell("1", 1)] for number in range(107)]
    rows.append([words("all"), words(""), Cell("107", 107)])
    source = to_latex(board(rows, total=True))
    assert "longtable" in source.splitlines()[0] and "\\begin{table}" not in source
    assert [row[0] for row in rows_of(source)] == [row[0].text for row in rows]
    assert "\\midrule\nall &" in source
    assert source.count("\\endhead") == source.count("\\endfirsthead") == 1


def test_long_texts_become_paragraphs_and_long_headings_are_broken():
    columns = [Column("Part", False), Column("Hidden characters removed from")]
    source = to_latex(Table("t", "T", columns, [[words("a sentence " * 9), Cell("1", 1)]]))
    assert r">{\raggedright\arraybackslash}p{17em}r" in source and "{array}" in source.splitlines()[0]
    assert r"\shortstack[r]{Hidden\\characters\\removed from}" in source


@given(st.lists(st.tuples(st.text(max_size=60), st.text(max_size=12), st.text(max_size=12)), max_size=60))
def test_any_names_make_a_table_of_that_many_rows(texts):
    rows = [[words(model), words("all"), Cell(text, note=note)] for model, text, note in texts]
    assert len(rows_of(to_latex(board(rows)))) == len(rows)
