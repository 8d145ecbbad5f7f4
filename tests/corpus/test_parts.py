"""One part: what decides it, how it is written, and where its row groups end."""

import os
import pickle
from dataclasses import replace
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_support import PROSE, articles
from unibert.corpus import parts
from unibert.corpus.parts import SCHEMA, Job, RowGroups, make_part
from unibert.corpus.slices import Slice
from unibert.recipe import LanguageIdentification, Rules


@pytest.fixture
def job(tmp_path, write_dump):
    path = write_dump(articles(20), "dewiki-x.xml")
    return Job(path, "de", "dump", Rules(), None, "words", LanguageIdentification(), "off", "text", tmp_path / "parts")


def advance(size):
    pass


def test_a_part_is_samples_and_counts(job):
    assert not job.finished()
    told = []
    job.run(told.append)
    assert sum(told) == job.size == job.path.stat().st_size
    assert job.finished()
    result = job.result()
    assert (result["file"], result["language"], result["kind"], result["damage"]) == (
        "dewiki-x.xml",
        "de",
        "dump",
        None,
    )
    assert result["file_bytes"] == job.size
    assert "slice" not in result
    assert result["counts"]["samples"] == pq.read_metadata(job.samples_path).num_rows == 20
    assert pq.read_schema(job.samples_path).equals(SCHEMA)


@pytest.mark.parametrize(
    "change",
    [
        {"language": "bar"},
        {"kind": "text"},
        {"rules": Rules(min_tokens=9)},
        {"tokenizer_mark": "other"},
        {"identify_mark": "ft176 0.5 40"},
        {"part": Slice(0, 100)},
        {"part": Slice(100, 200), "number": 1},
    ],
    ids=str,
)
def test_what_decides_a_part_changes_its_key(job, change):
    job.run(advance)
    other = replace(job, **change)
    assert other.key() != job.key()
    assert not other.finished()


@pytest.mark.parametrize("change", [{"tokenizer": "/elsewhere"}, {"text_column": "body"}], ids=str)
def test_what_does_not_decide_it_leaves_the_key(job, change):
    job.run(advance)
    assert replace(job, **change).finished()


def test_a_column_decides_tables_but_not_plain_text(job, tmp_path):
    for name, decides in [("de.txt.gz", False), ("de.parquet", True), ("de.jsonl.zst", True)]:
        path = tmp_path / name
        path.write_bytes(b"x")
        one = replace(job, path=path, kind="text")
        assert (replace(one, text_column="body").key() != one.key()) == decides


def test_a_changed_file_is_another_part(job):
    job.run(advance)
    os.utime(job.path, (1, 1))
    assert not job.finished()


def test_slices_have_parts_of_their_own_but_one_file_key(tmp_path, job, write_dump):
    path = write_dump(articles(9000, PROSE), "dewiki-large.xml")
    whole = replace(job, path=path)
    assert whole.slices(10**9) == [whole]
    cut = whole.slices(10**6)
    assert len(cut) > 2
    assert cut[0].part.start == 0
    assert cut[-1].part.stop == path.stat().st_size
    assert sum(part.size for part in cut) == whole.size
    assert len({part.name for part in cut}) == len({part.key() for part in cut}) == len(cut)
    assert {part.file_key() for part in cut} == {whole.file_key()}
    assert [part.name.rsplit(".", 1)[1] for part in cut[:3]] == ["000", "001", "002"]
    told = []
    cut[1].run(told.append)
    assert sum(told) == cut[1].size
    assert cut[1].result()["slice"] == 1
    assert not cut[0].finished()


def test_a_job_can_be_shipped(job):
    assert pickle.loads(pickle.dumps(job)) == job


def test_paragraphs_in_another_language_are_dropped_and_counted(job, monkeypatch):
    """With a judge that stands in for the model: what the model says is `identify`'s to test."""

    def judge_of(_, language):
        return lambda text: language == "de" and "Nummer 7" not in text

    monkeypatch.setattr(parts, "language_judge", judge_of)
    make_part(job, advance)
    counts = job.result()["counts"]
    assert (counts["samples"], counts["rules"]["other_language"]["dropped"]) == (19, 1)
    assert "Nummer 7" in counts["examples"]["other_language"][0]["text"]


def test_an_example_shows_what_its_rule_left_though_another_dropped_it(job, tmp_path):
    path = tmp_path / "de.txt"
    path.write_text("Zwei Wo\u200brte\n", encoding="utf-8")
    text = replace(job, path=path, kind="text")
    text.run(advance)
    examples = text.result()["counts"]["examples"]
    assert examples["hidden_characters"] == [{"before": "Zwei Wo\u200brte", "after": "Zwei Worte"}]
    assert examples["short"] == [{"text": "Zwei Wo\u200brte"}]


def test_a_failure_in_the_middle_leaves_no_part(job, monkeypatch):
    def fail(*_):
        raise ValueError("odd")

    monkeypatch.setattr(parts, "apply_rules", fail)
    with pytest.raises(ValueError, match="odd"):
        make_part(job, advance)
    assert not list(job.folder.iterdir())


# --- row groups ---


def batches_of(texts, cuts):
    empty, zeros = [""] * len(texts), [0] * len(texts)
    table = pa.table([texts, empty, empty, zeros, empty, empty], schema=SCHEMA)
    bounds = [0, *sorted(min(cut, len(texts)) for cut in cuts), len(texts)]
    return [batch for start, stop in pairwise(bounds) for batch in table.slice(start, stop - start).to_batches()]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("aé東", max_size=12), max_size=40), st.lists(st.integers(0, 40), max_size=8))
def test_row_groups_do_not_depend_on_batches(texts, cuts):
    def write(batches):
        stream = pa.BufferOutputStream()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(parts, "ROWS", 6)
            patch.setattr(parts, "_CHARACTERS", 30)
            with RowGroups(stream) as groups:
                for batch in batches:
                    groups.add(batch)
        return stream.getvalue().to_pybytes()

    one = write(batches_of(texts, []))
    assert write(batches_of(texts, cuts)) == one
    file = pq.ParquetFile(pa.BufferReader(one))
    assert file.read().column("text").to_pylist() == texts
    for number in range(file.num_row_groups):
        group = file.read_row_group(number).column("text").to_pylist()
        assert 1 <= len(group) <= 6
        assert sum(map(len, group[:-1])) < 30
