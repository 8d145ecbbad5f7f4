"""A benchmark's data by the recipe's table: parts, titles and notes; and everything that cannot be."""

import gzip
import json

import pytest

from unibert.benchmark.loading import load_data, with_training_of
from unibert.errors import DataError
from unibert.task_settings import BenchmarkData


def xnli(folder, languages=("de", "en"), part="dev", rows=90, ending=".tsv.gz"):
    folder.mkdir(exist_ok=True)
    labels = ("entailment", "neutral", "contradiction")
    for language in languages:
        text = "".join(f"{language} {row // 3}\t{language} h{row}\t{labels[row % 3]}\n" for row in range(rows))
        data = text.encode()
        (folder / f"{part}-{language}{ending}").write_bytes(gzip.compress(data, mtime=0) if "gz" in ending else data)
    return str(folder)


def squad(path, count=3, start=0):
    paragraphs = [
        {
            "context": f"Text {n}.",
            "qas": [{"id": str(n), "question": "?", "answers": [{"text": f"{n}", "answer_start": 5}]}],
        }
        for n in range(start, start + count)
    ]
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(json.dumps({"data": [{"title": "t", "paragraphs": paragraphs}]}), encoding="utf-8")
    return str(path)


def conll(path, sentences=20):
    path.write_text("".join(f"Ana{n} B-PER\nsings O\n\n" for n in range(sentences)), encoding="utf-8")
    return str(path)


def table(**settings):
    return BenchmarkData.model_validate(settings)


def sizes(data):
    return {
        language: tuple(len(split.samples) for split in splits.parts) for language, splits in data.languages.items()
    }


def test_a_folder_with_what_is_there(tmp_path):
    data = load_data("xnli", table(folder=xnli(tmp_path / "x")))
    assert (data.name, data.title, data.task) == ("xnli", "XNLI", "nli")
    assert sizes(data) == {"de": (90,), "en": (90,)}
    assert data.languages["de"].dev.source.endswith("dev-de.tsv.gz")
    assert "dev of de en: 90 samples, 2,490 were published" in data.notes
    assert "all languages: no training part: only tested on" in data.notes
    assert any("`split = true`" in note for note in data.notes)
    assert data.mono == ("de", "en")


def test_a_test_part_of_another_size_makes_it_a_part_of_the_benchmark(tmp_path):
    xnli(tmp_path, part="test")
    assert load_data("xnli", table(folder=str(tmp_path))).title == "a part of XNLI"


def test_a_split(tmp_path):
    folder = xnli(tmp_path / "x")
    data = load_data("xnli", table(folder=folder, split=True))
    assert data.title == "a split of XNLI"
    assert all(sum(counts) == 90 and len(counts) == 3 for counts in sizes(data).values())
    one = load_data("xnli", table(folder=folder, split=True, languages=["de"]))
    assert list(one.languages) == ["de"]
    assert one.languages["de"] == data.languages["de"]


def test_a_part(tmp_path):
    xnli(tmp_path, part="train")
    folder = xnli(tmp_path, part="test")
    data = load_data("xnli", table(folder=folder, max_train=30, max_test=10))
    assert sizes(data) == {"de": (30, 10), "en": (30, 10)}
    assert data.title == "a part of XNLI"
    german, english = (data.languages[language].test.samples for language in ("de", "en"))
    assert [pair.hypothesis[2:] for pair in german] == [pair.hypothesis[2:] for pair in english]
    whole = load_data("xnli", table(folder=folder))
    assert whole.languages["de"].test.sha256 != data.languages["de"].test.sha256
    split = load_data("xnli", table(folder=xnli(tmp_path / "y"), split=True, max_test=5))
    assert split.title == "a part of a split of XNLI"
    assert load_data("xnli", table(folder=xnli(tmp_path / "y"), split=True, max_train=5)).title == "a split of XNLI"


def test_whole_data_is_not_split(tmp_path):
    for part in ("train", "dev", "test"):
        xnli(tmp_path, part=part)
    data = load_data("xnli", table(folder=str(tmp_path), split=True))
    assert (data.title, sizes(data)["de"]) == ("a part of XNLI", (90, 90, 90))
    assert "de: train, dev and test are there; nothing is split" in data.notes


