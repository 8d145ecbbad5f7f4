"""Reading tables: every accepted form, and an error with file and line for every other."""

import csv
import gzip
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unibert.errors import DataError
from unibert.tasks.tables import read_rows

WANTED = {"premise": "a text", "hypothesis": "another one", "label": "a name"}
ROWS = [
    {"premise": "It rains.", "hypothesis": "It is wet, out", "label": "yes"},
    {"premise": "Él «dijo»", "hypothesis": "他说", "label": "no"},
]
JSON_ROWS = [json.dumps(row, ensure_ascii=False) for row in ROWS]


def rows_of(path, columns=None, **options):
    return [row for _, row in read_rows(path, WANTED, columns or {}, **options)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("f.tsv", "It rains.\tIt is wet, out\tyes\nÉl «dijo»\t他说\tno\n"),
        ("f.tsv", "premise\thypothesis\tlabel\nIt rains.\tIt is wet, out\tyes\nÉl «dijo»\t他说\tno"),
        ("f.TSV", "\ufeffPremise\tHypothesis\tLABEL\r\nIt rains.\tIt is wet, out\tyes\r\n\r\nÉl «dijo»\t他说\tno\r\n"),
        ("f.tsv", "id\tlabel\thypothesis\tpremise\n1\tyes\tIt is wet, out\tIt rains.\n2\tno\t他说\tÉl «dijo»\n"),
        ("f.tsv", "It rains.\tIt is wet, out\tyes\rÉl «dijo»\t他说\tno\r"),
        ("f.csv", 'It rains.,"It is wet, out",yes\nÉl «dijo»,他说,no\n'),
        ("f.csv", ',label,premise,hypothesis\n0,yes,It rains.,"It is wet, out"\n\n1,no,Él «dijo»,他说\n'),
        ("f.csv", '\ufeff"premise","hypothesis","label"\r\nIt rains.,"It is wet, out",yes\r\nÉl «dijo»,他说,no\r\n'),
        ("f.jsonl", "\n".join(JSON_ROWS)),
        ("f.json", "\n" + "\r\n\r\n".join(JSON_ROWS) + "\n"),
        ("f.jsonl", "\n".join(json.dumps({"id": 1, **row}) for row in ROWS)),
    ],
)
def test_every_form_reads_the_same(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text.encode())
    assert rows_of(path) == ROWS
    zipped = tmp_path / f"{name}.gz"
    zipped.write_bytes(gzip.compress(text.encode(), mtime=0))
    assert rows_of(zipped) == ROWS


def test_lines_are_counted_through_quoted_line_ends(tmp_path):
    path = tmp_path / "f.csv"
    path.write_bytes(b'premise,hypothesis,label\n"a\nb","c ""d""\r\ne",yes\n\ng,h,no\n')
    assert list(read_rows(path, WANTED, {})) == [
        (2, {"premise": "a\nb", "hypothesis": 'c "d"\r\ne', "label": "yes"}),
        (6, {"premise": "g", "hypothesis": "h", "label": "no"}),
    ]


