"""Neutralised heads: the same as projecting the hidden states, in outputs and gradients; folded, saved and loaded."""

import copy

import numpy as np
import pytest

from unibert.errors import DataError
from unibert.models.neutral import Projection
from unibert.models.neutral_heads import fold_neutralised, neutralise_head

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

WIDTH, VOCABULARY = 16, 40
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
    "num_labels": 3,
    "pad_token_id": 0,
}
# By model type: other names of the sizes, and where the last hidden states come out.
KINDS = {
    "albert": ({"embedding_size": 8}, "encoder"),
    "bert": ({}, "encoder"),
    "camembert": ({"bos_token_id": 1, "eos_token_id": 2}, "encoder"),
    "deberta-v2": ({}, ""),  # its model takes the last of all hidden states, and no pooler lies inside it
    "distilbert": (
        {"dim": WIDTH, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "hidden_size": None},
        "transformer",
    ),
    "electra": ({"embedding_size": 8}, "encoder"),
    "modernbert": ({"bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}, "final_norm"),
    "roberta": ({"bos_token_id": 1, "eos_token_id": 2}, "encoder"),
    "xlm-roberta": ({"bos_token_id": 1, "eos_token_id": 2}, "encoder"),
}
HEADS = {
    "tokens": transformers.AutoModelForTokenClassification,
    "answers": transformers.AutoModelForQuestionAnswering,
    "texts": transformers.AutoModelForSequenceClassification,
}


def make_model(kind, head, **changes):
    names, _ = KINDS[kind]
    sizes = {name: value for name, value in {**SIZES, **names, **changes}.items() if value is not None}
    if head == "answers":
        sizes["num_labels"] = 2
    config = transformers.AutoConfig.for_model(kind, **sizes)
    torch.manual_seed(0)
    model = HEADS[head].from_config(config, attn_implementation="eager").eval()
    for weight in model.parameters():  # far from 0 everywhere, biases included
        torch.nn.init.normal_(weight, std=0.3)
    return model


def make_projection(rank=5, width=WIDTH):
    directions = np.linalg.qr(np.random.default_rng(1).normal(size=(width, rank)))[0].T
    return Projection(np.ones(width, np.float32), np.ascontiguousarray(directions, np.float32), ("de", "en"))


def projecting(model, kind, directions):
    """Project the encoder's last hidden states, where it puts them out."""

    def project(module, arguments, output):
        hidden = output if torch.is_tensor(output) else output[0]
        hidden = hidden - hidden @ directions.T @ directions
        if torch.is_tensor(output):
            return hidden
        if isinstance(output, tuple):
            return (hidden, *output[1:])
        output["last_hidden_state"] = hidden
        return output

    return model.base_model.get_submodule(KINDS[kind][1]).register_forward_hook(project)


def batch():
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(3, VOCABULARY, (4, 9), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, 6:] = mask[2, 4:] = 0
    return {"input_ids": ids * mask, "attention_mask": mask}


def outputs(model):
    found = model(**batch())
    return torch.cat([found.start_logits, found.end_logits]) if "start_logits" in found else found.logits


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_projecting_the_hidden_states_in_outputs_and_gradients_and_folds_to_the_same(kind, head, tmp_path):
    plain, neutral = make_model(kind, head), make_model(kind, head)
    projection = make_projection()
    directions = torch.from_numpy(projection.directions_RD)
    before = outputs(plain)
    hook = projecting(plain, kind, directions)
    wanted = outputs(plain)
    assert not torch.allclose(wanted, before, atol=1e-2), "the directions did not matter: the test says nothing"
    name = neutralise_head(neutral, projection)
    found = outputs(neutral)
    assert torch.allclose(found, wanted, atol=1e-4)

    wanted.square().sum().backward()
    found.square().sum().backward()
    layer = neutral.get_submodule(name)
    gradients = {key: weight.grad for key, weight in plain.named_parameters()}
    for key, weight in neutral.named_parameters():
        stock = key.replace(".parametrizations.weight.original", ".weight")
        assert torch.allclose(weight.grad, gradients[stock], atol=1e-2, rtol=1e-3), key
    own = layer.parametrizations.weight.original.grad
    assert torch.allclose(own @ directions.T, torch.zeros(()), atol=1e-3), "a gradient along the directions"
    hook.remove()

    assert fold_neutralised(neutral) == [name]
    assert torch.allclose(outputs(neutral), found, atol=1e-5)
    assert set(neutral.state_dict()) == set(plain.state_dict())
    assert type(layer) is torch.nn.Linear
    neutral.save_pretrained(tmp_path)
    again, loading = HEADS[head].from_pretrained(tmp_path, output_loading_info=True)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    assert torch.allclose(outputs(again.eval()), outputs(neutral), atol=1e-5)


def test_a_neutralised_head_learns_and_still_sees_no_direction():
    model, projection = make_model("bert", "tokens"), make_projection()
    name = neutralise_head(model, projection)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-2)
    losses = []
    for _ in range(80):
        loss = model(**batch(), labels=batch()["input_ids"] % 3).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    fold_neutralised(model)
    weight = model.get_submodule(name).weight
    assert isinstance(weight, torch.nn.Parameter)
    seen = weight.detach() @ torch.from_numpy(projection.directions_RD).T
    assert seen.abs().max() < 1e-5


def test_lower_precision_does_not_let_the_directions_through():
    model, projection = make_model("bert", "tokens"), make_projection()
    layer = model.get_submodule(neutralise_head(model, projection))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        weight = layer.weight
    assert weight.dtype == torch.float32
    assert (weight @ torch.from_numpy(projection.directions_RD).T).abs().max() < 1e-5


def test_copies_and_devices_keep_it():
    model, projection = make_model("bert", "tokens"), make_projection()
    neutralise_head(model, projection)
    copied = copy.deepcopy(model).to(torch.float64)
    found = outputs(copied)
    assert found.dtype == torch.float64
    assert torch.allclose(found.float(), outputs(model), atol=1e-4)


def test_nothing_to_fold_is_no_error():
    model = make_model("bert", "tokens")
    before = outputs(model)
    assert fold_neutralised(model) == []
    assert torch.equal(outputs(model), before)


def test_other_parametrisations_are_left_alone():
    layer = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(3, 3))
    assert fold_neutralised(torch.nn.Sequential(layer)) == []
    assert torch.nn.utils.parametrize.is_parametrized(layer, "weight")


def test_what_cannot_be_neutralised_is_refused():
    projection = make_projection()
    masked = transformers.AutoModelForMaskedLM.from_config(make_model("bert", "tokens").config)
    for model in (masked, masked.base_model, torch.nn.Linear(WIDTH, 2)):
        with pytest.raises(DataError, match=f"{type(model).__name__}: not known which layer"):
            neutralise_head(model, projection)
    other = transformers.AutoModelForTokenClassification.from_config(
        transformers.MPNetConfig(vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=1, num_attention_heads=2)
    )
    with pytest.raises(DataError, match="MPNetForTokenClassification") as told:
        neutralise_head(other, projection)
    assert "xlm-roberta" in told.value.fix
    model = make_model("bert", "tokens")
    with pytest.raises(DataError, match="width 16, the projection 8"):
        neutralise_head(model, make_projection(width=8))
    neutralise_head(model, projection)
    with pytest.raises(DataError, match="neutralised already"):
        neutralise_head(model, projection)