@pytest.mark.parametrize(("name", "read"), [("panx", False), ("xnli", True)])
def test_other_languages_are_read_for_a_split_where_samples_are_parallel(tmp_path, name, read):
    """A damaged file that is not asked for shows which files are read."""
    if name == "xnli":
        folder = xnli(tmp_path)
    else:
        folder = str(tmp_path)
        conll(tmp_path / "dev-de.tsv", 200)
    (tmp_path / "dev-fr.tsv.gz").write_bytes(b"\x1f\x8b damaged")
    settings = table(folder=folder, split=True, languages=["de"])
    if read:
        with pytest.raises(DataError, match=r"dev-fr.tsv.gz: damaged gzip"):
            load_data(name, settings)
    else:
        assert len(sizes(load_data(name, settings))["de"]) == 3


def test_a_cut_dev_part_alone_does_not_change_what_is_tested_on(tmp_path):
    files = {"de": {"dev": conll(tmp_path / "a.conll", 30), "test": conll(tmp_path / "b.conll", 9)}}
    data = load_data("mine", table(task="ner", files=files, max_test=9))
    assert (data.title, sizes(data)) == ("mine", {"de": (9, 9)})


def test_xnli_of_a_table_of_all_languages(tmp_path):
    text = "language\tgold_label\tsentence1\tsentence2\n" + "de\tneutral\ta\tb\nfr\tneutral\tc\td\nde\tneutral\te\tf\n"
    (tmp_path / "xnli.dev.tsv").write_text(text, encoding="utf-8")
    (tmp_path / "multinli.train.de.tsv").write_text(
        "premise\thypo\tlabel\na\t\tneutral\na\tb\tneutral\n", encoding="utf-8"
    )
    data = load_data("xnli", table(folder=str(tmp_path)))
    assert sizes(data) == {"de": (1, 2), "fr": (1,)}
    digests = [splits.dev.sha256 for splits in data.languages.values()]
    assert len(set(digests)) == 2
    assert any(note.startswith("training rows left out") and "tsv:2: no hypothesis" in note for note in data.notes)
    assert "fr: no training part: only tested on" in data.notes


def test_files_of_one_s_own(tmp_path):
    files = {"de": {"train": conll(tmp_path / "a.conll", 30), "test": conll(tmp_path / "b.conll", 9)}}
    data = load_data("mine", table(task="ner", files=files))
    assert (data.title, data.task, sizes(data)) == ("mine", "ner", {"de": (30, 9)})
    assert "all languages: no dev part: the last epoch is kept" in data.notes
    split = load_data("mine", table(task="ner", files={"de": {"train": conll(tmp_path / "a.conll", 300)}}, split=True))
    assert split.title == "a split of mine"
    assert len(sizes(split)["de"]) == 3


def test_files_of_one_s_own_are_no_known_benchmark(tmp_path):
    files = {"es": {"test": conll(tmp_path / "a.conll")}}
    assert load_data("conll2002", table(task="ner", files=files)).title == "conll2002 (own files)"