def test_tabs_alone_separate_in_tsv(tmp_path):
    path = tmp_path / "f.tsv"
    path.write_bytes('"He said, "no"\ta\u2028b\u0085c\tx\n\t\t\n'.encode())
    first, second = list(read_rows(path, WANTED, {}))
    assert first == (1, {"premise": '"He said, "no"', "hypothesis": "a\u2028b\u0085c", "label": "x"})
    assert second == (2, {"premise": "", "hypothesis": "", "label": ""})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("f.tsv", "label\ttext_a\ttext_b\nno\tp\th\n"),
        ("f.csv", "text_b,label,text_a\nh,no,p\n"),
        ("f.jsonl", '{"text_a": "p", "text_b": "h", "label": "no"}'),
    ],
)
def test_columns_by_other_names(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    expected = [{"premise": "p", "hypothesis": "h", "label": "no"}]
    assert rows_of(path, {"premise": "text_a", "hypothesis": "text_b"}) == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("f.tsv", "p\th\n"),
        ("f.tsv", "hypothesis\tpremise\tid\nh\tp\t3\n"),
        ("f.csv", "premise,hypothesis\np,h\n"),
        ("f.jsonl", '{"premise": "p", "hypothesis": "h"}'),
    ],
)
def test_an_optional_column_may_be_missing_but_not_when_it_is_named(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    assert rows_of(path, optional=["label"]) == [{"premise": "p", "hypothesis": "h"}]
    with pytest.raises(DataError, match="'gold'"):
        rows_of(path, {"label": "gold"}, optional=["label"])
    with pytest.raises(DataError, match="label"):
        rows_of(path)


def test_an_optional_column_that_is_there_is_read(tmp_path):
    path = tmp_path / "f.jsonl"
    path.write_text("\n".join(JSON_ROWS) + '\n{"premise": "p", "hypothesis": "h"}')
    with pytest.raises(DataError, match=r"f\.jsonl:3: no field 'label'"):
        rows_of(path, optional=["label"])


def test_a_cell_may_be_as_long_as_the_file(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text('a,b,c\n"' + "x" * 140_000 + '",b,c\n')
    assert [len(row["premise"]) for row in rows_of(path)] == [1, 140_000]


@pytest.mark.parametrize(
    ("name", "data", "parts"),
    [
        ("f.tsv", b"", ["f.tsv", "empty"]),
        ("f.tsv", b"premise\thypothesis\tlabel\n", ["f.tsv", "no row"]),
        ("f.txt", b"a\tb\tc\n", ["f.txt", "'.txt'", ".jsonl"]),
        ("f", b"a\tb\tc\n", ["f: its name has no ending"]),
        ("f.tsv", b"a\tb\tc\na\tb\n", ["f.tsv:2", "2 columns found", "3 expected"]),
        ("f.tsv", b"a\tb\tc\n\na\tb\tc\td\n", ["f.tsv:3", "4 columns found"]),
        ("f.tsv", b"a\tb\n", ["f.tsv:1", "2 columns found, 3 expected", "premise, hypothesis, label", "no header"]),
        (
            "f.tsv",
            b"premise\ttext\tlabel\tid\n",
            ["f.tsv:1", "no column 'hypothesis'", "text, label, id", "--column hypothesis=YOURS"],
        ),
        ("f.tsv", b"x\ty\tlabel\n", ["no column 'premise' and no 'hypothesis'", "--column premise=YOURS"]),
        ("f.tsv", b"premise\tpremise\thypothesis\tlabel\n", ["f.tsv:1", "two columns are called 'premise'"]),
        ("f.csv", b"premise;hypothesis;label\na;b;c\n", ["f.csv:1", "1 column found", "separated by semicolons?"]),
        ("f.csv", b"a\tb\tc\n", ["f.csv:1", "separated by tabs?"]),
        ("f.tsv", b"a,b,c\n", ["f.tsv:1", "separated by commas?"]),
        ("f.csv", b'a,b,c\n\n"a,b,c\na,b,c\n', ["f.csv:3", "not a row", "quotes"]),
        ("f.csv", b'a,b,c\n"a"x,b,c\n', ["f.csv:2", "not a row"]),
        ("f.csv", b"a,b,c\na,b\n", ["f.csv:2", "2 columns found"]),
        ("f.csv", "a,b,c\n\nespañol,b,c\n".encode("latin-1"), ["f.csv:3", "not UTF-8"]),
        ("f.jsonl", b"{}\n", ["f.jsonl:1", "no field 'premise' and no 'hypothesis' and no 'label'"]),
        ("f.jsonl", JSON_ROWS[0].encode() + b"\n\n{'a': 1}\n", ["f.jsonl:3", "not a JSON object on one line"]),
        ("f.json", b'{\n  "premise": "p"\n}\n', ["f.json:1", "jq -c . FILE"]),
        ("f.json", b'[{"premise": "p"}]', ["f.json:1", "a list where an object should be", "jq -c '.[]'"]),
        ("f.jsonl", b"null\n", ["f.jsonl:1", "null where an object should be"]),
        ("f.jsonl", b"[" * 100_000, ["f.jsonl:1", "not a JSON object"]),
        ("f.jsonl", b'{"premise": ' + b"1" * 5000 + b"}", ["f.jsonl:1", "not a JSON object"]),
        ("f.tsv.gz", gzip.compress(b"a\tb\tc\n" * 50, mtime=0)[:-12], ["damaged gzip"]),
    ],
)
def test_bad_files_are_told_with_their_line(tmp_path, name, data, parts):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        rows_of(path)
    assert caught.value.fix
    for part in parts:
        assert part in str(caught.value)


def test_other_names_are_only_for_what_the_task_reads(tmp_path):
    path = tmp_path / "f.tsv"
    path.write_text("a\tb\tc\n")
    with pytest.raises(DataError, match="'text'") as caught:
        rows_of(path, {"text": "a"})
    assert "premise, hypothesis, label" in caught.value.fix
    with pytest.raises(DataError, match="no column 'a'"):  # a sample is not taken for the header that is missing
        path.write_text("x\tb\tc\n")
        rows_of(path, {"premise": "a"})


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        rows_of(tmp_path / "nothing.csv")


ANY = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
LINE = st.text(st.characters(exclude_characters="\t\r\n", exclude_categories=("Cs",)), max_size=8)


@given(st.lists(st.tuples(ANY, ANY, ANY), min_size=1, max_size=6))
def test_what_csv_and_json_can_spell_is_read_back(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("tables")
    written = io.StringIO(newline="")
    csv.writer(written).writerows([("premise", "hypothesis", "label"), *rows])
    (folder / "f.csv").write_bytes(written.getvalue().encode())
    expected = [dict(zip(WANTED, row, strict=True)) for row in rows]
    assert rows_of(folder / "f.csv") == expected
    (folder / "f.jsonl").write_text("\n".join(json.dumps(row) for row in expected))
    assert rows_of(folder / "f.jsonl") == expected


@given(st.lists(st.tuples(LINE, LINE, LINE), min_size=1, max_size=6))
def test_what_tsv_can_spell_is_read_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("tables") / "f.tsv"
    lines = ["\t".join(row) for row in (("premise", "hypothesis", "label"), *rows)]
    path.write_bytes("\n".join(lines).encode())
    assert rows_of(path) == [dict(zip(WANTED, row, strict=True)) for row in rows]
