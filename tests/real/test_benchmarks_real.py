"""The benchmarks beside the project: found by name, counted whole, split without leaks."""

import pytest

from unibert.benchmark.catalog import KNOWN
from unibert.benchmark.data_check import check_data
from unibert.benchmark.loading import load_data
from unibert.benchmark.sts22 import find_lists, read_list
from unibert.task_settings import BenchmarkData

PARTS = ("train", "dev", "test")
FOLDERS = {
    "conll2002": "ner/conll2002",
    "xnli": "nli/xnli",
    "mlqa": "qa/mlqa",
    "panx": "ner/panx",
    "xquad": "qa/xquad",
    "stsb": "sts/stsb_multi_mt",
    "echr": "ner/legal/es_fr_ECHR",
    "echr-projected": "ner/legal/es_fr_ECHR",
    "ler": "ner/legal/de_LER",
}


@pytest.fixture(scope="module")
def settings(shared_data):
    return lambda name, **more: BenchmarkData(folder=str(shared_data / FOLDERS[name]), **more)


@pytest.mark.parametrize("name", sorted(set(FOLDERS) - {"panx"}))
def test_what_is_there_is_as_it_was_published(settings, name):
    check = check_data(name, settings(name))
    assert check.problems == []
    assert load_data(name, settings(name)).languages.keys() == KNOWN[name].counts.keys()


def test_pan_x_is_there_in_part(settings):
    """Up to 5,000 and 2,000 sentences of each language, no test part."""
    data = load_data("panx", settings("panx"))
    assert len(data.languages) == 24
    for language, splits in data.languages.items():
        train, dev, _ = KNOWN["panx"].counts[language]
        assert (len(splits.train.samples), len(splits.dev.samples)) == (min(train, 5000), min(dev, 2000))
    assert len(check_data("panx", settings("panx", languages=["de", "sw"])).problems) == 2


@pytest.mark.parametrize("name", ["xnli", "mlqa", "xquad"])
def test_no_text_is_in_two_parts_of_a_split(settings, name):
    data = load_data(name, settings(name, split=True))
    assert data.title == f"a split of {KNOWN[name].title}"
    counted = 0
    places: dict[tuple[str, str], str] = {}
    for language, splits in data.languages.items():
        for part in PARTS:
            for sample in getattr(splits, part).samples:
                counted += 1
                text = sample.premise if name == "xnli" else sample.context
                assert places.setdefault((language, text), part) == part
                if name != "xnli":  # a question has one id in all languages
                    assert places.setdefault(("id", sample.id), part) == part
    whole = load_data(name, settings(name)).languages.values()
    assert counted == sum(len(splits.parts[0].samples) for splits in whole)


def test_parts_of_a_split_are_near_their_shares(settings):
    for name in ("xnli", "mlqa", "xquad"):
        for splits in load_data(name, settings(name, split=True)).languages.values():
            sizes = [len(getattr(splits, part).samples) for part in PARTS]
            assert 0.7 < sizes[0] / sum(sizes) < 0.9
            assert all(0.04 < size / sum(sizes) < 0.16 for size in sizes[1:])


def test_a_language_is_split_the_same_alone_and_among_others(settings):
    together = load_data("mlqa", settings("mlqa", split=True)).languages["vi"]
    assert load_data("mlqa", settings("mlqa", split=True, languages=["vi"])).languages["vi"] == together


def test_rows_of_a_split_are_parallel(settings):
    data = load_data("xnli", settings("xnli", split=True, max_test=100))
    labels = {tuple(pair.label for pair in splits.test.samples) for splits in data.languages.values()}
    assert len(labels) == 1
    assert len(next(iter(labels))) == 100


def test_the_lists_of_sts22(shared_data):
    """All pairs as published; the articles are not there."""
    lists = find_lists(shared_data / "sts" / "sts22_pairs")
    assert lists["train"].name == "semeval-2022_task8_train-data_batch2.csv.gz"
    for part, position in (("train", 0), ("test", 2)):
        published = {key: counts[position] for key, counts in KNOWN["sts22"].counts.items() if counts[position]}
        assert read_list(lists[part], {}).listed == published
