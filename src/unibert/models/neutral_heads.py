"""Task heads that cannot see the language: the layer that reads the encoder's output has the directions taken out.

Shape suffixes: O outputs of a layer, R removed directions, D hidden.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from unibert.errors import DataError
from unibert.models.neutral import Projection

_TOKENS, _ANSWERS, _TEXTS = "ForTokenClassification", "ForQuestionAnswering", "ForSequenceClassification"
_PLAIN = {_TOKENS: "classifier", _ANSWERS: "qa_outputs"}
_DENSE = {**_PLAIN, _TEXTS: "classifier.dense"}
_FIRST_LAYERS: dict[str, dict[str, str]] = {
    "albert": {**_PLAIN, _TEXTS: "albert.pooler"},
    "bert": {**_PLAIN, _TEXTS: "bert.pooler.dense"},
    "camembert": _DENSE,
    "deberta-v2": {**_PLAIN, _TEXTS: "pooler.dense"},
    "distilbert": {**_PLAIN, _TEXTS: "pre_classifier"},
    "electra": _DENSE,
    "modernbert": dict.fromkeys((_TOKENS, _ANSWERS, _TEXTS), "head.dense"),
    "roberta": _DENSE,
    "xlm-roberta": _DENSE,
}
"""By transformers' model type and kind of head: the only linear layer that reads the last hidden states."""


class WithoutDirections(nn.Module):
    """A linear layer's weight W as W (I - V'V): what lies along the directions V of its input has no effect.

    Args:
        directions_RD: V, orthonormal rows.
    """

    directions_RD: Tensor

    def __init__(self, directions_RD: Tensor) -> None:
        super().__init__()
        self.register_buffer("directions_RD", directions_RD, persistent=False)

    def forward(self, weight_OD: Tensor) -> Tensor:
        """The weight without the directions, computed in its own precision: bfloat16 would let some of them through."""
        with torch.autocast(weight_OD.device.type, enabled=False):
            directions_RD = self.directions_RD.to(weight_OD.dtype)
            return weight_OD - (weight_OD @ directions_RD.T) @ directions_RD


def neutralise_head(model: nn.Module, projection: Projection) -> str:
    """Keep a task's head from seeing the language directions, in training too, at no cost once it is folded.

    The head's first layer gets the weight W (I - V'V), which is the same as projecting the hidden states before it.
    The mean is left to the layer's bias. Call it before the optimiser is made, and `fold_neutralised` before the model
    is saved: until then its weights have other names than a stock model's.

    Args:
        model: one of transformers' models for token classification, question answering or sequence classification.
        projection: of the model's own last hidden states.

    Returns:
        The name of the layer.

    Raises:
        DataError: a model of another architecture, a projection of another width, a head that has it already.
    """
    name, kind = _first_layer(model), type(model).__name__
    layer = cast("nn.Linear", model.get_submodule(name))
    if layer.in_features != projection.width:
        raise DataError(
            f"{kind}: its hidden states have width {layer.in_features}, the projection {projection.width}",
            "Fit the projection on this model's embeddings.",
        )
    if parametrize.is_parametrized(layer, "weight"):
        raise DataError(f"{kind}: its {name} is neutralised already", "Fold it first.")
    directions_RD = torch.as_tensor(projection.directions_RD, device=layer.weight.device)
    parametrize.register_parametrization(layer, "weight", WithoutDirections(directions_RD))
    return name


def fold_neutralised(model: nn.Module) -> list[str]:
    """Make the neutralised weights a stock model's own; its outputs stay the same.

    Args:
        model: any; one that is not neutralised is left as it is.

    Returns:
        The names of the layers that were folded.
    """
    folded = []
    for name, layer in list(model.named_modules()):
        if parametrize.is_parametrized(layer, "weight"):
            chain: Any = layer.parametrizations["weight"]  # type: ignore[index, unused-ignore]
            if any(isinstance(step, WithoutDirections) for step in chain):
                parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
                folded.append(name)
    return folded


def _first_layer(model: nn.Module) -> str:
    kind = type(model).__name__
    config = getattr(model, "config", None)
    heads = _FIRST_LAYERS.get(getattr(config, "model_type", ""), {})
    name = next((layer for ending, layer in heads.items() if kind.endswith(ending)), None)
    if name is None or not isinstance(dict(model.named_modules()).get(name), nn.Linear):
        raise DataError(
            f"{kind}: not known which layer of it reads the encoder's output, so that it cannot be neutralised",
            f"Choose a model for token classification, question answering or sequence classification of one of the "
            f"types {', '.join(sorted(_FIRST_LAYERS))}.",
        )
    return name
