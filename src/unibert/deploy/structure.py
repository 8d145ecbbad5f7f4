"""Which numbers of an encoder's weights belong together, and the same encoder without some of them.

Weights are cut along *spaces*. A space has units, and every axis of a weight that runs over a space loses the same
units when the space does:

- `hidden`: the width of the residual stream, the same in every layer, since each layer adds to what it was given;
- `heads.N`: the attention heads of layer N, each as wide as `head_width`;
- `feed-forward.N`: the columns of layer N's feed-forward part;
- `pooled`, `transformed`: inner widths of some heads, as wide as `hidden`, but with units of their own.

A stock configuration has one number of heads, one hidden width, which is that number times the head's width, and one
feed-forward width. So every layer loses equally many heads and columns, though each chooses its own, and with a head in
each layer go `head_width` units of the hidden width.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unibert.errors import DataError

Indices = NDArray[np.int64]
HIDDEN = "hidden"


@dataclass(frozen=True)
class _Names:
    """What an architecture calls the parts of a layer, and its widths in the configuration."""

    query_key_value: tuple[str, str, str]
    attention_output: str
    feed_forward_output: str
    feed_forward_width: str


_BERT = _Names(
    ("attention.self.query", "attention.self.key", "attention.self.value"),
    "attention.output.dense",
    "output.dense",
    "intermediate_size",
)
_NAMES = {
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "distilbert": _Names(
        ("attention.q_lin", "attention.k_lin", "attention.v_lin"), "attention.out_lin", "ffn.lin2", "hidden_dim"
    ),
}
ARCHITECTURES = tuple(sorted(_NAMES))
"""The `model_type` of what can be pruned."""

_INNER = {
    "pooled": (
        (("pooler.dense",), ("classifier",)),  # BERT, texts
        (("pre_classifier",), ("classifier",)),  # DistilBERT, texts
        (("classifier.dense",), ("classifier.out_proj",)),  # RoBERTa, texts
    ),
    "transformed": (
        (("transform.dense", "transform.LayerNorm"), ("predictions.decoder",)),  # BERT, masks
        (("vocab_transform", "vocab_layer_norm"), ("vocab_projector",)),  # DistilBERT, masks
        (("lm_head.dense", "lm_head.layer_norm"), ("lm_head.decoder",)),  # RoBERTa, masks
    ),
}
"""Inner spaces of heads: by name, endings of the modules whose output runs over them, and of what reads it."""
_LAYER = re.compile(r"(?:^|\.)layer\.(\d+)\.(.+)$")


@dataclass(frozen=True)
class Shape:
    """What is left, the same in every layer."""

    heads: int
    feed_forward: int


@dataclass(frozen=True)
class Site:
    """Where the units of a space pass through, so that a factor there is a factor on all that they do."""

    space: str
    module: str
    """Name of the module."""
    at_input: bool
    """Whether they are the module's input; else its output."""


@dataclass(frozen=True)
class Structure:
    """An encoder seen as spaces."""

    layers: int
    whole: Shape
    head_width: int
    axes: Mapping[str, tuple[str, ...]]
    """By weight, the space that each axis runs over; "" where it runs over none (pieces, positions, labels)."""
    sizes: Mapping[str, tuple[int, ...]]
    """By weight, its shape; a tied one once."""
    sites: tuple[Site, ...]
    feed_forward_width: str
    """What the configuration calls it."""

    @property
    def hidden(self) -> int:
        """The width of the residual stream."""
        return self.whole.heads * self.head_width

    def units(self, space: str, shape: Shape | None = None) -> int:
        """How many units a space has, in all or in some shape; heads count as one each."""
        shape = shape or self.whole
        if space.startswith("heads."):
            return shape.heads
        return shape.feed_forward if space.startswith("feed-forward.") else shape.heads * self.head_width

    @property
    def spaces(self) -> tuple[str, ...]:
        """Every space, each once."""
        return tuple(sorted({space for axes in self.axes.values() for space in axes if space}))

    def parameters(self, shape: Shape) -> int:
        """How many different parameters the model has in this shape."""

        def length(space: str, whole: int) -> int:
            if not space:
                return whole
            return self.units(space, shape) * (self.head_width if space.startswith("heads.") else 1)

        return sum(
            prod(length(space, whole) for space, whole in zip(self.axes[name], size, strict=True))
            for name, size in self.sizes.items()
        )

    def configuration(self, model: Any, shape: Shape) -> Any:
        """The model's configuration with another shape."""
        config = copy.deepcopy(model.config)
        config.num_attention_heads = shape.heads
        config.hidden_size = shape.heads * self.head_width
        setattr(config, self.feed_forward_width, shape.feed_forward)
        return config


def find_structure(model: Any) -> Structure:
    """See which axis of which weight runs over which space.

    What goes along with the hidden and the feed-forward width is not looked up but tried: the same architecture is
    made once wider, without weights, and the axes that grow are the ones.

    Args:
        model: of transformers, with or without a head.

    Raises:
        DataError: an architecture that is not known.
    """
    names = _names(model)
    layers, heads = int(model.config.num_hidden_layers), int(model.config.num_attention_heads)
    if layers < 1:
        raise DataError("the model has no layers: there is nothing to prune", "Give one that has some.")
    whole = Shape(heads, int(getattr(model.config, names.feed_forward_width)))
    bare = Structure(
        layers, whole, int(model.config.hidden_size) // heads, {}, {}, (), feed_forward_width=names.feed_forward_width
    )
    wider = _shapes(model, bare, Shape(heads + 1, whole.feed_forward))
    deeper = _shapes(model, bare, Shape(heads, whole.feed_forward + 1))
    inner = _inner_spaces(model)
    axes = {}
    for name, weight in model.state_dict().items():
        found = []
        for axis, size in enumerate(weight.shape):
            layer = _LAYER.search(name)
            if deeper[name][axis] != size and layer:
                found.append(f"feed-forward.{layer[1]}")
            elif wider[name][axis] == size:
                found.append("")
            else:
                found.append(_wide_space(name, axis, names, inner))
        axes[name] = tuple(found)
    sizes = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    return Structure(
        layers, whole, bare.head_width, axes, sizes, tuple(_sites(model, names, inner)), names.feed_forward_width
    )


