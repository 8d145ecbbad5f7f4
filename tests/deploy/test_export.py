"""Exported folders: what is in them, what their graphs put out, and places that are refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer

from deploy_support import LABELS, TEXTS, write_model
from unibert.deploy import export as export_module
from unibert.deploy.export import export_model
from unibert.deploy.parity import ParityFailed
from unibert.deploy.session import open_exported, open_session, read_record, run_session
from unibert.deploy.source import load_deployable
from unibert.errors import DataError, RecipeError


@pytest.fixture(scope="module")
def folders(mlm: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A masked language model and its exports, as a head and for embeddings."""
    embeddings = tmp_path_factory.mktemp("exports") / "embeddings"
    export_model(mlm / "model", embeddings, "embeddings", TEXTS)
    return {"source": mlm / "model", "head": mlm / "export", "embeddings": embeddings}


def test_the_hubs_layout(folders: dict[str, Path]) -> None:
    files = {path.relative_to(folders["head"]).as_posix() for path in folders["head"].rglob("*") if path.is_file()}
    assert files == {
        "README.md",
        "config.json",
        "onnx/model.onnx",
        "tokenizer.json",
        "tokenizer_config.json",
        "unibert_export.json",
    }
    assert AutoConfig.from_pretrained(folders["head"]).architectures == ["BertForMaskedLM"]
    # What is in the folder is no longer a model that fills in masks.
    assert AutoConfig.from_pretrained(folders["embeddings"]).architectures == ["BertModel"]
    own, original = (AutoTokenizer.from_pretrained(folders[name]) for name in ("head", "source"))
    assert own(TEXTS["de"]).input_ids == original(TEXTS["de"]).input_ids


def test_what_is_told(folders: dict[str, Path]) -> None:
    record = read_record(folders["head"])
    assert (record["kind"], record["task"], record["source"]) == ("head", "fill-mask", folders["source"].parent.name)
    assert record["parameters"] == sum(p.numel() for p in load_deployable(folders["source"]).model.parameters())
    assert set(record["parity"]["languages"]) == {"one piece", "de", "fr"}
    assert record["parity"]["languages"]["de"]["texts"] == 4
    assert 0 < record["parity"]["languages"]["de"]["difference"] < 1e-4
    card = (folders["head"] / "README.md").read_text()
    assert "pipeline_tag: fill-mask" in card
    assert "On 9 texts of 2 languages, no output differs by more than" in card
    assert "pipeline_tag: feature-extraction" in (folders["embeddings"] / "README.md").read_text()


