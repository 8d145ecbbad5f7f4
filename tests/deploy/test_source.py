"""Opening a model that is to be deployed: what is taken, by which name, and everything that is refused."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from deploy_support import write_model
from ner_support import tiny_tokenizer
from unibert.deploy.source import ARCHITECTURES, load_deployable
from unibert.errors import DataError, RecipeError
from unibert.tasks.encoder import Encoder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("made") / "some-model")


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "some-model"))


def change(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def change_weights(folder: Path, act: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    act(weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    ("head", "task"),
    [
        ("MaskedLM", "fill-mask"),
        ("TokenClassification", "token-classification"),
        ("SequenceClassification", "sequence-classification"),
        ("QuestionAnswering", "question-answering"),
        ("", None),
    ],
)
def test_every_head_of_every_architecture_is_told(
    architecture: str, head: str, task: str | None, tmp_path: Path
) -> None:
    found = load_deployable(write_model(tmp_path / "m", architecture, head))
    assert (found.task, found.kind) == (task, "head" if head else "encoder")
    assert (found.architecture, found.name, found.rows) == (architecture, "m", len(found.tokenizer))
    assert not found.model.training
    assert {weight.dtype for weight in found.model.parameters()} == {torch.float32}


@pytest.mark.parametrize("kind", ["encoder", "embeddings"])
def test_the_encoder_of_a_model_with_a_head(folder: Path, kind: str) -> None:
    found = load_deployable(folder, kind)  # type: ignore[arg-type]
    assert (found.kind, found.task, type(found.model).__name__) == (kind, None, "BertModel")
    assert found.model.pooler is None  # no pooler was ever trained
    expected = AutoModel.from_pretrained(folder).embeddings.word_embeddings.weight
    assert torch.equal(found.model.get_input_embeddings().weight, expected)


def test_weights_of_half_the_size_are_widened(folder: Path) -> None:
    change_weights(folder, lambda weights: weights.update({name: v.half() for name, v in weights.items()}))
    assert load_deployable(folder).model.dtype == torch.float32


def test_names_say_something(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "a-run" / "student" / "model"
    shutil.copytree(folder, place)
    assert load_deployable(place).name == "a-run"


def test_a_name_on_the_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "unibert.deploy.source.find_encoder", lambda source, name=None: Encoder(str(source), str(source), "f", "abc")
    )
    asked = []
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda name, **more: asked.append((name, more["revision"])) or str(folder)
    )
    assert load_deployable("someone/some-bert").name == "some-bert"
    assert asked == [("someone/some-bert", "abc")]
    (folder / "model.safetensors").unlink()
    with pytest.raises(DataError, match="no weights in safetensors on the hub"):
        load_deployable("someone/some-bert")


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "no tokenizer": (
        lambda f: [path.unlink() for path in f.glob("tokenizer*")],
        "no tokenizer in",
    ),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "no weights"),
    "no configuration": (lambda f: (f / "config.json").unlink(), "neither a model nor a run"),
    "configuration that is a list": (lambda f: (f / "config.json").write_text("[]"), "not a model's configuration"),
    "another architecture": (lambda f: change(f, model_type="gpt2"), "gpt2, which is not supported"),
    "no architecture": (lambda f: change(f, model_type=None), "not named in config.json"),
    "a decoder": (lambda f: change(f, is_decoder=True), "set up as a decoder"),
    "another head": (lambda f: change(f, architectures=["BertForMultipleChoice"]), "BertForMultipleChoice, which is"),
    "another shape": (lambda f: change(f, intermediate_size=48), r"is of shape \[\d+.*\] in the weights, of \[48"),
    "fewer layers": (lambda f: change(f, num_hidden_layers=1), r"layers that config.json does not .*layer\.1\."),
    "no layers": (lambda f: change(f, num_hidden_layers=0), r"layers that config.json does not .*layer\.0\."),
    "a width that is a word": (lambda f: change(f, hidden_size="big"), r"config\.json cannot be read"),
    "damaged weights": (lambda f: (f / "model.safetensors").write_bytes(b"\x08" * 300), "cannot be loaded"),
    "damaged tokenizer": (lambda f: (f / "tokenizer.json").write_text("{"), "tokenizer in .* cannot be loaded"),
    "a layer is missing": (
        lambda f: change_weights(f, lambda w: w.pop("bert.encoder.layer.1.output.dense.weight")),
        "its weights lack .*layer.1.output.dense.weight",
    ),
    "not a number": (
        lambda f: change_weights(f, lambda w: w["bert.encoder.layer.0.output.dense.bias"].fill_(float("nan"))),
        "holds numbers that are not finite",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(folder: Path, case: str) -> None:
    spoil, message = REFUSED[case]
    spoil(folder)
    with pytest.raises(DataError, match=message) as caught:
        load_deployable(folder)
    assert caught.value.fix


def test_the_supported_architectures_are_named(folder: Path) -> None:
    change(folder, model_type="t5")
    with pytest.raises(DataError) as caught:
        load_deployable(folder)
    assert all(name in caught.value.fix for name in ARCHITECTURES)
    change(folder, model_type="distilbert")
    with pytest.raises(DataError, match="distilbert, which is not supported"):
        load_deployable(folder, architectures=["bert"])


def test_pickles_are_refused_with_how_to_convert_them(folder: Path, tmp_path: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"pickles only \(pytorch_model.bin\)") as caught:
        load_deployable(folder)
    assert "save_pretrained" in caught.value.fix
    assert str(folder) in caught.value.fix
    # The command that is told does it.
    import subprocess
    import sys

    program = caught.value.fix.split('python -c "', 1)[1].rsplit('" writes', 1)[0]
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert load_deployable(folder).task == "fill-mask"


def test_a_pickle_is_not_run(folder: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "sprung",))  # type: ignore[return-value]

    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DataError, match="pickles only"):
        load_deployable(folder)
    assert not (tmp_path / "sprung").exists()


def with_pieces(folder: Path, more: int) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([f"piece{number}" for number in range(more)])
    tokenizer.save_pretrained(folder)


def test_a_tokenizer_with_too_many_pieces(folder: Path) -> None:
    with_pieces(folder, 3)
    pieces = len(tiny_tokenizer())
    with pytest.raises(DataError, match=f"its tokenizer has {pieces + 3} pieces, its embedding {pieces} rows"):
        load_deployable(folder)


def test_a_tokenizer_with_too_few_pieces(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", vocab_size=len(tiny_tokenizer()) + 1025)
    with pytest.raises(DataError, match="do not belong together"):
        load_deployable(folder)
    # Rows without a piece fill up a table to a round number.
    assert load_deployable(write_model(tmp_path / "n", vocab_size=len(tiny_tokenizer()) + 64))


def test_no_head_is_made_up(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", head="")
    with pytest.raises(DataError, match="has no head"):
        load_deployable(folder, "head")
    change(folder, architectures=["BertForTokenClassification"])
    with pytest.raises(DataError, match="its weights lack"):
        load_deployable(folder)


def test_other_kinds_there_are_not(folder: Path) -> None:
    with pytest.raises(RecipeError, match="no such kind"):
        load_deployable(folder, "pooled")  # type: ignore[arg-type]


def test_no_such_place(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        load_deployable(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="neither a model nor a run"):
        load_deployable(tmp_path / "empty")


def test_an_exported_folder_is_not_a_source(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "unibert_export.json").write_text("{}")
    with pytest.raises(DataError, match="an exported model"):
        load_deployable(folder)