def _names(model: Any) -> _Names:
    kind = model.config.model_type
    if kind not in _NAMES:
        raise DataError(
            f"{type(model).__name__}: encoders of the architecture {kind} cannot be pruned",
            f"Give one of these: {', '.join(ARCHITECTURES)}.",
        )
    return _NAMES[kind]


def _shapes(model: Any, structure: Structure, shape: Shape) -> dict[str, tuple[int, ...]]:
    """The shapes of the weights of the same architecture in another shape."""
    with torch.device("meta"):
        other = type(model)(structure.configuration(model, shape))
    return {name: tuple(weight.shape) for name, weight in other.state_dict().items()}


def _wide_space(name: str, axis: int, names: _Names, inner: Mapping[tuple[str, int], str]) -> str:
    """The space of an axis that is as wide as the residual stream."""
    layer = _LAYER.search(name)
    module = layer[2].rpartition(".")[0] if layer else ""
    if layer and ((module in names.query_key_value and axis == 0) or (module == names.attention_output and axis == 1)):
        return f"heads.{layer[1]}"
    return inner.get((name.rpartition(".")[0], axis), HIDDEN)


def _inner_spaces(model: Any) -> dict[tuple[str, int], str]:
    """(module, axis of its weights) -> inner space, of the heads that have one."""
    modules = dict(model.named_modules())
    embedding = model.get_input_embeddings().weight
    found: dict[tuple[str, int], str] = {}
    for space, pairs in _INNER.items():
        for writers, (reader_ending,) in pairs:
            written = [name for name in modules if name.endswith(writers)]
            reader = next((name for name in modules if f".{name}".endswith(f".{reader_ending}")), None)
            # A projection that is tied to the embeddings reads the hidden width.
            if reader is None or len(written) != len(writers) or modules[reader].weight is embedding:
                continue
            if isinstance(modules[reader], nn.Linear):
                found |= {(name, 0): space for name in written} | {(reader, 1): space}
    return found


def _sites(model: Any, names: _Names, inner: Mapping[tuple[str, int], str]) -> list[Site]:
    body = model.base_model
    prefix = f"{model.base_model_prefix}." if body is not model else ""
    found = []
    for name, module in body.named_modules():
        layer = _LAYER.search(name)
        part = layer[2] if layer else ""
        if isinstance(module, nn.LayerNorm):
            found.append(Site(HIDDEN, prefix + name, at_input=False))
        elif layer and part == names.attention_output:
            found.append(Site(f"heads.{layer[1]}", prefix + name, at_input=True))
        elif layer and part == names.feed_forward_output:
            found.append(Site(f"feed-forward.{layer[1]}", prefix + name, at_input=True))
    found += [Site(space, name, at_input=True) for (name, axis), space in inner.items() if axis == 1]
    projection = model.get_output_embeddings()
    if projection is not None and projection.weight is model.get_input_embeddings().weight:
        reader = next(name for name, module in model.named_modules() if module is projection)
        found.append(Site(HIDDEN, reader, at_input=True))
    return found


def cut(model: Any, structure: Structure, keep: Mapping[str, Indices]) -> Any:
    """The same model without the units that are not kept: a stock model with a smaller configuration.

    Heads and columns that do nothing can be cut without a change to any output, to rounding. Hidden units cannot: a
    normalisation takes its mean and variance over those that are left, so even one that nobody reads leaves a trace,
    but for those whose loss happens to leave mean and variance as they are.

    Args:
        model: left as it is.
        structure: of this model.
        keep: by space, the units to keep, ascending; a space that is not named keeps all.

    Raises:
        ValueError: the layers do not keep equally many heads or columns, or the hidden width is not that of the heads.
    """
    counts = {space: len(keep[space]) if space in keep else structure.units(space) for space in structure.spaces}
    shape = Shape(counts["heads.0"], counts["feed-forward.0"])
    for space, count in counts.items():
        if count != structure.units(space, shape):
            raise ValueError(f"{space} keeps {count} units, not the {structure.units(space, shape)} of {shape}")
    places = {space: torch.from_numpy(_rows(structure, space, kept)) for space, kept in keep.items()}
    weights = {}
    for name, weight in model.state_dict().items():
        for axis, space in enumerate(structure.axes[name]):
            if space in places:
                weight = weight.index_select(axis, places[space].to(weight.device))
        weights[name] = weight
    with torch.random.fork_rng(devices=[]):  # the new model's weights are drawn, and then replaced
        smaller = type(model)(structure.configuration(model, shape))
    smaller.to(model.device, model.dtype).load_state_dict(weights)
    smaller.tie_weights()
    return smaller.train(model.training)


def _rows(structure: Structure, space: str, kept: Indices) -> Indices:
    """Rows of a weight that belong to units: a head has `head_width`."""
    if not space.startswith("heads."):
        return np.asarray(kept, dtype=np.int64)
    width = structure.head_width
    return np.asarray(kept[:, None] * width + np.arange(width), dtype=np.int64).reshape(-1)
