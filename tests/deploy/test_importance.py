import itertools

import numpy as np
import pytest
import torch

from ner_support import tiny_tokenizer
from prune_support import ARCHITECTURES, make_model, sentences
from unibert.deploy.importance import Gates, measure_importance
from unibert.deploy.pruning_text import MaskedBatch, TextMaterial
from unibert.deploy.structure import find_structure
from unibert.errors import DataError
from unibert.tokens.batches import MicroBatch


def make_material(model, count: int = 30) -> TextMaterial:
    texts = {"de": sentences(count, 1), "fr": sentences(count, 2)}
    return TextMaterial(texts, model, tiny_tokenizer(), seed=1)


def weights_at(site, structure, modules, unit: int) -> list[torch.Tensor]:
    """The parts of weights that a factor on what a unit does is a factor on: scale and shift, or columns."""
    module = modules[site.module]
    if not site.at_input:
        return [module.weight[unit : unit + 1], module.bias[unit : unit + 1]]
    width = structure.head_width if site.space.startswith("heads.") else 1
    return [module.weight[:, unit * width : (unit + 1) * width]]


def naive_losses(model, batch: MaskedBatch) -> torch.Tensor:
    """Every sample by itself through the whole model, with labels as transformers has them."""
    packed, losses = batch.packed, []
    starts = packed.offsets.tolist()
    for start, end in itertools.pairwise(starts):
        labels = torch.full((end - start,), -100)
        for row, label in zip(packed.rows.tolist(), packed.labels.tolist(), strict=True):
            if start <= row < end:
                labels[row - start] = label
        losses.append(model(input_ids=packed.input_ids[None, start:end], labels=labels[None]).loss)
    return torch.stack(losses)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_losses_are_those_of_each_sample_alone(architecture: str) -> None:
    model = make_model(architecture)
    [batch] = make_material(model).batches(7)
    assert len(set(batch.packed.lengths)) > 1
    torch.testing.assert_close(batch.losses(model), naive_losses(model, batch))


@pytest.mark.parametrize(
    ("architecture", "tied"), [*((architecture, True) for architecture in ARCHITECTURES), ("bert", False)]
)
def test_importance_is_the_size_of_w_times_its_gradient_sample_by_sample(architecture: str, tied: bool) -> None:
    model = make_model(architecture, tie_word_embeddings=tied)
    structure, modules = find_structure(model), dict(model.named_modules())
    material = make_material(model)
    found = measure_importance(model, structure, material.batches(6))
    expected = {space: np.zeros(structure.units(space)) for space in structure.spaces}
    for batch in material.batches(6):
        for loss in naive_losses(model, batch):
            model.zero_grad()
            loss.backward(retain_graph=True)
            for site in structure.sites:
                if site.module.endswith(("decoder", "vocab_projector")) and tied:
                    continue  # the weight is the embedding too, so its gradient has two parts; see below
                for unit in range(structure.units(site.space)):
                    parts = weights_at(site, structure, modules, unit)
                    columns = weights_at(site, structure, {site.module: _gradients(modules[site.module])}, unit)
                    change = sum(float((w * g).sum().detach()) for w, g in zip(parts, columns, strict=True))
                    expected[site.space][unit] += abs(change) / 6
    if tied:  # what the projection reads is what the head's own normalisation puts out
        name = {"bert": "transform.LayerNorm", "distilbert": "vocab_layer_norm"}.get(architecture, "lm_head.layer_norm")
        own = next(module for key, module in modules.items() if key.endswith(name))
        for batch in material.batches(6):
            for loss in naive_losses(model, batch):
                by_weight, by_bias = torch.autograd.grad(loss, [own.weight, own.bias], retain_graph=True)
                expected["hidden"] += (own.weight * by_weight + own.bias * by_bias).abs().detach().numpy() / 6
    for space, values in expected.items():
        np.testing.assert_allclose(found[space], values, rtol=1e-6, atol=1e-10, err_msg=space)
        assert values.max() > 0


