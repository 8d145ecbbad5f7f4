"""Predictions kept beside results, and what each sample adds to the score."""

import gzip
from types import SimpleNamespace

import numpy as np
import pytest

from unibert.benchmark.predictions import read_predictions, read_statistics, write_predictions
from unibert.errors import DataError
from unibert.files import sha256_of_file

OUTCOME = SimpleNamespace(
    predictions={"es": [["O", "B-PER"], ["O"]], "zh": ["北京"]},
    statistics={"es": np.array([[1.0, 1.0, 2.0], [0.0, 0.5, 1.0]]), "zh": np.array([[0.25, 1.0]])},
)


@pytest.fixture
def kept(tmp_path):
    return write_predictions(tmp_path, "abc", OUTCOME)


def test_both_come_back(tmp_path, kept):
    assert kept == {"file": "predictions/abc.jsonl.gz", "sha256": kept["sha256"], "samples": 3}
    assert read_predictions(tmp_path, kept) == OUTCOME.predictions
    found = read_statistics(tmp_path, kept)
    assert {language: rows.tolist() for language, rows in found.items()} == {
        language: rows.tolist() for language, rows in OUTCOME.statistics.items()
    }
    assert write_predictions(tmp_path / "again", "abc", OUTCOME) == kept


def test_older_files_have_no_statistics(tmp_path):
    path = tmp_path / "old.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"language": "es", "number": 0, "prediction": ["O"]}\n'))
    described = {"file": "old.jsonl.gz", "sha256": sha256_of_file(path), "samples": 1}
    assert read_predictions(tmp_path, described) == {"es": [["O"]]}
    with pytest.raises(DataError, match=r"old\.jsonl\.gz: there are no statistics"):
        read_statistics(tmp_path, described)


@pytest.mark.parametrize(("data", "problem"), [(None, "no such file"), (b"x", "not the predictions that were written")])
def test_what_is_not_there_is_told(tmp_path, kept, data, problem):
    path = tmp_path / kept["file"]
    path.unlink() if data is None else path.write_bytes(data)
    for read in (read_predictions, read_statistics):
        with pytest.raises(DataError, match=problem):
            read(tmp_path, kept)
