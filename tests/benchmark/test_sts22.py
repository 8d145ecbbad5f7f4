"""STS22: lists of pairs and a downloader's articles; what is missing is counted, what is damaged is told."""

import gzip
import json

import pytest

from unibert.benchmark.loading import load_data
from unibert.benchmark.sts22 import find_articles, read_list
from unibert.errors import DataError
from unibert.task_settings import BenchmarkData

HEADER = "url1_lang,url2_lang,pair_id,link1,link2,Overall\n"
TRAIN, TEST = "semeval-2022_task8_train-data_batch2.csv", "final_evaluation_data.csv"


def row(first, second, pair, score):
    return f'{first},{second},{pair},"http://a/?x=1,2",http://b,{score}\n'


@pytest.fixture
def folder(tmp_path):
    rows = [row("de", "de", "1001_1002", 1.0), row("de", "en", "1001_1003", 3.5), row("de", "de", "1001_1099", 4)]
    (tmp_path / TRAIN).write_text(HEADER + "".join(rows), encoding="utf-8")
    # The first batch is in the second one.
    (tmp_path / "semeval-2022_task8_train-data_batch.csv").write_text(HEADER + rows[0], encoding="utf-8")
    (tmp_path / f"{TEST}.gz").write_bytes(gzip.compress((HEADER + row("en", "en", "1003_1003", 2)).encode(), mtime=0))
    for number, article in {
        "1001": {"title": "Titel", "text": "Text\u2028eins"},
        "1002": {"title": "", "text": "zwei"},
        "1003": {"title": "three", "text": None, "other": 1},
        "1098": {"title": "", "text": ""},
    }.items():
        path = tmp_path / "articles" / number[-2:] / f"{number}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(article), encoding="utf-8")
    return tmp_path


def load(folder, **settings):
    return load_data("sts22", BenchmarkData(folder=str(folder), **settings))


def test_pairs_by_language_with_scores_turned(folder):
    data = load(folder)
    assert list(data.languages) == ["de", "de-en", "en"]
    (pair,) = data.languages["de"].train.samples
    assert (pair.first, pair.second, pair.score) == ("Titel\nText\u2028eins", "zwei", 4.0)
    assert data.languages["de-en"].train.samples[0].score == 1.5
    assert data.languages["en"].test.samples[0].second == "three"
    assert data.mono == ("de", "en")


def test_missing_articles_are_counted(folder):
    assert "train: 1 of 3 pairs are left out, for want of 1 articles" in load(folder).notes


def test_an_article_without_a_text_is_missing(folder):
    path = folder / TRAIN
    path.write_text(HEADER + row("de", "de", "1001_1098", 1), encoding="utf-8")
    found = read_list(path, find_articles(folder))
    assert (found.pairs, found.listed, found.missing_articles) == ({"de": []}, {"de": 1}, 1)


def test_the_digest_depends_on_the_articles_that_are_there(folder):
    before = load(folder).languages["de"].train.sha256
    (folder / "articles" / "02" / "1002.json").write_text(json.dumps({"text": "anders"}), encoding="utf-8")
    assert load(folder).languages["de"].train.sha256 != before
    assert load(folder).languages["en"].test.sha256 == load(folder).languages["en"].test.sha256


def test_only_files_where_the_downloader_puts_them_are_articles(folder):
    (folder / "articles" / "02" / "1001.json").write_text("{}", encoding="utf-8")
    (folder / "1001.json").write_text("{}", encoding="utf-8")
    assert {key: path.parent.name for key, path in find_articles(folder).items()} == {
        "1001": "01", "1002": "02", "1003": "03", "1098": "98",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (HEADER + row("de", "de", "1001_1002", 1) + row("de", "de", "1001_1002", 0.5), "csv:3: the score '0.5' is not"),
        (HEADER + row("de", "de", "1001_1002", "nan"), "csv:2: the score 'nan'"),
        (HEADER + row("de", "de", "1001_1002", ""), "csv:2: the score ''"),
        (HEADER + row("de", "de", "1001", 1), "csv:2: not two languages and a pair_id"),
        (HEADER + row("de", "", "1001_1002", 1), "csv:2: not two languages"),
        (HEADER + row("de", "de", "../x_1002", 1), "csv:2: not two languages"),
        (HEADER + "de,de,1001_1002\n", "csv:2: another number of columns"),
        (HEADER + row("de", "de", "1001_1002", "1,2"), "csv:2: another number of columns"),
        (HEADER + 'de,de,1001_1002,"a,b,1\n', "not CSV"),
        (HEADER.replace(",Overall", ""), "csv:1: no column Overall; there is url1_lang"),
        ("", "the file is empty"),
    ],
)
def test_bad_lists_are_told_with_their_line(folder, text, problem):
    (folder / TRAIN).write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        load(folder)
    assert TRAIN[:-4] in str(caught.value)
    assert problem in str(caught.value)


@pytest.mark.parametrize(("text", "problem"), [("{", "not JSON"), ("[1]", "no JSON object")])
def test_damaged_articles_are_told(folder, text, problem):
    (folder / "articles" / "02" / "1002.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=f"1002.json: {problem}"):
        load(folder)


def test_lists_without_articles(folder):
    for path in find_articles(folder).values():
        path.unlink()
    with pytest.raises(DataError, match=r"none of the articles\n.*official downloader"):
        load(folder)
