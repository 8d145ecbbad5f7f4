"""The similarity data beside the project: known counts in every language, quotes and all."""

import csv
import gzip
import io

import pytest

from unibert.tasks import sts
from unibert.tasks.data import Split

LANGUAGES = "de en es fr it ja nl pl pt ru zh".split()
COUNTS = {"train": 5749, "dev": 1500, "test": 1379}


@pytest.fixture(scope="module")
def folder(shared_data):
    return shared_data / "sts" / "stsb_multi_mt"


@pytest.mark.parametrize("language", LANGUAGES)
def test_stsb(folder, language):
    assert len(list(folder.glob(f"stsb-{language}-*.csv.gz"))) == len(COUNTS)
    for part, count in COUNTS.items():
        path = folder / f"stsb-{language}-{part}.csv.gz"
        pairs = sts.read(path, {})
        assert len(pairs) == count
        assert (min(pair.score for pair in pairs), max(pair.score for pair in pairs)) == (0.0, 5.0)
        sts.check(Split(str(path), "", pairs), [], "itself")
        # The file's own way of writing, again: no cell was cut at a comma, a quote or a line end.
        rows = [[pair.first, pair.second, pair.score] for pair in pairs]
        again = [row for row in csv.reader(io.StringIO(gzip.decompress(path.read_bytes()).decode()))]
        assert rows == [[first, second, float(score)] for first, second, score in again]


def test_the_scores_are_the_same_in_all_languages(folder):
    scores = [[pair.score for pair in sts.read(folder / f"stsb-{language}-test.csv.gz", {})] for language in LANGUAGES]
    assert all(found == scores[0] for found in scores)


def test_quoted_sentences_are_whole(folder):
    texts = [pair.first for pair in sts.read(folder / "stsb-en-train.csv.gz", {})]
    assert any("," in text for text in texts)
    assert any('"' in text for text in texts)
    assert not any(text.startswith('"') and text.count('"') == 1 for text in texts[:1000])
