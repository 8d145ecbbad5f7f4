"""Folders of sentence-transformers: the linear layer after the mean goes along; what is more than that is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deploy_support import TEXTS, write_model
from unibert.deploy.export import export_model
from unibert.deploy.quantise import quantise_model
from unibert.deploy.session import open_exported, run_session
from unibert.deploy.source import load_deployable
from unibert.errors import DataError
from unibert.models.neutral import fit_projection
from unibert.tasks.bi_encoder import load_bi_encoder
from unibert.tasks.encoder import find_encoder
from unibert.universality.sentence_encoder import write_sentence_encoder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare encoder, and the same without two directions."""
    place = tmp_path_factory.mktemp("made")
    write_model(place / "plain", head="")
    generator = np.random.default_rng(1)
    centres = 3 * generator.normal(size=(3, int(load_bi_encoder(find_encoder(place / "plain"))[0].config.hidden_size)))
    vectors = np.repeat(centres, 20, axis=0)
    projection = fit_projection(
        vectors + generator.normal(size=vectors.shape), np.repeat(["de", "fr", "ru"], 20).tolist()
    )
    write_sentence_encoder(find_encoder(place / "plain"), projection, None, place / "neutral")
    return place


def embedded(folder: Path, text: str) -> np.ndarray:
    exported = open_exported(folder)
    batch = exported.tokenizer([text], return_tensors="np")
    return run_session(exported.session, batch)["sentence_embedding"][0]


def test_the_layer_after_the_mean_is_in_the_graph(made: Path, tmp_path: Path) -> None:
    plain = export_model(made / "plain", tmp_path / "plain", "embeddings", TEXTS).folder
    result = export_model(made / "neutral", tmp_path / "neutral", None, TEXTS)
    assert result.record["kind"] == "embeddings"
    layer = load_deployable(made / "neutral").projection
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    for text in ("Der Fluss", "une ville"):
        expected = weight @ embedded(plain, text) + bias
        assert np.allclose(embedded(result.folder, text), expected, atol=1e-4)
        assert not np.allclose(expected, embedded(plain, text), atol=1e-2)
    assert quantise_model(result.folder, TEXTS, minimum_cosine=None).bytes > 0


def test_without_modules_embeddings_are_the_mean(made: Path) -> None:
    assert load_deployable(made / "plain").kind == "encoder"
    assert load_deployable(made / "plain", "embeddings").projection is None
    assert load_deployable(made / "neutral", "encoder").projection is None


def change(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def other_modules(folder: Path, *kinds: str) -> None:
    (folder / "modules.json").write_text(json.dumps([{"type": f"x.{kind}", "path": ""} for kind in kinds]))


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "another module": (lambda f: other_modules(f, "Transformer", "Pooling", "Normalize"), "Normalize, which is not"),
    "no list": (lambda f: (f / "modules.json").write_text("{}"), "not a list of modules"),
    "another mean": (
        lambda f: change(f / "1_Pooling" / "config.json", pooling_mode_cls_token=True, pooling_mode_mean_tokens=False),
        "pooling_mode_cls_token, of which only the mean",
    ),
    "an activation": (
        lambda f: change(f / "2_Dense" / "config.json", activation_function="torch.nn.modules.activation.Tanh"),
        "a layer with Tanh",
    ),
    "no weights": (lambda f: (f / "2_Dense" / "model.safetensors").unlink(), r"2_Dense.model\.safetensors: cannot be"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(made: Path, tmp_path: Path, case: str) -> None:
    folder = Path(shutil.copytree(made / "neutral", tmp_path / "neutral"))
    spoil, message = REFUSED[case]
    spoil(folder)
    with pytest.raises(DataError, match=message):
        load_deployable(folder)