def test_inputs_and_outputs_have_names_and_any_size(folders: dict[str, Path]) -> None:
    session = open_session(folders["head"] / "onnx" / "model.onnx")
    assert [(entry.name, entry.type, entry.shape) for entry in session.get_inputs()] == [
        (name, "tensor(int64)", ["batch", "length"]) for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    assert [output.shape for output in session.get_outputs()] == [["batch", "length", 159]]
    session = open_session(folders["embeddings"] / "onnx" / "model.onnx")
    assert [(output.name, output.shape) for output in session.get_outputs()] == [
        ("sentence_embedding", ["batch", 32]),
        ("last_hidden_state", ["batch", "length", 32]),
    ]


@pytest.mark.parametrize(("batch", "length"), [(1, 1), (1, 64), (3, 1), (5, 17)])
def test_any_size_gives_what_transformers_gives(folders: dict[str, Path], batch: int, length: int) -> None:
    model = AutoModel.from_pretrained(folders["source"], add_pooling_layer=False).eval()
    ids = torch.randint(5, 150, (batch, length), generator=torch.Generator().manual_seed(1))
    mask = (torch.arange(length) < torch.arange(1, batch + 1)[:, None] * max(1, length // batch)).long()
    with torch.inference_mode():
        hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
    found = run_session(
        open_session(folders["embeddings"] / "onnx" / "model.onnx"), {"input_ids": ids, "attention_mask": mask}
    )
    assert np.abs(found["last_hidden_state"] - hidden.numpy())[mask.bool().numpy()].max() < 1e-4
    for row in range(batch):
        mean = hidden[row][mask[row].bool()].mean(0)
        assert np.abs(found["sentence_embedding"][row] - mean.numpy()).max() < 1e-4


def test_padding_changes_nothing(folders: dict[str, Path]) -> None:
    opened = open_exported(folders["head"])
    alone = [run_session(opened.session, opened.tokenizer(text, return_tensors="np"))["logits"] for text in TEXTS["de"]]
    together = run_session(opened.session, opened.tokenizer(TEXTS["de"], padding=True, return_tensors="np"))["logits"]
    for row, logits in enumerate(alone):
        assert np.abs(together[row, : logits.shape[1]] - logits[0]).max() < 1e-4
    # The test could fail: without the mask it would.
    batch = {**opened.tokenizer(TEXTS["de"], padding=True, return_tensors="np")}
    batch["attention_mask"][:] = 1
    assert np.abs(run_session(opened.session, batch)["logits"][2, :3] - alone[2][0, :3]).max() > 1e-2


def test_the_shared_table_is_in_the_file_once(tmp_path: Path) -> None:
    source = write_model(tmp_path / "m", num_hidden_layers=1, vocab_size=1000)
    export_model(source, tmp_path / "x", texts=TEXTS)
    model = onnx.load(tmp_path / "x" / "onnx" / "model.onnx")
    assert [list(t.dims) for t in model.graph.initializer if 1000 in t.dims] == [[1000, 32], [1000]]  # and its bias
    weights = 4 * sum(p.numel() for p in load_deployable(source).model.parameters())
    assert weights < (tmp_path / "x" / "onnx" / "model.onnx").stat().st_size < weights + 40_000


def test_no_file_of_this_machine_is_named(folders: dict[str, Path]) -> None:
    for path in folders["head"].rglob("*"):
        if path.is_file() and path.name != "tokenizer.json":
            content = path.read_bytes()
            assert b"site-packages" not in content
            assert str(folders["source"].parent).encode() not in content


def test_without_text_the_vocabulary_is_taken_and_that_is_said(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_graph(folders["head"], monkeypatch)
    result = export_model(folders["source"], tmp_path / "x")
    assert set(result.parity) == {"one piece", "pieces"}
    assert "no text was given" in str(result)
    assert "pieces of the vocabulary at random" in (tmp_path / "x" / "README.md").read_text()


def copy_graph(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of building a graph, take the one of this folder: much faster."""

    def build(found: object, path: Path) -> None:
        path.parent.mkdir(parents=True)
        shutil.copyfile(folder / "onnx" / "model.onnx", path)

    monkeypatch.setattr(export_module, "build_graph", build)


def test_a_graph_of_other_weights_is_refused(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_graph(folders["head"], monkeypatch)
    other = write_model(tmp_path / "other", seed=1)
    with pytest.raises(ParityFailed, match=r"differ by .* more than the tolerance of 0.0001") as caught:
        export_model(other, tmp_path / "x", texts=TEXTS)
    assert set(caught.value.found) == {"one piece", "de", "fr"}
    assert {path.name for path in tmp_path.iterdir()} == {"other"}


def test_an_earlier_export_stays_when_the_new_one_fails(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_graph(folders["head"], monkeypatch)
    there = Path(shutil.copytree(folders["head"], tmp_path / "x"))
    before = (there / "unibert_export.json").read_text()
    with pytest.raises(ParityFailed):
        export_model(folders["source"], there, texts=TEXTS, tolerance=0.0)
    assert (there / "unibert_export.json").read_text() == before
    with pytest.raises(RecipeError, match="--tolerance inf"):
        export_model(folders["source"], there, texts=TEXTS, tolerance=float("inf"))
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match="a link to something that is not there"):
        export_model(folders["source"], tmp_path / "dangling")
    export_model(folders["source"], there, texts={"de": TEXTS["de"]})
    assert set(read_record(there)["parity"]["languages"]) == {"one piece", "de"}


@pytest.mark.parametrize("case", ["strange folder", "file", "export with more", "the source itself"])
def test_places_that_are_taken(folders: dict[str, Path], tmp_path: Path, case: str) -> None:
    place = tmp_path / "x"
    if case == "file":
        place.write_text("mine")
    elif case == "strange folder":
        place.mkdir()
        (place / "diary.txt").write_text("mine")
    elif case == "export with more":
        shutil.copytree(folders["head"], place)
        (place / "diary.txt").write_text("mine")
    else:
        shutil.copytree(folders["source"], place)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    source = place if case == "the source itself" else folders["source"]
    with pytest.raises(DataError, match=r"is a file|something there already|other files in it"):
        export_model(source, place, texts=TEXTS)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_no_text_at_all(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no text to check the export on"):
        export_model(folders["source"], tmp_path / "x", texts={"de": []})


def test_a_model_that_cannot_be_traced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import BertModel

    def forward(self: object, input_ids: torch.Tensor, **more: object) -> None:
        if input_ids.sum() > 3:
            raise ValueError("two ways")

    source = write_model(tmp_path / "m", head="")
    monkeypatch.setattr(BertModel, "forward", forward)
    with pytest.raises(DataError, match=r"that torch\.onnx cannot trace"):
        export_model(source, tmp_path / "x", texts=TEXTS)
    assert not (tmp_path / "x").exists()


def test_a_model_too_large_for_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unibert.deploy.onnx_graph._LARGEST", 1000)
    with pytest.raises(DataError, match="no more than 2 GiB"):
        export_model(write_model(tmp_path / "m"), tmp_path / "x", texts=TEXTS)


def test_what_fine_tuning_told_goes_along(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_graph(folders["head"], monkeypatch)
    monkeypatch.setattr(export_module, "measure_parity", lambda *given: {})
    monkeypatch.setattr(export_module, "check_parity", lambda *given: None)
    monkeypatch.setattr(export_module, "write_card", lambda *given: None)
    source = write_model(tmp_path / "ner", head="TokenClassification")
    told = {"task": "ner", "settings": {"max_length": 40}, "data": {"und": {"test": {"file": "/home/me/test"}}}}
    (source / "finetune.json").write_text(json.dumps(told))
    record = export_model(source, tmp_path / "x", texts=TEXTS).record
    assert record["finetuned"] == {"task": "ner", "settings": {"max_length": 40}}
    assert record["labels"] == LABELS
    assert record["limit"] == 64
