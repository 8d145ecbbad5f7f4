"""Quantising an exported folder: what is written, what is measured, and what is refused without a trace."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from deploy_support import TEXTS, write_model
from ner_support import tiny_tokenizer, write_conll, write_tiny_bert
from unibert.deploy.export import export_model
from unibert.deploy.quality import QualityTooLow
from unibert.deploy.quantise import Precision, quantise_model
from unibert.deploy.quantised_graph import convert_to_float16
from unibert.deploy.session import open_exported, read_record, run_session
from unibert.errors import DataError, RecipeError
from unibert.recipe import FineTune
from unibert.tasks.finetune import finetune

INT8 = "onnx/model_quantized.onnx"


@pytest.fixture
def folder(mlm: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(mlm / "export", tmp_path / "export"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_written(folder: Path) -> None:
    before = contents(folder)
    result = quantise_model(folder, TEXTS)
    after = contents(folder)
    assert set(after) - set(before) == {INT8}
    assert {name for name in before if after[name] != before[name]} == {"README.md", "unibert_export.json"}
    assert result.bytes == len(after[INT8])
    record = read_record(folder)
    assert record["bytes"] == {"onnx/model.onnx": len(after["onnx/model.onnx"]), INT8: len(after[INT8])}
    told = record["quantisation"]["int8"]
    assert (told["file"], told["reduce_range"], set(told["languages"])) == (INT8, False, {"de", "fr"})
    assert told["languages"]["de"]["cosine"] == result.quality["de"].cosine
    card = (folder / "README.md").read_text()
    assert "## What int8 costs" in card
    assert "| de (German) | 4 | 0.99" in card
    assert "dtype: 'q8'" in card


def test_the_shared_table_is_in_the_file_once_and_in_int8(tmp_path: Path) -> None:
    """A quarter of float32, but for scales, biases and the graph itself."""
    pieces = 1000
    source = write_model(tmp_path / "m", num_hidden_layers=1, vocab_size=pieces)
    export_model(source, tmp_path / "x", texts=TEXTS)
    result = quantise_model(tmp_path / "x", TEXTS)
    model = onnx.load(tmp_path / "x" / INT8)
    tables = [(t.dims[:], t.data_type) for t in model.graph.initializer if np.prod(t.dims) >= pieces * 32]
    assert tables == [([pieces, 32], onnx.TensorProto.INT8)]
    assert not [t.name for t in model.graph.initializer if len(t.dims) == 2 and t.data_type == 1 and t.dims[0] > 2]
    assert result.bytes < pieces * (32 + 4 + 4) + 9_000 + 20_000  # table, scales, bias; a layer; the graph


def test_outputs_are_near_and_any_size_is_read(folder: Path) -> None:
    quantise_model(folder, TEXTS)
    before, after = (open_exported(folder, name) for name in ("onnx/model.onnx", INT8))
    for batch, length in [(1, 1), (3, 9), (1, 64)]:
        ids = np.random.default_rng(length).integers(5, 150, (batch, length))
        one, other = (run_session(opened.session, {"input_ids": ids})["logits"] for opened in (before, after))
        assert one.shape == other.shape
        assert 0 < np.abs(one - other).max() < 0.15 * np.abs(one).max()


def test_seven_bits_and_float16(folder: Path) -> None:
    full = quantise_model(folder, TEXTS).quality["de"].cosine
    seven = quantise_model(folder, TEXTS, reduce_range=True).quality["de"].cosine
    half = quantise_model(folder, TEXTS, precision="fp16")
    assert full is not None and seven is not None and half.quality["de"].cosine is not None
    assert seven < full < half.quality["de"].cosine
    assert 0.5 * half.bytes_before < half.bytes < 0.75 * half.bytes_before
    assert half.file.name == "model_fp16.onnx"
    record = read_record(folder)
    assert set(record["quantisation"]) == {"int8", "fp16"}
    assert record["quantisation"]["int8"]["reduce_range"] is True
    assert "## What fp16 costs" in (folder / "README.md").read_text()


def test_without_text_the_vocabulary_is_taken(folder: Path) -> None:
    result = quantise_model(folder)
    assert list(result.quality) == ["pieces"]
    assert "no text was given" in str(result)


def test_scores_on_labelled_data(tmp_path: Path) -> None:
    """A model that has learnt something: its score in float32 is the one that fine-tuning told."""
    settings = FineTune(epochs=3, batch_size=16, learning_rate=1e-2, precision="float32")
    encoder = write_tiny_bert(tmp_path / "encoder")
    train, test = (write_conll(tmp_path / name, count, seed) for name, count, seed in (("a", 150, 1), ("b", 40, 3)))
    tuned = finetune("ner", encoder, train, None, test, settings, 1, tmp_path / "ner")
    assert tuned["scores"]["und"]["f1"] > 80
    export_model(tmp_path / "ner", tmp_path / "x", texts=TEXTS)
    result = quantise_model(tmp_path / "x", TEXTS, {"de": test}, max_drop=30.0)
    found = result.quality["de"]
    assert (found.texts, found.samples, result.metric) == (4, 40, "entity F1")
    assert found.before == pytest.approx(tuned["scores"]["und"]["f1"])
    assert found.after is not None
    assert found.after > 60
    assert result.quality["fr"].before is None
    kept = contents(tmp_path / "x")
    with pytest.raises(QualityTooLow, match=r"points of entity F1 in de \(German\), more than -100"):
        quantise_model(tmp_path / "x", TEXTS, {"de": test}, max_drop=-100.0)
    assert contents(tmp_path / "x") == kept


def test_too_much_is_lost(folder: Path) -> None:
    before = contents(folder)
    with pytest.raises(QualityTooLow, match="2 of 2 languages are below 1"):
        quantise_model(folder, TEXTS, minimum_cosine=1.0)
    assert contents(folder) == before


def test_texts_and_options_that_are_refused(folder: Path) -> None:
    before = contents(folder)
    with pytest.raises(DataError, match="no text to compare on"):
        quantise_model(folder, {"de": []})
    with pytest.raises(RecipeError, match="no labelled data to lose points on"):
        quantise_model(folder, TEXTS, max_drop=1.0)
    with pytest.raises(RecipeError, match="no such precision"):
        quantise_model(folder, TEXTS, precision="int4")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no model of a task"):
        quantise_model(folder, TEXTS, folder / "README.md")
    with pytest.raises(RecipeError, match="--min-cosine nan: not a finite number"):
        quantise_model(folder, TEXTS, minimum_cosine=math.nan)
    assert contents(folder) == before


def test_folders_that_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not an exported model"):
        quantise_model(write_model(tmp_path / "m"))
    with pytest.raises(DataError, match=r"README\.md: is a file"):
        quantise_model(folder / "README.md")
    damaged = Path(shutil.copytree(folder, tmp_path / "damaged"))
    record = json.loads((damaged / "unibert_export.json").read_text())
    (damaged / "unibert_export.json").write_text(json.dumps({**record, "bytes": []}))
    before = contents(damaged)
    with pytest.raises(DataError, match="bytes is missing or damaged"):
        quantise_model(damaged, TEXTS)
    assert contents(damaged) == before
    (folder / "onnx" / "model.onnx").unlink()
    with pytest.raises(DataError, match=r"model\.onnx: no such file"):
        quantise_model(folder)


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_what_has_no_weights_in_float32_is_named(folder: Path, precision: Precision) -> None:
    (folder / "onnx" / "model.onnx").write_bytes(
        convert_to_float16(onnx.load(folder / "onnx" / "model.onnx")).SerializeToString()
    )
    before = contents(folder)
    with pytest.raises(DataError, match=r"model\.onnx: has no weights in float32"):
        quantise_model(folder, TEXTS, precision=precision)
    assert contents(folder) == before


def test_an_onnx_file_of_another_tokenizer(folder: Path) -> None:
    model = onnx.load(folder / "onnx" / "model.onnx")
    for tensor in model.graph.initializer:
        if list(tensor.dims) == [len(tiny_tokenizer()), 32]:
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.ones((20, 32), np.float32), tensor.name))
    onnx.save(model, folder / "onnx" / "model.onnx")
    before = contents(folder)
    with pytest.raises(DataError, match=r"its embedding table has 20 rows, the tokenizer beside it 159 pieces"):
        quantise_model(folder, TEXTS)
    assert contents(folder) == before


def test_a_graph_that_does_not_name_its_hidden_states(folder: Path) -> None:
    model = onnx.load(folder / "onnx" / "model.onnx")
    for node in model.graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                names[place] = "hidden" if name == "last_hidden_state" else name
    onnx.save(model, folder / "onnx" / "model.onnx")
    with pytest.raises(DataError, match="computes no last_hidden_state"):
        quantise_model(folder, TEXTS)


def test_an_earlier_quantised_file_is_replaced(folder: Path) -> None:
    (folder / INT8).write_bytes(b"old")
    quantise_model(folder, {"de": TEXTS["de"]})
    assert (folder / INT8).stat().st_size > 1000
    assert set(json.loads((folder / "unibert_export.json").read_text())["quantisation"]["int8"]["languages"]) == {"de"}
