"""Which weights each method moves, in every kind of model, and that a plain model comes out."""

import pytest
import torch

from ner_support import write_conll, write_tiny_bert
from pair_support import labelled_pairs, scored_pairs
from unibert.errors import DataError
from unibert.recipe import FineTune
from unibert.tasks import ner, nli, sts
from unibert.tasks.data import Split, Splits
from unibert.tasks.encoder import find_encoder
from unibert.tasks.finetune import fine_tune
from unibert.tasks.methods import head_names, prepare

KINDS = {"ner": (ner, {}), "nli": (nli, {}), "sts": (sts, {}), "bi-encoder": (sts, {"sts": "bi-encoder"})}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return find_encoder(write_tiny_bert(tmp_path_factory.mktemp("encoder")))


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    tagged = ner.read(write_conll(tmp_path_factory.mktemp("data") / "train", 32, 1), {})
    return {"ner": tagged, "nli": labelled_pairs(32, 1), "sts": scored_pairs(32, 1)}


def tuned(kind, method, encoder, samples):
    """The model, and by name the weights that fine-tuning has moved."""
    task, more = KINDS[kind]
    settings = FineTune(epochs=1, batch_size=8, learning_rate=1e-2, method=method, precision="float32", **more)
    chosen = samples[task.NAME]
    outcome = fine_tune(task, encoder, {"xx": Splits(train=Split("train", "", chosen))}, settings, 1)
    torch.manual_seed(1)
    before, _ = task.load(encoder, outcome.labels, settings)
    old = dict(before.named_parameters())
    assert type(outcome.model) is type(before)
    # The head was drawn from another state of the generator: whether it moved is not to be seen.
    moved = {name for name, weight in outcome.model.named_parameters() if not torch.equal(weight, old[name])}
    return outcome, moved, tuple(head_names(before)) or ("no head",)


@pytest.mark.parametrize("kind", KINDS)
def test_bitfit_moves_biases(kind, encoder, samples):
    outcome, moved, head = tuned(kind, "bitfit", encoder, samples)
    body = {name for name in moved if not name.startswith(head)}
    assert body
    assert all(name.endswith("bias") for name in body)
    assert outcome.trained_parameters < sum(weight.numel() for weight in outcome.model.parameters()) / 2


@pytest.mark.parametrize("kind", KINDS)
def test_lora_moves_the_matrices_of_the_layers_and_nothing_else(kind, encoder, samples):
    _, moved, head = tuned(kind, "lora", encoder, samples)
    body = {name for name in moved if not name.startswith(head)}
    assert body
    assert all("layer" in name and name.endswith("weight") and "LayerNorm" not in name for name in body)


@pytest.mark.parametrize("kind", ["ner", "nli", "sts"])
def test_frozen_moves_nothing_below_the_head(kind, encoder, samples):
    outcome, moved, head = tuned(kind, "frozen", encoder, samples)
    assert not {name for name in moved if not name.startswith(head)}
    assert (
        0
        < outcome.trained_parameters
        == sum(weight.numel() for name, weight in outcome.model.named_parameters() if name.startswith(head))
    )


def test_an_encoder_without_a_head_has_nothing_to_train_when_frozen(encoder, samples):
    with pytest.raises(DataError, match="has no head to train"):
        tuned("bi-encoder", "frozen", encoder, samples)


@pytest.mark.parametrize("headless", [True, False])
def test_a_model_without_biases_says_so(headless):
    from torch import nn

    model = nn.Module()
    model.base_model_prefix = "" if headless else "body"
    model.body, model.head = nn.Linear(2, 2, bias=False), nn.Linear(2, 2)
    if headless:
        model.head = None
    with pytest.raises(DataError, match="method bitfit: Module has no biases to train"):
        prepare(model, FineTune(method="bitfit"))
