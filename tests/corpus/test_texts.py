"""Plain text, JSON lines and Parquet: what is sound is read, what is not is counted and named."""

import bz2
import codecs
import gzip
import json
import tracemalloc
import unicodedata

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from unibert.corpus import texts
from unibert.corpus.texts import is_text, language_of_text, open_text
from unibert.errors import DataError

COMPRESS = {
    "": lambda data: data,
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".bz2": bz2.compress,
    ".zst": zstandard.compress,
}


def read(path, column="text"):
    told = []
    source = open_text(path, column, told.append)
    samples = list(source)
    assert sum(told) == path.stat().st_size, "the progress bar would not end at 100 %"
    return samples, source.damage


def lines(path, column="text"):
    return [sample.text for sample in read(path, column)[0]]


def write_objects(path, *objects):
    path.write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in objects), encoding="utf-8")
    return path


@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_plain_text_in_every_wrapping(tmp_path, ending, encoding):
    text = "Der Fluß\tfließt  schnell. \r\n\n   \nRe\u0301sume\u0301 \U00010300 ਊ\nohne Ende"
    data = (codecs.BOM_UTF16_BE if encoding == "utf-16-be" else b"") + text.encode(encoding)
    path = tmp_path / f"de.txt{ending}"
    path.write_bytes(COMPRESS[ending](data))
    samples, damage = read(path)
    assert [sample.text for sample in samples] == ["Der Fluß fließt schnell.", "Résumé \U00010300 ਊ", "ohne Ende"]
    assert {sample[1:] for sample in samples} == {("", 0, "")}
    assert damage is None


@given(st.lists(st.text(st.characters(codec="utf-8")), max_size=30), st.integers(1, 40))
def test_blocks_do_not_matter(written, size):
    data = "\n".join(written).encode()
    blocks = (data[start : start + size] for start in range(0, len(data), size))
    found = list(texts._split(texts._as_utf8(blocks)))
    expected = data.removeprefix(codecs.BOM_UTF8)
    if not data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        assert found == (expected.removesuffix(b"\n").split(b"\n") if expected else [])


@given(st.lists(st.text(st.characters(codec="utf-8")), max_size=10))
def test_samples_are_lines_in_normal_form(tmp_path_factory, written):
    path = tmp_path_factory.mktemp("lines") / "de.jsonl"
    write_objects(path, *({"text": text} for text in written))
    expected = [" ".join(line.split()) for text in written for line in text.split("\n")]
    assert lines(path) == [unicodedata.normalize("NFC", line) for line in expected if line]


def test_bad_lines_are_counted_and_the_others_kept(tmp_path):
    path = tmp_path / "de.txt"
    path.write_bytes(b"eins\n\xff\xfe zwei\ndrei\n\xc3\n")
    samples, damage = read(path)
    assert [sample.text for sample in samples] == ["eins", "drei"]
    assert damage == "de.txt: 2 of 4 lines are not UTF-8 and were left out, the first is line 2"