def test_columns_of_one_s_own(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('text,other,label\n"a, b",c,x\n', encoding="utf-8")
    settings = table(task="nli", files={"en": {"test": str(path)}}, columns={"premise": "text", "hypothesis": "other"})
    assert load_data("mine", settings).languages["en"].test.samples[0].premise == "a, b"


def test_training_on_another_benchmark(tmp_path):
    for language in ("de", "en"):
        squad(tmp_path / f"dev-context-{language}-question-{language}.json")
    squad(tmp_path / "test-context-de-question-de.json", start=9)
    settings = table(folder=str(tmp_path), train_on="squad")
    mlqa = load_data("mlqa", settings)
    assert not any("training" in note for note in mlqa.notes)
    files = {"en": {"train": squad(tmp_path / "own" / "train.json", 7), "dev": squad(tmp_path / "own" / "dev.json", 2)}}
    own = load_data("squad", table(task="qa", files=files))
    data = with_training_of(mlqa, own)
    assert sizes(data) == {"de": (3, 3), "en": (7, 3)}
    assert data.languages["en"].dev == mlqa.languages["en"].dev
    assert sizes(with_training_of(mlqa, own, 4))["en"] == (4, 3)
    assert "trained on squad" in data.notes
    with pytest.raises(DataError, match=r"mlqa: mlqa has a training part in none.*it has none"):
        with_training_of(mlqa, mlqa)
    other = load_data("mine", table(task="ner", files={"de": {"train": conll(tmp_path / "a.conll")}}))
    with pytest.raises(DataError, match="which is of the task ner, not qa"):
        with_training_of(mlqa, other)


@pytest.mark.parametrize(
    ("name", "settings", "problem"),
    [
        ("nothing", {}, "nothing: no known benchmark"),
        ("xnli", {"task": "ner", "folder": "x"}, "XNLI is a benchmark of the task nli, not ner"),
        ("xnli", {"folder": "x", "hub": "a/b"}, "both a folder and a hub id"),
        ("xnli", {"folder": "x", "columns": {"premise": "a"}}, "columns are for files of your own"),
        ("xnli", {"folder": "nowhere"}, "nowhere: no such folder\n  Fix: Name the folder with xnli.dev.tsv"),
        ("xnli", {"folder": "m"}, "none of the files of XNLI in it\n  Fix: Expected are xnli.dev.tsv, xnli.test.tsv"),
        ("ler", {}, "LER is not on the hub"),
        ("xnli", {"folder": "x", "languages": ["de", "fr"]}, "no data in fr\n  Fix: There is de, en."),
        ("mine", {"files": {"de": {"train": "a.conll"}}}, "files without a task"),
        (
            "mine",
            {"task": "ner", "folder": "x", "files": {"de": {"train": "a.conll"}}},
            "files of your own and a folder",
        ),
        ("mine", {"task": "ner", "files": {"de": {"train": "no.conll"}}}, "no.conll: no such file"),
        ("mine", {"task": "ner", "files": {"de": {}}}, "benchmark.data.mine: no samples"),
        (
            "mine",
            {"task": "ner", "files": {"de": {"train": "a.conll"}}, "languages": ["fr"]},
            "no data in fr\n  Fix: There is de.",
        ),
        ("mine", {"task": "qa", "files": {"de": {"train": "a.conll"}}}, "a.conll"),
        ("xnli", {"folder": "p"}, "dev-de.tsv: there are no labels in it"),
        ("xnli", {"folder": "q"}, "dev-de.tsv:2: the label 'neutrale' is not one of"),
        ("stsb", {"folder": "p"}, "stsb-de-dev.csv: there are no scores in it"),
        ("mlqa", {"folder": "m"}, "dev-context-de-question-de.json"),
    ],
)
def test_what_cannot_be_is_told(tmp_path, monkeypatch, name, settings, problem):
    monkeypatch.chdir(tmp_path)
    xnli(tmp_path / "x")
    (tmp_path / "m").mkdir()
    # XNLI's rows under MLQA's name: a data set of the wrong task.
    (tmp_path / "m" / "dev-context-de-question-de.json").write_text("a\tb\tneutral\n", encoding="utf-8")
    conll(tmp_path / "a.conll")
    for folder, text in {"p": "Ana\tB-PER\n", "q": "a\tb\tneutral\na\tb\tneutrale\n"}.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "dev-de.tsv").write_text(text, encoding="utf-8")
    (tmp_path / "p" / "stsb-de-dev.csv").write_text("a,b\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        load_data(name, table(**settings))
    assert problem in str(caught.value)
    assert caught.value.fix


def test_a_bad_file_can_be_told_and_left_out(tmp_path):
    folder = xnli(tmp_path / "x")
    (tmp_path / "x" / "dev-de.tsv.gz").write_bytes(gzip.compress(b"a\tb\tneutral\na\tneutral\n"))
    with pytest.raises(DataError, match=r"dev-de.tsv.gz:2: 2 columns found, 3 expected"):
        load_data("xnli", table(folder=folder))
    told = []
    data = load_data("xnli", table(folder=folder), told.append)
    assert list(data.languages) == ["en"]
    assert len(told) == 1
