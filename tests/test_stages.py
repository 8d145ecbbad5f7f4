"""`unibert corpus stats`: table, card and figures of a corpus, wherever it is named from."""

import errno
import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from corpus_support import articles, dump_xml, page_xml
from grid_support import make_result
from ner_support import write_tiny_bert
from unibert import stages
from unibert.cli import app
from unibert.errors import DataError, RecipeError
from unibert.pretrain.card_results import evaluation_section
from unibert.recipe import Recipe
from unibert.tasks.encoder import find_encoder

RECIPE = """
name = "small"
folder = "{folder}"
[corpus]
dumps = ["{folder}/dumps"]
workers = 1
[teacher]
model = "none"
"""


@pytest.fixture
def recipe(tmp_path):
    """A recipe whose corpus is built; the run's folder is `tmp_path`."""
    (tmp_path / "dumps").mkdir()
    for code, number in (("de", 4), ("sw", 2)):
        pages = [*articles(number), page_xml("Kurz", "kurz", 99)]
        (tmp_path / f"dumps/{code}wiki-20261101-pages-articles.xml").write_text(dump_xml(pages), encoding="utf-8")
    path = tmp_path / "recipe.in.toml"
    path.write_text(RECIPE.format(folder=tmp_path), encoding="utf-8")
    built = CliRunner().invoke(app, ["corpus", "build", str(path)], catch_exceptions=False)
    assert built.exit_code == 0, built.output
    return path


def test_the_card_is_there_after_the_build(recipe):
    assert "2026-11-01" in (recipe.parent / "corpus/README.md").read_text(encoding="utf-8")


def test_a_recipe_that_stands_there_already_is_not_written_again(recipe, tmp_path, monkeypatch):
    """A finished run may lie where nothing can be written; where there is no room, the file is named."""

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("unibert.stages.atomic_file", full)
    command = ["corpus", "build", str(recipe)]
    assert CliRunner().invoke(app, command, catch_exceptions=False).exit_code == 0
    (tmp_path / "recipe.toml").unlink()
    with pytest.raises(DataError, match=r"recipe\.toml: cannot be written"):
        CliRunner().invoke(app, command, catch_exceptions=False)


@pytest.mark.parametrize("name", ["corpus", ".", "recipe.in.toml"])
def test_a_corpus_is_found_from_folder_run_and_recipe(recipe, name):
    told = CliRunner().invoke(app, ["corpus", "stats", str(recipe.parent / name)], catch_exceptions=False)
    assert told.exit_code == 0
    assert "German" in told.output
    assert "mean length" in told.output
    assert "short:" not in told.output
    for file in ("README.md", "corpus-size.svg", "lengths.svg"):
        assert (recipe.parent / "corpus" / file).stat().st_size > 500
        assert f"corpus/{file}" in told.output


def test_examples_and_another_folder(recipe, tmp_path):
    there = {path.name for path in (tmp_path / "corpus").iterdir()}
    arguments = ["corpus", "stats", str(recipe), "--examples", "--output", str(tmp_path / "out")]
    told = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert "dropped 'kurz'" in told.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"README.md", "corpus-size.svg", "lengths.svg"}
    assert {path.name for path in (tmp_path / "corpus").iterdir()} == there
    assert "unibert" in (tmp_path / "out/README.md").read_text(encoding="utf-8")


def test_no_corpus_there_is_told(tmp_path):
    with pytest.raises(DataError, match=r"statistics\.json: not there"):
        CliRunner().invoke(app, ["corpus", "stats", str(tmp_path)], catch_exceptions=False)


def test_without_matplotlib_the_table_and_the_card_come_all_the_same(recipe, tmp_path):
    script = "import sys; sys.modules['matplotlib'] = None; from unibert.cli import main; main()"
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", script, "corpus", "stats", str(recipe), "--output", str(out)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "German" in done.stdout
    assert "matplotlib" in done.stderr
    assert "pip install 'unibert[report]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in out.iterdir()] == ["README.md"]


FAMILY = {
    "name": "trial",
    "teacher": {"model": "some/teacher"},
    "pretrain": {"students": ["small", "xsmall"]},
    "benchmark": {"models": ["student", "baselines", "teacher"], "data": {"xnli": {}}},
}


def asked(monkeypatch, tmp_path, tree=FAMILY, **options):
    """What the benchmark is asked to do."""
    seen = {}

    def run(settings, models, output, **more):
        seen.update(models=settings.models, own=models, **more)
        return []

    monkeypatch.setattr("unibert.benchmark.grid.run_benchmark", run)
    for member in ("small", "xsmall"):
        (tmp_path / "students" / member / "model").mkdir(parents=True, exist_ok=True)
        (tmp_path / "students" / member / "model" / "config.json").touch()
    stages.run_benchmark(Recipe.model_validate({**tree, "folder": str(tmp_path)}), **options)
    return seen


def test_student_stands_for_every_member_of_a_family(monkeypatch, tmp_path):
    seen = asked(monkeypatch, tmp_path, only_models=["student"], retry_failed=True)
    assert seen["models"] == ["small", "xsmall", "baselines", "teacher"]
    assert seen["own"]["xsmall"] == tmp_path / "students/xsmall/model"
    assert seen["own"]["teacher"] == "some/teacher"
    assert (seen["only_models"], seen["retry_failed"]) == (["small", "xsmall"], True)


def test_a_benchmark_needs_data_and_trained_students(monkeypatch, tmp_path):
    with pytest.raises(RecipeError, match=r"benchmark\.data is empty"):
        asked(monkeypatch, tmp_path, {**FAMILY, "benchmark": {}})
    alone = {**FAMILY, "pretrain": {}}
    with pytest.raises(DataError, match=r"student/model/config\.json: not there yet"):
        asked(monkeypatch, tmp_path, alone)
    assert asked(monkeypatch, tmp_path, alone, only_models=["teacher"])["only_models"] == ["teacher"]


def test_cards_get_the_results_after_the_benchmark(monkeypatch, tmp_path, capfd):
    """Of the models that the recipe trained; a card without the mark is told and stays."""
    model = tmp_path / "student/model"
    write_tiny_bert(model, seed=1)
    card = f"---\nlicense: mit\n---\n# demo: student\n\n{evaluation_section(())}\n"
    (model / "README.md").write_text(card, encoding="utf-8")
    mark = find_encoder(model, "student").fingerprint
    result = make_result("student", "all", ["es", "no"], 1, {"es": 71.25, "no": 60.0}, model_fingerprint=mark)

    def run(settings, own, folder, **_):
        (folder / "results").mkdir(parents=True, exist_ok=True)
        (folder / f"results/{result['address']}.json").write_text(json.dumps(result))
        return [result]

    monkeypatch.setattr("unibert.benchmark.grid.run_benchmark", run)
    tree = {"name": "demo", "benchmark": {"models": ["student"], "data": {"xnli": {}}}, "folder": str(tmp_path)}
    recipe = Recipe.model_validate({**tree, "teacher": {"model": "someone/large"}})
    stages.run_benchmark(recipe)
    assert "| es | Spanish | 71.25 |" in (model / "README.md").read_text(encoding="utf-8")
    assert "model-index" in (model / "README.md").read_text(encoding="utf-8")
    assert "README.md" not in capfd.readouterr().err
    (model / "README.md").write_text("mine\n")
    stages.run_benchmark(recipe)
    assert "README.md: your own or of an older version" in capfd.readouterr().err
    assert (model / "README.md").read_text() == "mine\n"