def test_half_a_surrogate_pair_in_utf_16_costs_one_line(tmp_path):
    path = tmp_path / "de.txt"
    path.write_bytes(codecs.BOM_UTF16_LE + "eins\n\ud800\ndrei\nvier".encode("utf-16-le", "surrogatepass") + b"\x41")
    samples, damage = read(path)
    assert [sample.text for sample in samples] == ["eins", "drei"]
    assert "1 of 3 lines are not UTF-8" in damage
    assert "ends in the middle of a character after line 3" in damage


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".zst"])
def test_a_compressed_file_that_is_cut_off_keeps_what_stands_before(tmp_path, ending):
    data = COMPRESS[ending](b"".join(b"Zeile %d ist etwas ganz anderes\n" % (n * n) for n in range(200_000)))
    path = tmp_path / f"de.txt{ending}"
    path.write_bytes(data[: len(data) * 3 // 4])
    samples, damage = read(path)
    assert len(samples) > 50_000
    assert all(sample.text == f"Zeile {n * n} ist etwas ganz anderes" for n, sample in enumerate(samples))
    assert f"in the middle after line {len(samples):,}; read the lines before it" in damage


def test_a_line_without_end_does_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(texts, "_LONGEST_LINE", 1 << 20)
    path = tmp_path / "de.txt.gz"
    path.write_bytes(gzip.compress(b"eins\n" + b"x" * (40 << 20) + b"\nzwei\n" + b"y" * (2 << 20), mtime=0))
    tracemalloc.start()
    samples, damage = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [sample.text for sample in samples] == ["eins", "zwei"]
    assert damage == "de.txt.gz: 2 of 4 lines are longer than 1 MiB and were left out, the first is line 2"
    assert peak < 8 << 20


def test_objects_carry_title_and_page(tmp_path):
    path = write_objects(
        tmp_path / "de.jsonl",
        {"text": "Absatz eins\nAbsatz  zwei\r\n\n", "title": "Der\tTitel", "id": "77"},
        "",
        {"text": "ohne Kopf"},
        {"text": "Zahl", "title": None, "id": 5},
        {"text": "lange Nummer", "title": ["x"], "id": "99999999999999999999"},
        {"text": "kein Ganzes", "id": True},
    )
    samples, damage = read(path)
    assert [tuple(sample) for sample in samples] == [
        ("Absatz eins", "Der Titel", 77, ""),
        ("Absatz zwei", "Der Titel", 77, ""),
        ("ohne Kopf", "", 3, ""),
        ("Zahl", "", 5, ""),
        ("lange Nummer", "", 5, ""),
        ("kein Ganzes", "", 6, ""),
    ]
    assert damage is None


def test_bad_objects_are_counted_by_reason(tmp_path):
    deep = "[" * 100_000
    objects = [{"text": "gut"}, "{", deep, "[1]", {"t": 1, "x": 2}, {"y": 1}, {"text": None}, {"text": 3}]
    path = write_objects(tmp_path / "de.ndjson", *objects)
    samples, damage = read(path)
    assert [sample.text for sample in samples] == ["gut"]
    assert damage == (
        "de.ndjson: 2 of 8 lines are not JSON and were left out, the first is line 2; "
        "1 of 8 lines are not a JSON object and were left out, the first is line 4; "
        "2 of 8 lines have no field 'text' and were left out, the first is line 5 (there are t, x); "
        "2 of 8 lines have a field 'text' that is not a text and were left out, the first is line 7"
    )


def test_half_a_surrogate_pair_in_json_is_no_character(tmp_path):
    path = write_objects(tmp_path / "de.json", '{"text": "a\\ud800b \\ud83d\\ude00", "title": "\\udfff t"}')
    assert [tuple(sample) for sample in read(path)[0]] == [("ab \U0001f600", "t", 1, "")]


def write_table(path, rows=1_000, group=100, **columns):
    table = {
        "id": [str(n) for n in range(1, rows + 1)],
        "url": ["https://de.wikipedia.org/wiki/X"] * rows,
        "title": [f"Seite {n}" for n in range(1, rows + 1)],
        "text": [f"Absatz {n}\n\nNoch einer von {n}" for n in range(1, rows + 1)],
        **columns,
    }
    pq.write_table(pa.table(table), path, row_group_size=group, compression="none", write_page_checksum=True)
    return path


def test_parquet_as_the_hub_has_it(tmp_path):
    samples, damage = read(write_table(tmp_path / "train-00000-of-00001.parquet"))
    assert len(samples) == 2_000
    assert tuple(samples[0]) == ("Absatz 1", "Seite 1", 1, "")
    assert tuple(samples[-1]) == ("Noch einer von 1000", "Seite 1000", 1_000, "")
    assert damage is None


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
)
def test_every_kind_of_string_column(tmp_path, kind):
    path = tmp_path / "de.parquet"
    pq.write_table(pa.table({"body": pa.array(["eins", None, "zwei"], pa.string()).cast(kind), "id": [9, 9, 10]}), path)
    samples, damage = read(path, "body")
    assert [(sample.text, sample.page_id) for sample in samples] == [("eins", 9), ("zwei", 10)]
    assert damage == "de.parquet: 1 of 3 rows have no text and were left out, the first is row 2"


def test_only_the_columns_that_are_needed_are_read(tmp_path, monkeypatch):
    asked = []
    original = pq.ParquetFile.iter_batches

    def spy(self, *arguments, columns, **named):
        asked.append(columns)
        return original(self, *arguments, columns=columns, **named)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", spy)
    read(write_table(tmp_path / "de.parquet", 10, 10))
    assert asked == [["text", "title", "id"]]


def test_parquet_without_the_column_names_those_that_are_there(tmp_path):
    samples, damage = read(write_table(tmp_path / "de.parquet", 10, 10), "content")
    assert samples == []
    assert damage == "de.parquet: no column 'content' (there are id, text, title, url)"


def test_parquet_with_two_columns_of_the_name_is_named(tmp_path):
    path = tmp_path / "de.parquet"
    pq.write_table(pa.table([["eins"], ["zwei"]], names=["text", "text"]), path)
    samples, damage = read(path)
    assert samples == []
    assert damage == "de.parquet: several columns 'text' (there are text, text)"
    pq.write_table(pa.table([["eins"], ["a"], ["b"]], names=["text", "title", "title"]), path)
    assert [sample.title for sample in read(path)[0]] == [""]


def test_parquet_with_numbers_for_text(tmp_path):
    samples, damage = read(write_table(tmp_path / "de.parquet", 10, 10, text=list(range(10))))
    assert samples == []
    assert "10 of 10 rows have a column 'text' that is not a text" in damage


def test_text_in_parquet_that_is_not_utf_8_costs_its_row(tmp_path):
    path = tmp_path / "de.parquet"
    broken = pa.StringArray.from_buffers(
        3, pa.py_buffer(pa.array([0, 1, 3, 4], pa.int32()).buffers()[1]), pa.py_buffer(b"a\xff\xfeb")
    )
    pq.write_table(pa.table({"text": broken}), path)
    samples, damage = read(path)
    assert [(sample.text, sample.page_id) for sample in samples] == [("a", 1), ("b", 3)]
    assert damage == "de.parquet: 1 of 3 rows are not UTF-8 and were left out, the first is row 2"


def test_a_damaged_row_group_costs_no_other(tmp_path):
    path = write_table(tmp_path / "de.parquet")
    data = bytearray(path.read_bytes())
    at = data.index(b"Absatz 350\n")
    data[at : at + 6] = b"xxxxxx"
    path.write_bytes(data)
    samples, damage = read(path)
    assert len(samples) == 1_800
    assert {sample.page_id for sample in samples} == {*range(1, 301), *range(401, 1_001)}
    assert damage.startswith(
        "de.parquet: 100 of 1,000 rows are in a damaged row group and were left out, the first is row 301 ("
    )


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no table at all, only some words", None])
def test_what_is_not_parquet_is_damage(tmp_path, content):
    path = write_table(tmp_path / "de.parquet")
    path.write_bytes(path.read_bytes()[:5_000] if content is None else content)
    samples, damage = read(path)
    assert samples == []
    assert damage.startswith("de.parquet: cannot be read as Parquet (")
    assert "\n" not in damage


def test_a_large_row_group_is_streamed(tmp_path):
    text = "wort " * 2_000
    path = write_table(tmp_path / "de.parquet", 8_000, 8_000, text=[f"{n} {text}" for n in range(8_000)])
    assert path.stat().st_size > 70e6
    del text
    pa.default_memory_pool().release_unused()
    before, peak = pa.total_allocated_bytes(), 0
    for sample in open_text(path):
        if sample.page_id % 100 == 0:
            peak = max(peak, pa.total_allocated_bytes() - before)
    assert peak < 30e6


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("de.txt", "de"),
        ("de.txt.gz", "de"),
        ("x/zh_yue.jsonl.zst", "yue"),
        ("be-x-old.ndjson", "be-tarask"),
        ("data/be-x-old.json", "be-tarask"),
        ("20231101.de/train-00000-of-00041.parquet", "de"),
        ("20231101.zh-min-nan/train-00000-of-00001.parquet", "nan"),
        ("20231101.simple/train-00000-of-00001.parquet", "simple"),
        ("sw/train.parquet", "sw"),
        ("20231101.fi.parquet", "fi"),
        ("dewiki-20231101.jsonl", "de"),
        ("sw/de.txt", "de"),
        ("xqq.txt", "xqq"),
        ("qqx/train.parquet", "qqx"),
    ],
)
def test_the_language_is_in_the_name(path, code):
    assert language_of_text(path) == code


@pytest.mark.parametrize("path", ["train-00000.parquet", "corpus/train.jsonl", "data/notes.txt", "Wörter/TEXT.txt"])
def test_no_language_is_an_error(path):
    with pytest.raises(DataError, match="no language") as error:
        language_of_text(path)
    assert "20231101.de" in error.value.fix


def test_what_counts_as_text(tmp_path):
    names = [
        "a.txt",
        "a.text.gz",
        "a.jsonl.bz2",
        "a.ndjson",
        "a.json.zst",
        "a.parquet",
        "a.csv",
        "a.md5",
        "txt",
        "a.gz",
    ]
    assert [is_text(tmp_path / name) for name in names] == [True] * 6 + [False] * 4
