import copy
import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as functional

from ner_support import tiny_tokenizer
from prune_support import ARCHITECTURES, make_model, sentences, whole
from unibert.deploy.pruning_text import TextMaterial
from unibert.deploy.recovery import recover
from unibert.deploy.structure import Shape, cut, find_structure
from unibert.errors import DataError


@pytest.fixture(autouse=True)
def _in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unibert.deploy.recovery.resolve_precision", lambda *_: torch.float32)


def make_material(model) -> TextMaterial:
    return TextMaterial({"de": sentences(60, 1), "fr": sentences(40, 2)}, model, tiny_tokenizer(), seed=1)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_loss_is_the_divergence_on_masked_pieces_and_the_error_of_hidden_states(architecture: str) -> None:
    """Against three plain lines, sample by sample through the whole models."""
    teacher = make_model(architecture).float()
    structure = find_structure(teacher)
    keep = {**whole(structure, Shape(3, 16)), "hidden": np.arange(2, 14)}
    student, material = cut(teacher, structure, keep), make_material(teacher)
    [batch] = next(material.lessons(6))
    loss = material.distil(student, teacher, batch, keep["hidden"], 0.25, torch.float32)
    divergences, errors = [], [[] for _ in range(3)]
    starts = batch.packed.offsets.tolist()
    with torch.no_grad():
        for start, end in itertools.pairwise(starts):
            ids = batch.packed.input_ids[None, start:end]
            rows = [row - start for row in batch.packed.rows.tolist() if start <= row < end]
            ours, theirs = (model(input_ids=ids, output_hidden_states=True) for model in (student, teacher))
            logs = [functional.log_softmax(found.logits[0, rows], -1) for found in (ours, theirs)]
            divergences += (logs[1].exp() * (logs[1] - logs[0])).sum(-1).tolist()
            for place, (own, its) in enumerate(zip(ours.hidden_states, theirs.hidden_states, strict=True)):
                errors[place] += (own - its[..., 2:14]).square().mean(-1).flatten().tolist()
    expected = 0.25 * (np.mean(divergences) + np.mean([np.mean(error) for error in errors]))
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-4)


def test_a_whole_model_has_nothing_to_recover() -> None:
    teacher = make_model().float()
    structure = find_structure(teacher)
    student = cut(teacher, structure, whole(structure))
    assert recover(student, teacher, make_material(teacher), np.arange(16), 1) == [pytest.approx(0, abs=1e-6)]


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_recovery_brings_a_pruned_model_back_towards_the_original(architecture: str) -> None:
    teacher = make_model(architecture).float()
    before = {name: weight.clone() for name, weight in teacher.state_dict().items()}
    structure = find_structure(teacher)
    keep = whole(structure, Shape(3, 8))
    material = make_material(teacher)
    student = cut(teacher, structure, keep)
    attention = student.config._attn_implementation
    again = copy.deepcopy(student)
    losses = recover(student, teacher, material, keep["hidden"], 41, learning_rate=3e-3)
    assert losses[-1] < 0.7 * losses[0]
    assert len(losses) == 3
    assert all(torch.equal(weight, before[name]) for name, weight in teacher.state_dict().items())
    assert (student.config._attn_implementation, teacher.config._attn_implementation) == (attention, attention)
    # The same again gives the same; tied weights stay tied.
    assert recover(again, teacher, material, keep["hidden"], 41, learning_rate=3e-3) == pytest.approx(losses)
    assert student.get_output_embeddings().weight is student.get_input_embeddings().weight


def test_a_recovery_that_diverges_is_refused() -> None:
    teacher = make_model().float()
    structure = find_structure(teacher)
    keep = whole(structure, Shape(2, 8))
    with pytest.raises(DataError, match="recovery: the loss is not a number after") as caught:
        recover(cut(teacher, structure, keep), teacher, make_material(teacher), keep["hidden"], 60, math.inf)
    assert "--learning-rate" in caught.value.fix
