"""`unibert export` and `unibert quantise`, as they are typed."""

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ner_support import write_conll
from parallel_support import write_parallel
from unibert.cli import app
from unibert.deploy import export as export_module
from unibert.deploy.parity import ParityFailed
from unibert.deploy.quality import QualityTooLow
from unibert.errors import DataError, Interrupted, RecipeError


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and its export, by the command line."""
    from deploy_support import write_model

    place = tmp_path_factory.mktemp("made")
    write_model(place / "model", head="TokenClassification")
    told = call("export", place / "model", "--output", place / "export")
    assert told.exit_code == 0, told.output
    assert told.stdout.splitlines()[-1] == str(place / "export")
    assert "no text was given" in told.stdout
    return place


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(write_parallel(tmp_path_factory.mktemp("text")))


def call(*command: object) -> Any:
    return CliRunner().invoke(app, [str(part) for part in command], catch_exceptions=False)


def same_graph(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(found: object, path: Path) -> None:
        path.parent.mkdir(parents=True)
        shutil.copyfile(made / "export" / "onnx" / "model.onnx", path)

    monkeypatch.setattr(export_module, "build_graph", build)


def test_a_row_for_every_language(made: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    same_graph(made, monkeypatch)
    output = tmp_path / "export"
    told = call("export", made / "model", "--output", output, "--text", text, "--language", "de,fr")
    assert told.exit_code == 0, told.output
    rows = [line.split() for line in told.stdout.splitlines()]
    assert [row[0] for row in rows[1:4]] == ["one", "de", "fr"]
    assert rows[2][1] == "8"
    told = call("quantise", output, "--text", text / "de.txt", "--data", f"de={write_conll(tmp_path / 'data', 5, 1)}")
    assert told.exit_code == 0, told.output
    rows = [line.split() for line in told.stdout.splitlines()]
    assert rows[1][:3] == ["de", "(German)", "32"]
    assert "entity F1 before" in told.stdout
    assert told.stdout.splitlines()[-1] == str(output / "onnx" / "model_quantized.onnx")


def test_the_table_is_shown_of_what_is_refused(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    same_graph(made, monkeypatch)
    with pytest.raises(ParityFailed):
        call("export", made / "model", "--output", tmp_path / "x", "--tolerance", "0")
    with pytest.raises(QualityTooLow):
        call("quantise", made / "export", "--min-cosine", "1")
    assert not (tmp_path / "x").exists()
    assert not (made / "export" / "onnx" / "model_quantized.onnx").exists()


def test_exit_codes_and_messages(made: Path, tmp_path: Path) -> None:
    """What a shell sees: 1 for what is refused, 2 for what was typed wrong; the table first, no traceback."""
    import subprocess
    import sys

    def shell(*command: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "unibert", *map(str, command)], capture_output=True, text=True)

    told = shell("quantise", made / "export", "--min-cosine", "1")
    assert told.returncode == 1
    assert told.stdout.splitlines()[0].split() == ["texts", "cosine", "lowest", "same", "prediction"]
    assert "error: model model: quantised, its embeddings have a mean cosine of only" in told.stderr.replace(
        made.name, "model"
    )
    assert "Traceback" not in told.stderr


def test_what_is_typed_wrong(made: Path, text: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such kind of model"):
        call("export", made / "model", "--output", tmp_path / "x", "--for", "everything")
    with pytest.raises(RecipeError, match="no text to choose from"):
        call("export", made / "model", "--output", tmp_path / "x", "--language", "de")
    with pytest.raises(DataError, match="not enough text of any language"):
        call("export", made / "model", "--output", tmp_path / "x", "--text", text, "--language", "zu")
    with pytest.raises(RecipeError, match="no such precision"):
        call("quantise", made / "export", "--precision", "int2")
    with pytest.raises(RecipeError, match="no labelled data"):
        call("quantise", made / "export", "--max-drop", "1")
    assert not (tmp_path / "x").exists()


def test_the_help_tells_the_defaults() -> None:
    assert "0.0001" in call("export", "--help").stdout
    assert "--max-drop" in call("quantise", "--help").stdout


def test_the_record_is_json_of_this_schema(made: Path) -> None:
    record = json.loads((made / "export" / "unibert_export.json").read_text())
    assert {
        "schema",
        "kind",
        "task",
        "source",
        "opset",
        "parity",
        "quantisation",
        "tokenizer_sha256",
        "versions",
    } <= set(record)


@pytest.mark.parametrize("verb", ["export", "trim", "latency"])
def test_ctrl_c_says_that_nothing_was_written(
    verb: str, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for module, function in (("export", "export_model"), ("trim", "trim_on_files"), ("latency", "measure_latency")):
        monkeypatch.setattr(importlib.import_module(f"unibert.deploy.{module}"), function, stop)
    with pytest.raises(Interrupted, match=r"nothing was written to .*out"):
        call(verb, made / "model", "--output", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
