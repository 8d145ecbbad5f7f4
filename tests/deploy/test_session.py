"""Opening exported folders: files that are missing, damaged or of another model."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from ner_support import tiny_tokenizer
from unibert.deploy.session import open_exported, open_session, read_record, run_session, table_rows
from unibert.errors import DataError
from unibert.files import sha256_of_file


@pytest.fixture
def export(mlm: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(mlm / "export", tmp_path / "export"))


def test_what_is_missing_is_filled_in(export: Path) -> None:
    session = open_session(export / "onnx" / "model.onnx", threads=1)
    ids = np.array([[2, 40, 41, 3], [2, 50, 51, 3]], np.int32)
    bare = run_session(session, {"input_ids": ids})["logits"]
    full = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": ids * 0, "more": ids}
    assert np.array_equal(bare, run_session(session, full)["logits"])
    assert bare.shape == (2, 4, len(tiny_tokenizer()))


def test_open_exported(export: Path) -> None:
    opened = open_exported(export, threads=1)
    assert opened.record["kind"] == "head"
    assert opened.tokenizer("mister").input_ids == tiny_tokenizer()("mister").input_ids
    assert table_rows(export / "onnx" / "model.onnx") == len(tiny_tokenizer())


@pytest.mark.parametrize("content", [None, b"", b"\x08\x0a", b"no ONNX file at all"])
def test_files_that_are_no_onnx(export: Path, content: bytes | None) -> None:
    path = export / "onnx" / "model.onnx"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    for act in (lambda: open_session(path), lambda: open_exported(export)):
        with pytest.raises(DataError, match=r"model\.onnx: ") as caught:
            act()
        assert "unibert export" in caught.value.fix


def test_an_onnx_file_of_another_model(export: Path, tmp_path: Path) -> None:
    pieces = len(tiny_tokenizer())
    model = onnx.load(export / "onnx" / "model.onnx")
    # A table with fewer rows, and one with so many more that they are another vocabulary's.
    for rows in (pieces - 1, pieces + 1025):
        for tensor in model.graph.initializer:
            if tensor.dims and tensor.dims[0] in (pieces, pieces - 1) and len(tensor.dims) == 2:
                table = np.zeros((rows, tensor.dims[1]), np.float32)
                tensor.CopyFrom(onnx.numpy_helper.from_array(table, tensor.name))
        onnx.save(model, export / "onnx" / "model.onnx")
        with pytest.raises(DataError, match="do not belong together"):
            open_exported(export)


def test_another_tokenizer(export: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["one-more"])
    tokenizer.save_pretrained(export)
    with pytest.raises(DataError, match="not the tokenizer that this model was exported with"):
        open_exported(export)
    # Even with its name in the record it is refused, since the table has no row for its piece.
    record = json.loads((export / "unibert_export.json").read_text())
    record["tokenizer_sha256"] = sha256_of_file(export / "tokenizer.json")
    (export / "unibert_export.json").write_text(json.dumps(record))
    with pytest.raises(DataError, match="do not belong together"):
        open_exported(export)


def test_folders_that_are_no_export(export: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        read_record(tmp_path / "nothing")
    with pytest.raises(DataError, match=r"has no unibert_export\.json"):
        read_record(tmp_path)
    (export / "unibert_export.json").write_text('{"schema": 99}')
    with pytest.raises(DataError, match="not a record of schema 1"):
        read_record(export)
    (export / "unibert_export.json").write_text("{")
    with pytest.raises(DataError, match="not valid JSON"):
        read_record(export)


def test_no_tokenizer(export: Path) -> None:
    (export / "tokenizer.json").unlink()
    with pytest.raises(DataError, match=r"no tokenizer\.json"):
        open_exported(export)
