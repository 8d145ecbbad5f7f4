"""`unibert universality` and `unibert neutralise`, as they are typed; a run with universality in its recipe."""

import json

import pytest
import torch
import transformers
from typer.testing import CliRunner

from ner_support import write_conll, write_tiny_bert
from parallel_support import write_parallel
from unibert.cli import app
from unibert.errors import DataError, RecipeError
from unibert.universality.overview import EncodersFailed

QUICK = ["--sentences", "60", "--seed", "1", "--layers", "last"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_tiny_bert(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_parallel(tmp_path_factory.mktemp("data"))


def call(*command, **options):
    return CliRunner().invoke(app, [str(part) for part in command], catch_exceptions=False, **options)


def test_an_encoder_that_is_no_runs(model, data, tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        f'name = "u"\nfolder = "{tmp_path}/run"\n[teacher]\nmodel = "none"\n'
        f'[universality]\nmodels = ["{model}"]\nparallel = ["{data}"]\nleast_pairs = 10\nmaps = ["pca"]\n'
    )
    told = call("universality", recipe, *QUICK)
    assert told.exit_code == 0, told.output
    lines = told.stdout.splitlines()
    assert lines[0].split()[:3] == ["model", "probe", "chance"]
    assert lines[1].startswith(str(model))
    page = tmp_path / "run" / "report" / "index.html"
    assert f"report: {page}" in told.output
    text = page.read_text(encoding="utf-8")
    assert 'id="universality"' in text
    (result,) = (path for path in (tmp_path / "run" / "universality").glob("*.json") if path.name != "run.json")
    assert json.loads(result.read_text())["settings"]["seeds"] == [1]

    # The run's folder stands for its recipe; another folder gets results and a page of its own.
    again = call("universality", tmp_path / "run", *QUICK, "--output", tmp_path / "other")
    assert again.exit_code == 0, again.output
    assert (tmp_path / "other" / "report" / "index.html").is_file()


def test_a_model_by_option(model, data, tmp_path):
    told = call(
        "universality", "--model", model, "--text", data / "de.txt", "--text", data / "fr.txt", *QUICK,
        "--output", tmp_path / "out",
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    assert (tmp_path / "out" / "report" / "index.html").is_file()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--layers", "first"], "universality.layers"),
        (["--language", "de"], "universality.languages"),
    ],
)
def test_impossible_settings(options, told, model, data, tmp_path):
    with pytest.raises(RecipeError, match=told):
        call("universality", "--model", model, "--text", data, "--output", tmp_path / "o", *options)
    assert not (tmp_path / "o").exists()


def test_an_option_that_names_nothing_is_refused(model, data, tmp_path):
    told = call("universality", "--model", model, "--text", data, "--output", tmp_path / "o", "--language", ",")
    assert told.exit_code == 2
    assert "names nothing" in told.output
    assert not (tmp_path / "o").exists()


def test_what_is_not_there(model, data, tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        call("universality", "--model", model, "--text", tmp_path / "nowhere", "--output", tmp_path / "o")
    with pytest.raises(DataError, match="no such folder"):
        call("universality", "--model", tmp_path / "no", "--text", data, "--output", tmp_path / "o")
    with pytest.raises(RecipeError, match="nothing to measure on"):
        call("universality", "--model", model, "--output", tmp_path / "o")
    assert call("universality").exit_code == 2
    assert call("universality", "--model", model, "--text", data, "--set", "name=x").exit_code == 2
    assert not (tmp_path / "o").exists()


@pytest.fixture
def broken(tmp_path):
    folder = write_tiny_bert(tmp_path / "broken", seed=3)
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder)
    with torch.no_grad():
        model.bert.encoder.layer[0].output.dense.weight.fill_(torch.nan)
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("with_recipe", [False, True])
def test_a_model_that_fails_is_told_at_the_end_and_the_others_are_on_the_page(
    with_recipe, model, broken, data, tmp_path, capsys
):
    recipe = tmp_path / "r.toml"
    recipe.write_text(f'name = "u"\nfolder = "{tmp_path}/out"\n[teacher]\nmodel = "none"\n')
    place = [recipe] if with_recipe else ["--output", tmp_path / "out"]
    with pytest.raises(EncodersFailed, match="1 of 2 encoders could not be measured") as told:
        call("universality", *place, "--model", broken, "--model", model, "--text", data, *QUICK)
    assert told.value.exit_code == 1
    assert f"left out: {broken}: " in told.value.message
    assert "not finite" in told.value.message
    page = (tmp_path / "out" / "report" / "index.html").read_text(encoding="utf-8")
    assert 'id="universality"' in page
    assert "Models that are folders are called by the end of their path: tiny for" in page
    assert "broken.failed" in page
    assert "not finite" in page
    files = [path for path in (tmp_path / "out" / "universality").iterdir() if "broken" in path.name]
    assert [path.suffix for path in files] == [".failed"]


def test_neutralise_says_what_is_left_out_and_what_it_was_fitted_on(model, data, tmp_path):
    recipe = ["neutralise", "--model", model, "--sentences", "60", "--text", data, "--language", "de,fr,ru"]
    told = call(*recipe, "--output", tmp_path / "out")
    assert "left out: text of ru: no text of it was found" in told.stdout
    with pytest.raises(DataError, match="there is something there already"):
        call("neutralise", "--model", "nowhere", "--text", data, "--output", tmp_path / "out")


def test_neutralise_and_a_head_that_does_not_see_the_language(model, data, tmp_path):
    told = call("neutralise", "--model", model, "--text", data, "--sentences", "60", "--output", tmp_path / "neutral")
    assert told.exit_code == 0, told.output
    assert "removed 2 of 32 directions" in told.output
    assert (tmp_path / "neutral" / "modules.json").is_file()

    texts = ["--text", data / "de.txt", "--text", data / "fr.txt"]
    call("universality", "--model", model, *texts, *QUICK, "--output", tmp_path / "out")
    train = write_conll(tmp_path / "train.conll", 20, 1)
    common = ["finetune", "--task", "ner", "--model", model, "--train", train, "--test", train, "--epochs", "1"]
    plain = call(*common, "--output", tmp_path / "plain")
    hidden = call(*common, "--output", tmp_path / "hidden", "--neutralise", tmp_path / "out" / "universality")
    assert plain.exit_code == hidden.exit_code == 0, hidden.output
    settings = [json.loads((tmp_path / name / "finetune.json").read_text())["settings"] for name in ("plain", "hidden")]
    assert "neutralise" not in settings[0]
    assert settings[1]["neutralise"] == str(tmp_path / "out" / "universality")

    from unibert.models.neutral import load_projection

    (directions,) = (tmp_path / "out" / "universality").glob("*.directions.safetensors")
    projection = load_projection(directions)
    from transformers import AutoModelForTokenClassification

    head = {
        name: AutoModelForTokenClassification.from_pretrained(tmp_path / name).classifier.weight.detach().numpy()
        for name in ("plain", "hidden")
    }
    seen = {name: abs(weight @ projection.directions_RD.T).max() for name, weight in head.items()}
    assert seen["hidden"] < 1e-5 < seen["plain"]
    predicted = call("predict", "--model", tmp_path / "hidden", "--input", train, "--output", tmp_path / "p.jsonl")
    assert predicted.exit_code == 0, predicted.output


def test_directions_of_another_model_are_refused(model, data, tmp_path):
    other = write_tiny_bert(tmp_path / "other", seed=5)
    call("universality", "--model", model, "--text", data / "de.txt", "--text", data / "fr.txt", *QUICK,
         "--output", tmp_path / "out")  # fmt: skip
    train = write_conll(tmp_path / "train.conll", 20, 1)
    with pytest.raises(DataError, match="no language directions of this model"):
        call("finetune", "--task", "ner", "--model", other, "--train", train, "--output", tmp_path / "x",
             "--neutralise", tmp_path / "out" / "universality")  # fmt: skip
    assert not (tmp_path / "x").exists()
