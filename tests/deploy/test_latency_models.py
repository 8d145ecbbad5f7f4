"""Which models are measured, what they are called, and the shapes that get random weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer

from unibert.deploy.latency_models import find_candidates, make_shape, shapes
from unibert.deploy.source import load_deployable
from unibert.errors import DataError, RecipeError
from unibert.models.sizes import SIZES
from unibert.pretrain.finish import SUMMARY_FILE


def folder_of(place: Path) -> Path:
    place.mkdir(parents=True)
    (place / "config.json").write_text("{}")
    return place


def test_folders_and_shapes_by_name(tmp_path):
    first, second = folder_of(tmp_path / "a" / "ours"), folder_of(tmp_path / "b" / "ours")
    inner = folder_of(tmp_path / "run-7" / "model")
    found = find_candidates([str(first), "shape:mbert", str(inner), str(second)])
    assert [candidate.name for candidate in found] == ["ours", "mbert", "run-7", "ours (2)"]
    assert [candidate.folder for candidate in found] == [first, None, inner, second]
    assert [candidate.shape for candidate in found] == [None, "mbert", None, None]


def test_a_name_that_ends_in_a_number_is_not_taken_twice(tmp_path):
    places = [folder_of(tmp_path / part) for part in ("a/m", "b/m (2)", "c/m")]
    names = [candidate.name for candidate in find_candidates([str(place) for place in places])]
    assert len(set(names)) == 3 and names[:2] == ["m", "m (2)"]


def test_the_same_model_twice_is_refused(tmp_path):
    place = folder_of(tmp_path / "m")
    with pytest.raises(DataError, match="twice"):
        find_candidates([str(place), str(place.parent / "." / "m")])
    with pytest.raises(DataError, match="twice"):
        find_candidates(["shape:small", "shape:small"])


@pytest.mark.parametrize(
    ("given", "kind", "told"),
    [
        ("shape:distil-mbrt", RecipeError, "Did you mean distil-mbert"),
        ("nowhere", DataError, "no such folder"),
        ("", DataError, "neither a model nor a run"),
    ],
)
def test_what_is_not_there_is_refused(tmp_path, monkeypatch, given, kind, told):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind) as error:
        find_candidates([given])
    assert told in str(error.value)


def test_a_run_that_is_not_finished_is_refused(tmp_path):
    folder_of(tmp_path / "run" / "student" / "model")
    (tmp_path / "run" / "student" / "log.jsonl").write_text("")
    assert not (tmp_path / "run" / "student" / SUMMARY_FILE).exists()
    with pytest.raises(DataError, match="not finished"):
        find_candidates([str(tmp_path / "run")])


@pytest.mark.parametrize(
    ("name", "layers", "hidden", "pieces", "positions", "types", "parameters"),
    [
        # The published checkpoints have these numbers of parameters, with a pooler of hidden * (hidden + 1) the last
        # two: 134.7 M, 177.9 M, 278.0 M.
        ("distil-mbert", 6, 768, 119_547, 512, 0, 134_734_080),
        ("mbert", 12, 768, 119_547, 512, 2, 177_853_440 - 768 * 769),
        ("xlm-r-base", 12, 768, 250_002, 514, 1, 278_043_648 - 768 * 769),
        *((name, s.layers, s.hidden, 119_547, 512, 2, None) for name, s in SIZES.items()),
    ],
)
def test_shapes_have_the_published_number_of_parameters(name, layers, hidden, pieces, positions, types, parameters):
    wide = 3072
    layer = 4 * hidden * (hidden + 1) + 2 * hidden * wide + wide + hidden + 4 * hidden
    counted = (pieces + positions + types) * hidden + 2 * hidden + layers * layer
    assert parameters is None or counted == parameters
    configuration = shapes()[name]
    with torch.device("meta"):
        config = AutoConfig.for_model(**configuration)
        model = AutoModel.from_config(config)
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    assert sum(parameter.numel() for parameter in model.parameters()) == counted


@pytest.mark.parametrize("name", ["distil-mbert", "xlm-r-base", "xxsmall"])
def test_a_shape_becomes_a_folder_that_can_be_deployed(tmp_path, name):
    small = {"vocab_size": 300, "dim": 16, "hidden_size": 16, "n_layers": 1, "num_hidden_layers": 1, "n_heads": 2,
             "num_attention_heads": 2, "hidden_dim": 24, "intermediate_size": 24}  # fmt: skip
    configuration = {key: small.get(key, value) for key, value in shapes()[name].items()}
    before = torch.get_rng_state()
    make_shape(configuration, tmp_path / "m")
    assert torch.equal(before, torch.get_rng_state())
    opened = load_deployable(tmp_path / "m", "encoder")
    assert opened.rows == 300 == len(opened.tokenizer)
    assert opened.tokenizer.pad_token_id == configuration["pad_token_id"]
    assert json.loads((tmp_path / "m" / "config.json").read_text())["model_type"] == configuration["model_type"]
    assert AutoTokenizer.from_pretrained(tmp_path / "m").convert_ids_to_tokens(299) == "p294"
