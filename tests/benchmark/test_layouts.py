"""Which file is which part of which language, for every benchmark's ways of being published."""

import os
from pathlib import Path

import pytest

from unibert.benchmark.catalog import KNOWN, find_known, format_catalog
from unibert.benchmark.layouts import PARTS, arrange, files_below
from unibert.errors import DataError


def places(name, files):
    return [(found.language, found.part) for found in arrange(KNOWN[name].layouts, files, "data")]


@pytest.mark.parametrize(
    ("name", "files", "expected"),
    [
        ("conll2002", ["a/esp.testa", "a/ned.train.gz", "a/eng.train", "README"], [("es", "dev"), ("nl", "train")]),
        ("conll2002", ["es/train/0000.parquet", "nl/test/0000.parquet"], [("es", "train"), ("nl", "test")]),
        ("conll2003", ["eng.testb", "esp.testb"], [("en", "test")]),
        ("conll2003", ["conll2003/validation/0000.parquet"], [(None, "dev")]),
        ("xnli", ["XNLI-1.0/xnli.dev.tsv", "multinli/multinli.train.de.tsv"], [(None, "dev"), ("de", "train")]),
        ("xnli", ["dev-de.tsv.gz", "test-de.tsv", "xdev-en.tsv"], [("de", "dev"), ("de", "test")]),
        ("xnli", ["de/train-00000-of-00001.parquet", "all_languages/test-00000-of-00001.parquet"], [("de", "train")]),
        ("xnli", ["all_languages/train-00000-of-00004.parquet"], [(None, "train")]),
        ("mlqa", ["dev/dev-context-de-question-de.json", "dev/dev-context-de-question-en.json"], [("de", "dev")]),
        ("mlqa", ["mlqa.de.de/test-00000-of-00001.parquet", "mlqa.de.ar/test/0000.parquet"], [("de", "test")]),
        ("sts22", ["de-en/test.jsonl", "de/train.jsonl"], [("de", "train"), ("de-en", "test")]),
        ("mapa", ["train.jsonl", "validation.jsonl.gz"], [(None, "train"), (None, "dev")]),
        ("panx", ["dev-zh-yue.tsv", "train-de.tsv.gz"], [("de", "train"), ("zh-yue", "dev")]),
        ("panx", ["zh-min-nan/validation-00000-of-00001.parquet"], [("zh-min-nan", "dev")]),
        ("xquad", ["xquad.de.json.gz"], [("de", "test")]),
        ("xquad", ["xquad.de/validation-00000-of-00001.parquet"], [("de", "test")]),
        ("stsb", ["stsb-de-train.csv.gz", "stsb-de-dev.csv"], [("de", "train"), ("de", "dev")]),
        ("stsb", ["de/dev-00000-of-00001.parquet"], [("de", "dev")]),
        ("echr", ["x/ES-manual-dev.tsv.gz", "y/ES-rev-dev.tsv.gz", "z/FR-all-dev.tsv.gz"], [("es", "dev")]),
        ("echr-projected", ["x/ES-manual-dev.tsv.gz", "z/FR-all-dev.tsv.gz"], [("fr", "dev")]),
        ("ler", ["ler_dev.conll.gz"], [(None, "dev")]),
        ("xnli", ["xquad.de.json", "train.csv"], []),
    ],
)  # fmt: skip
def test_files_are_recognised(name, files, expected):
    assert places(name, files) == expected


def test_shards_are_one_part_in_order():
    files = [f"de/train-0000{number}-of-00003.parquet" for number in (2, 0, 1)]
    (found,) = arrange(KNOWN["xnli"].layouts, files, "data")
    assert found.paths == tuple(sorted(files))


def test_two_files_of_one_part_are_refused():
    with pytest.raises(DataError, match=r"data: ner/dev-de.tsv and nli/dev-de.tsv are both de dev\n.*Name the folder"):
        arrange(KNOWN["xnli"].layouts, ["nli/dev-de.tsv", "ner/dev-de.tsv"], "data")


def test_a_folder_below_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    for name in ("a/dev-de.tsv", "b/c/dev-en.tsv"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    assert files_below(tmp_path) == ["a/dev-de.tsv", "b/c/dev-en.tsv"]
    real = os.scandir

    def locked(place):
        if Path(place).name == "c":
            raise PermissionError(13, "Permission denied", str(place))
        return real(place)

    monkeypatch.setattr(os, "scandir", locked)
    with pytest.raises(DataError, match=r"b/c: cannot be read \(Permission denied\)"):
        files_below(tmp_path)


def test_an_unknown_name_is_told_with_the_nearest():
    with pytest.raises(DataError, match=r"xlni: no known benchmark\n.*Did you mean xnli\?"):
        find_known("xlni")
    with pytest.raises(DataError, match="give `task` and `files`"):
        find_known("something else")


def test_every_entry_is_whole():
    for name, known in KNOWN.items():
        assert known.name == name
        assert known.expected
        assert known.licence
        assert all(len(counts) == len(PARTS) for counts in known.counts.values())
        assert list(known.counts) == sorted(known.counts)
        assert name in format_catalog()


def test_the_pairs_of_sts22_add_up():
    """To the 4,964 and 4,902 of the official lists."""
    pairs = [sum(counts[part] or 0 for counts in KNOWN["sts22"].counts.values()) for part in (0, 2)]
    assert pairs == [4964, 4902]