class _gradients:
    """A module's gradients under the names of its weights."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.weight = module.weight.grad
        self.bias = None if module.bias is None else module.bias.grad


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "roberta"])
def test_a_gate_tells_how_the_loss_changes_when_the_unit_is_turned_down(architecture: str) -> None:
    """By finite differences: the unit's weights are made a little larger and a little smaller."""
    model = make_model(architecture, head="MaskedLM", tie_word_embeddings=False)
    structure, modules = find_structure(model), dict(model.named_modules())
    [batch] = make_material(model).batches(3)
    gates = Gates(model, structure)
    with gates.attached(3):
        gradients = gates.gradients(batch.losses(model, gates))
    step = 1e-5
    with torch.no_grad():
        for site in structure.sites:
            for unit in (0, 3):
                losses = {}
                for sign in (1, -1):
                    parts = weights_at(site, structure, modules, unit)
                    before = [part.clone() for part in parts]
                    for part in parts:
                        part.mul_(1 + sign * step)
                    losses[sign] = batch.losses(model)
                    for part, old in zip(parts, before, strict=True):
                        part.copy_(old)
                expected_B = (losses[1] - losses[-1]) / (2 * step)
                torch.testing.assert_close(gradients[site][:, unit], expected_B, rtol=1e-4, atol=1e-7)


def test_what_is_lost_with_a_unit_is_its_importance_to_first_order() -> None:
    """Units that do little: what is of second order is next to nothing."""
    model = make_model("bert", head="MaskedLM")
    structure, modules = find_structure(model), dict(model.named_modules())
    with torch.no_grad():
        for site in structure.sites:
            if site.space.startswith(("heads", "feed-forward")):
                modules[site.module].weight.mul_(1e-3)
    [batch] = make_material(model).batches(5)
    gates = Gates(model, structure)
    with gates.attached(5):
        losses_B = batch.losses(model, gates)
        gradients = gates.gradients(losses_B)
    for site in structure.sites:
        if site.space.startswith(("heads", "feed-forward")):
            with torch.no_grad():
                [part] = weights_at(site, structure, modules, 2)
                before = part.clone()
                part.zero_()
                change_B = batch.losses(model) - losses_B
                part.copy_(before)
            torch.testing.assert_close(change_B, -gradients[site][:, 2], rtol=0.02, atol=1e-8)


def test_how_samples_are_cut_into_batches_does_not_matter() -> None:
    model = make_model()
    structure = find_structure(model)
    batches = make_material(model).batches(12)
    ids = [sample for batch in batches for sample in batch.packed.input_ids.split(batch.packed.lengths)]
    assert len(ids) == 12
    apart = []
    for batch in batches:
        starts = batch.packed.offsets.tolist()
        for start, end in itertools.pairwise(starts):
            rows = [place for place, row in enumerate(batch.packed.rows.tolist()) if start <= row < end]
            chosen = batch.packed.rows[rows].numpy() - start
            one = MicroBatch.of([batch.packed.input_ids[start:end]], [chosen], [batch.packed.labels[rows].numpy()])
            apart.append(MaskedBatch(one, "text"))
    together, single = (measure_importance(model, structure, part) for part in (batches, apart))
    for space in structure.spaces:
        np.testing.assert_allclose(together[space], single[space], rtol=1e-9)


def test_units_that_do_nothing_have_no_importance_and_the_model_is_left_as_it_was() -> None:
    model = make_model("bert")
    structure = find_structure(model)
    model.bert.embeddings.requires_grad_(False)
    with torch.no_grad():
        model.bert.encoder.layer[1].output.dense.weight[:, 3] = 0
        model.bert.encoder.layer[0].attention.output.dense.weight[:, 4:8] = 0
    learned = [weight.requires_grad for weight in model.parameters()]
    model.train()
    done: list[int] = []
    found = measure_importance(model, structure, make_material(model).batches(10), done.append)
    assert found["feed-forward.1"][3] == 0 == found["heads.0"][1]
    assert np.count_nonzero(found["heads.0"]) == 3
    assert (sum(done), model.training) == (10, True)
    assert [weight.requires_grad for weight in model.parameters()] == learned
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_loss_that_is_no_number_is_told_with_the_text() -> None:
    model = make_model()
    material = make_material(model)
    with torch.no_grad():
        model.bert.encoder.layer[0].output.dense.weight[0, 0] = float("nan")
    with pytest.raises(DataError, match=r"text of de, fr: the model's loss .* is not a number"):
        measure_importance(model, find_structure(model), material.batches(4))
    assert not any(module._forward_hooks for module in model.modules())
    with pytest.raises(DataError, match="nothing to measure"):
        measure_importance(model, find_structure(model), [])
