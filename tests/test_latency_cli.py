"""`unibert latency`, as it is typed."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from latency_support import make_latency
from unibert.deploy import latency as measuring
from unibert.deploy_cli import latency
from unibert.errors import DataError, Interrupted, RecipeError
from unibert.report.latency_file import BACKENDS

app = typer.Typer()
app.command()(latency)


@pytest.fixture
def asked(monkeypatch):
    """What was to be measured; what comes out is made up."""
    seen = []

    def measured(models, settings):
        settings.check()
        seen.append((models, settings))
        return make_latency(interrupted="interrupted" in models[0])

    monkeypatch.setattr(measuring, "measure_latency", measured)
    return seen


def call(*words, **options):
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False, **options)


def test_defaults(asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = call("shape:small", "shape:mbert")
    assert told.exit_code == 0, told.output
    ((models, settings),) = asked
    assert models == ["shape:small", "shape:mbert"]
    assert (settings.backends, settings.batches, settings.lengths) == (BACKENDS, (1, 8), (16, 64, 128))
    assert settings.threads[0] == 1 and len(set(settings.threads)) == len(settings.threads)
    assert (settings.repeats, settings.rounds) == (100, 3)
    assert told.stdout.splitlines()[0] == "1 x 64 tokens, median over 3 rounds"
    assert told.stdout.splitlines()[-1] == "report: runs/latency/report.html"
    assert json.loads((tmp_path / "runs" / "latency" / "latency.json").read_text())["schema"] == 1


def test_everything_asked_for(asked, tmp_path):
    told = call(
        "m", "--backend", "torch,onnx", "--backend", "onnx-int8", "--batch", "2", "--length", "8, 32", "--threads", "2",
        "--repeats", "7", "--seconds", "0.5", "--rounds", "1", "--output", tmp_path / "o",
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    settings = asked[0][1]
    assert settings == measuring.LatencySettings(("torch", "onnx", "onnx-int8"), (2,), (8, 32), (2,), 7, 0.5, 1)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "Missing argument"),
        (["m", "--batch", "one"], "whole numbers with commas between"),
        (["m", "--length", "1,,2"], "whole numbers with commas between"),
        (["m", "--rounds", "0"], "Invalid value for '--rounds'"),
    ],
)
def test_what_cannot_be_read_is_refused(asked, words, told):
    result = call(*words, env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 2 and told in result.output and not asked


def test_settings_are_refused_by_name(asked, tmp_path):
    with pytest.raises(RecipeError, match="--backend tourch"):
        call("m", "--backend", "tourch", "--output", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_refused_before_measuring(asked, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        call("m", "--output", tmp_path / "file" / "o")
    assert not asked


def test_after_an_interruption_there_is_a_whole_file_and_a_word(asked, tmp_path):
    with pytest.raises(Interrupted, match=r"latency\.json") as error:
        call("interrupted", "--output", tmp_path)
    assert error.value.exit_code == 130
    assert json.loads((tmp_path / "latency.json").read_text())["interrupted"] is True
