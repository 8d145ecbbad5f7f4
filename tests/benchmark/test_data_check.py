"""`unibert data check`: what is there in words, every problem with its file, and the exit code."""

import json
import re

import pytest
from typer.testing import CliRunner

from unibert.benchmark.catalog import KNOWN
from unibert.benchmark.data_check import check_data, describe
from unibert.data_cli import data_app
from unibert.errors import DataError, RecipeError
from unibert.task_settings import BenchmarkData
from unibert.tasks.conll import Sentence
from unibert.tasks.nli import Pair
from unibert.tasks.squad import Answer, Question
from unibert.tasks.sts import ScoredPair

LONG = "word " * 60


def run(*arguments):
    """Exit code and output; errors are told by the command line's `main`, which is not run here."""
    result = CliRunner().invoke(data_app, list(arguments))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """LER of the published sizes would be slow to write: three sentences are published here."""
    counts = {"de": (3, 2, 2)}
    monkeypatch.setitem(KNOWN, "ler", KNOWN["ler"].__class__(**{**vars(KNOWN["ler"]), "counts": counts}))
    for part, count in (("train", 3), ("dev", 2), ("test", 2)):
        write(tmp_path, part, count)
    return tmp_path


def write(folder, part, count, tag="PER"):
    text = "".join(f"Frau O\nRuiz{n} B-{tag}\nsingt O\n\n" for n in range(count))
    (folder / f"ler_{part}.conll").write_text(text, encoding="utf-8")


def test_data_as_it_was_published(folder):
    code, text = run("check", "ler", "--folder", str(folder))
    assert code == 0
    assert "named entity recognition in 1 language" in text
    assert re.search(r"^de +3 +2 +2$", text, re.MULTILINE)
    assert text.count("[PER Ruiz") == 3
    assert text.endswith("nothing is wrong with it\n")


def test_another_number_of_samples(folder):
    write(folder, "test", 1)
    code, text = run("check", "ler", "--folder", str(folder))
    assert code == 1
    assert re.search(r"^de +3 +2 +1 of 2$", text, re.MULTILINE)
    assert "problem: test of de: 1 samples, 2 were published" in text


def test_a_missing_part_is_no_problem(folder):
    (folder / "ler_dev.conll").unlink()
    code, text = run("check", "ler", "--folder", str(folder))
    assert code == 0
    assert "- of 2" in text
    assert "note: all languages: no dev part" in text


def test_every_bad_file_is_told(folder):
    (folder / "ler_dev.conll").write_text("a O\nb\n", encoding="utf-8")
    (folder / "ler_test.conll").write_text("a O\n\nb X\n", encoding="utf-8")
    code, text = run("check", "ler", "--folder", str(folder))
    assert code == 1
    assert "ler_dev.conll:2: 1 columns found" in text
    assert "ler_test.conll:3: 'X' is not a tag" in text
    (folder / "ler_train.conll").write_text("", encoding="utf-8")
    code, text = run("check", "ler", "--folder", str(folder))
    assert code == 1
    assert text.count("problem: ") == 3


def test_parts_that_the_training_data_does_not_prepare_for(folder):
    write(folder, "test", 2, "ORG")
    code, text = run("check", "ler", "--folder", str(folder))
    assert code == 1
    assert "ler_test.conll: none of its entity types (ORG) is in the training data (PER)" in text


def test_nothing_there_at_all(tmp_path):
    with pytest.raises(DataError, match="none of the files of XNLI"):
        run("check", "xnli", "--folder", str(tmp_path))


def test_what_a_recipe_makes_of_it(folder, tmp_path):
    write(folder, "train", 3)
    settings = BenchmarkData(folder=str(folder), max_test=1)
    text = check_data("ler", settings).text
    assert "as the recipe asks for it, on a part of LER:" in text
    assert text.count("language") >= 2


def test_data_of_a_recipe(folder, tmp_path):
    recipe = tmp_path / "recipe.toml"
    tables = f"""
[teacher]
model = "bert-base-multilingual-cased"
[benchmark.data.ler]
folder = "{folder}"
[benchmark.data.mine]
task = "ner"
files.de.train = "{folder}/ler_train.conll"
files.fr.test = "{folder}/ler_test.conll"
"""
    recipe.write_text(tables, encoding="utf-8")
    assert run("check", "ler", "--recipe", str(recipe))[0] == 0
    code, text = run("check", "mine", "--recipe", str(recipe), "--languages", "fr")
    assert code == 0
    assert "mine: named entity recognition in 1 language" in text
    with pytest.raises(RecipeError, match=r"no \[benchmark.data.other\] in it\n.*There is ler, mine."):
        run("check", "other", "--recipe", str(recipe))


def test_codes_of_languages(folder):
    assert run("check", "ler", "--folder", str(folder), "--languages", " DE,")[0] == 0
    with pytest.raises(RecipeError, match="'d!' is no code of a language"):
        run("check", "ler", "--folder", str(folder), "--languages", "d!")


def test_the_list_names_every_benchmark():
    code, text = run("list")
    assert code == 0
    assert [line.split()[0] for line in text.splitlines()[1:]] == list(KNOWN)


@pytest.mark.parametrize(
    ("task", "sample", "expected"),
    [
        ("ner", Sentence(("a", "b", "c", "d"), ("B-X", "I-X", "B-X", "O")), ["[X a b] [X c] d"]),
        ("ner", Sentence(("a", "b"), ("O", "B-Y")), ["a [Y b]"]),
        ("ner", Sentence(("a", "b"), ()), ["a b"]),
        ("nli", Pair("a\nb", "c", "neutral"), ["neutral:", "premise: a b", "hypothesis: c"]),
        ("sts", ScoredPair("a", "b", 2.5), ["score 2.5:", "1: a", "2: b"]),
        ("qa", Question("1", "Who?", "Ana sings.", (Answer("Ana", 0),)), ["Who?", "answer: Ana", "in: [Ana] sings."]),
        ("qa", Question("1", "Who?", "Ana sings.", ()), ["Who?", "in: Ana sings."]),
    ],
)
def test_samples_for_people(task, sample, expected):
    assert describe(task, sample) == expected


def test_long_samples_are_cut():
    question = Question("1", LONG, LONG + "Ana" + LONG, (Answer("Ana", len(LONG)),))
    for line in describe("qa", question):
        assert len(line) < 140
    assert "[Ana]" in describe("qa", question)[-1]


def test_missing_articles_of_sts22_are_no_problem(tmp_path):
    rows = ["url1_lang,url2_lang,pair_id,Overall", "de,de,1001_1002,1", "de,de,1001_1003,2", "de,de,1002_1099,2"]
    (tmp_path / "final_evaluation_data.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    for number in (1001, 1002, 1003):
        path = tmp_path / str(number)[-2:] / f"{number}.json"
        path.parent.mkdir()
        path.write_text(json.dumps({"title": "t", "text": str(number)}), encoding="utf-8")
    check = check_data("sts22", BenchmarkData(folder=str(tmp_path)))
    assert check.problems == []
    assert "note: test: 1 of 3 pairs are left out, for want of 1 articles" in check.text
    assert re.search(r"^de .* 2 of 608$", check.text, re.MULTILINE)
