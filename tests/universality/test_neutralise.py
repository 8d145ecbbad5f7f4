"""An encoder without language directions: what is written is what was measured; what it buys is told."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ner_support import FILLERS, write_tiny_bert
from unibert.errors import DataError
from unibert.models.neutral import fit_means, fit_projection
from unibert.tasks.encoder import find_encoder
from unibert.universality.embedding import Embedder
from unibert.universality.material import find_material
from unibert.universality.measure import measure_universality
from unibert.universality.neutralise import neutralise_encoder
from unibert.universality_settings import UniversalitySettings


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return write_tiny_bert(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(1)
    english = [" ".join(generator.choice(FILLERS[:20], 4)) for _ in range(120)]
    for code, mark in (("de", "in"), ("fr", "mister")):
        # Translations are the same words with so many of one mark that the language outweighs the meaning.
        lines = [f"{line} {' '.join([mark] * 6)}" for line in english]
        (folder / f"set.{code}-en.en").write_text("\n".join(english) + "\n", encoding="utf-8")
        (folder / f"set.{code}-en.{code}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_it_is_written_and_what_it_buys_is_told(encoder, data, tmp_path):
    settings = UniversalitySettings(models=[str(encoder)], parallel=[str(data)], layers="last", sentences=100)
    told = neutralise_encoder(settings, tmp_path / "neutral")
    rows = {
        line.rsplit(None, 2)[0].strip(): float(line.split()[-2]) for line in told.splitlines() if line.endswith("%")
    }
    assert rows["with each language's mean removed"] > 2 * rows["as it is"]
    assert rows["with the language directions removed"] > 2 * rows["as it is"]
    material = find_material(settings)
    embedder = Embedder(find_encoder(encoder))
    flat = [text for texts in material.texts.values() for text in texts]
    names = [code for code, texts in material.texts.items() for _ in texts]
    vectors = embedder.embed(flat, [1]).layers_LND[0]
    weights = load_file(tmp_path / "neutral" / "2_Dense" / "model.safetensors")
    by_hand = torch.nn.functional.linear(torch.tensor(vectors), weights["linear.weight"], weights["linear.bias"])
    projection = fit_projection(vectors, names)
    np.testing.assert_allclose(by_hand, projection.apply(vectors), atol=1e-5)
    assert projection.rank == len(material.texts) - 1 == 2
    assert fit_means(by_hand.numpy(), names).keys() == material.texts.keys()


def test_a_neutral_encoder_measures_as_neutral_and_is_not_neutralised_again(encoder, data, tmp_path):
    settings = UniversalitySettings(models=[str(encoder)], parallel=[str(data)], layers="last", sentences=100)
    told = neutralise_encoder(settings, tmp_path / "neutral")
    bought = float(next(line for line in told.splitlines() if "language directions removed" in line).split()[-2])
    neutral = settings.model_copy(update={"models": [str(tmp_path / "neutral")], "maps": []})
    material = find_material(neutral)
    found, _ = measure_universality(neutral, [find_encoder(tmp_path / "neutral")], material, tmp_path / "out")
    assert 100 * found[0].retrieval_at(found[0].layers, "cosine", "raw").mean == pytest.approx(bought, abs=0.1)
    with pytest.raises(DataError, match="has a linear layer after the mean already"):
        neutralise_encoder(neutral, tmp_path / "twice")
    assert not (tmp_path / "twice").exists()


def test_without_translations_it_is_only_written(encoder, data, tmp_path):
    for code in ("de", "fr"):
        (tmp_path / f"{code}.txt").write_bytes((data / f"set.{code}-en.{code}").read_bytes())
    settings = UniversalitySettings(models=[str(encoder)], text=[str(tmp_path)], layers="last", sentences=100)
    assert neutralise_encoder(settings, tmp_path / "neutral").splitlines() == [
        "removed 1 of 32 directions, fitted on 2 languages"
    ]


def test_a_folder_that_is_there_is_left_alone(encoder, data, tmp_path):
    (tmp_path / "mine").write_text("x")
    settings = UniversalitySettings(models=[str(encoder)], parallel=[str(data)], layers="last", sentences=100)
    with pytest.raises(DataError, match="something there already"):
        neutralise_encoder(settings, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
