import numpy as np
import pytest
import torch

from prune_support import ARCHITECTURES, HEADS, arguments, make_model, output, whole
from unibert.deploy.structure import Shape, cut, find_structure
from unibert.errors import DataError

EVERY = [(architecture, head) for architecture in ARCHITECTURES for head in HEADS]


@pytest.mark.parametrize(("architecture", "head"), [*EVERY, ("bert", ""), ("distilbert", ""), ("xlm-roberta", "")])
def test_what_is_cut_is_a_stock_model_of_the_size_that_was_told(architecture: str, head: str) -> None:
    model = make_model(architecture, head)
    structure = find_structure(model)
    assert (structure.layers, structure.whole, structure.head_width) == (2, Shape(4, 16), 4)
    assert structure.parameters(structure.whole) == sum(weight.numel() for weight in model.parameters())
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    for shape in (Shape(3, 16), Shape(1, 5)):
        state = torch.get_rng_state()
        smaller = cut(model, structure, whole(structure, shape))
        assert torch.equal(torch.get_rng_state(), state)
        assert type(smaller) is type(model)
        assert smaller.config.hidden_size == shape.heads * 4
        assert structure.parameters(shape) == sum(weight.numel() for weight in smaller.parameters())
        smaller(**arguments())
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


@pytest.mark.parametrize(("architecture", "head"), EVERY)
def test_columns_that_do_nothing_leave_no_trace(architecture: str, head: str) -> None:
    model = make_model(architecture, head)
    structure = find_structure(model)
    chooser = np.random.default_rng(3)
    keep = {f"feed-forward.{layer}": np.sort(chooser.permutation(16)[:9]) for layer in range(2)}
    assert not np.array_equal(keep["feed-forward.0"], keep["feed-forward.1"])
    modules = dict(model.named_modules())
    with torch.no_grad():
        for site in structure.sites:
            if site.space in keep:
                gone = np.setdiff1d(np.arange(16), keep[site.space])
                modules[site.module].weight[:, gone] = 0
    smaller = cut(model, structure, keep)
    assert smaller.state_dict().keys() == model.state_dict().keys()
    torch.testing.assert_close(output(smaller, **arguments()), output(model, **arguments()), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("architecture", "head"), EVERY)
def test_heads_and_hidden_units_that_only_repeat_others_leave_no_trace(architecture: str, head: str) -> None:
    """The one case in which hidden units go without a trace: mean and variance are the same without them.

    A small model is blown up: every hidden unit stands twice, the second is not read; the second half of the heads is
    not read either. Which units are the copies is drawn, so each space is cut somewhere else.
    """
    small = make_model(architecture, head, heads=2)
    large = make_model(architecture, head, heads=4, seed=5)
    structure = find_structure(large)
    chooser = np.random.default_rng(1)
    orders = {s: chooser.permutation(structure.units(s)) for s in structure.spaces if not s.startswith("feed")}
    weights = {}
    for name, blown_up in small.state_dict().items():
        module = name.rpartition(".")[0]
        for axis, space in enumerate(structure.axes[name]):
            if space not in orders:
                continue
            twice = torch.cat([blown_up, blown_up], axis)
            # Read: axis 1 of a linear map; and what a vocabulary head's own normalisation puts out is only read.
            linear = "weight" in name and axis == 1 and "embeddings" not in name
            if linear or (
                head == "MaskedLM"
                and module.endswith(("transform.LayerNorm", "vocab_layer_norm", "lm_head.layer_norm"))
            ):
                twice.narrow(axis, blown_up.shape[axis], blown_up.shape[axis]).zero_()
            order = orders[space]
            if space.startswith("heads."):
                order = (order[:, None] * 4 + np.arange(4)).reshape(-1)
            blown_up = twice.index_select(axis, torch.from_numpy(np.argsort(order)))
        weights[name] = blown_up
    if head == "MaskedLM":  # the projection is the embedding, which is written and not read here
        tied = large.get_output_embeddings().weight
        weights |= {
            n: weights[next(k for k in weights if "word_embeddings" in k)]
            for n in weights
            if n.endswith(("decoder.weight", "vocab_projector.weight"))
        }
        assert tied is large.get_input_embeddings().weight
    large.load_state_dict(weights)
    torch.testing.assert_close(output(large, **arguments()), output(small, **arguments()), rtol=1e-7, atol=1e-7)
    keep = {space: np.sort(order[: len(order) // 2]) for space, order in orders.items()}
    smaller = cut(large, structure, keep)
    assert smaller.config.num_attention_heads == 2
    torch.testing.assert_close(output(smaller, **arguments()), output(small, **arguments()), rtol=1e-7, atol=1e-7)


def test_a_hidden_unit_that_nobody_reads_leaves_a_trace_in_the_normalisations() -> None:
    """As the docstring says; the test above is the exception."""
    model = make_model("bert", "TokenClassification")
    structure = find_structure(model)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            for axis, space in enumerate(structure.axes[name]):
                if space == "hidden" and axis == 1 and "embeddings" not in name:
                    weight[:, 12:] = 0
                if space == "heads.0" or space == "heads.1":
                    weight.narrow(axis, 12, 4).zero_()
    smaller = cut(model, structure, whole(structure, Shape(3, 16)))
    assert (output(smaller, **arguments()) - output(model, **arguments())).abs().max() > 1e-3


def test_inner_widths_choose_units_of_their_own() -> None:
    for architecture in ARCHITECTURES:
        assert "pooled" in find_structure(make_model(architecture, "SequenceClassification")).spaces
        assert "transformed" not in find_structure(make_model(architecture, "MaskedLM")).spaces  # tied
        untied = find_structure(make_model(architecture, "MaskedLM", tie_word_embeddings=False))
        assert "transformed" in untied.spaces


def test_layers_that_would_differ_are_refused() -> None:
    model = make_model()
    structure = find_structure(model)
    with pytest.raises(ValueError, match=r"heads\.1 keeps 3"):
        cut(model, structure, {**whole(structure, Shape(2, 16)), "heads.1": np.arange(3)})
    with pytest.raises(ValueError, match="hidden keeps 16"):
        cut(model, structure, {f"heads.{layer}": np.arange(2) for layer in range(2)})


def test_an_unknown_architecture_is_refused_by_name() -> None:
    from transformers import ModernBertConfig, ModernBertForMaskedLM

    config = ModernBertConfig(
        vocab_size=50, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, pad_token_id=0,
        bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2,
    )  # fmt: skip
    with pytest.raises(DataError, match="modernbert cannot be pruned") as caught:
        find_structure(ModernBertForMaskedLM(config))
    assert "xlm-roberta" in caught.value.fix
