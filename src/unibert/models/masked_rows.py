"""Vocabulary heads on chosen rows only, for any Hugging Face masked language model.

The projection onto a vocabulary of 119,547 pieces is most of a training step on small models, and 85 % of its rows
are never looked at. Here a head is taken apart: its small layers turn hidden states into features, and the projection
of the features, the wide part, is left to the losses, which make it a few rows at a time.

Shape suffixes: T packed tokens, D hidden, M rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from unibert.errors import DataError
from unibert.models.packed import body_of


def head_features(model: Any, rows_MD: Tensor) -> Tensor:
    """What the head makes of hidden states before its projection onto the vocabulary, features_MD.

    The model's own forward is run, with its encoder replaced by these rows and its projection left out, so the head
    may be called and built as it likes.

    Args:
        model: any `AutoModelForMaskedLM`.
        rows_MD: last hidden states of the rows wanted.

    Raises:
        DataError: the head is not small layers followed by one linear map.
    """
    given = BaseModelOutput(last_hidden_state=rows_MD.unsqueeze(0))
    body, projection = body_of(model), _projection(model)
    with _forward(body, lambda *_, **__: given), _forward(projection, lambda features: features):
        features_MD: Tensor = model(input_ids=None, inputs_embeds=rows_MD.unsqueeze(0), return_dict=True).logits
    if features_MD.shape != (1, len(rows_MD), projection.in_features):
        raise _unknown(model)
    return features_MD.squeeze(0)


def vocabulary_projection(model: Any, vocabulary: int | None = None) -> tuple[Tensor, Tensor | None]:
    """The weight_VD and bias_V of a model's last map, without the rows beyond `vocabulary` that pad some checkpoints.

    Raises:
        DataError: the model has no linear map at its end.
    """
    projection = _projection(model)
    bias_V = None if projection.bias is None else projection.bias[:vocabulary]
    return projection.weight[:vocabulary], bias_V


def _projection(model: Any) -> nn.Linear:
    projection = model.get_output_embeddings()
    if not isinstance(projection, nn.Linear):
        raise _unknown(model)
    return projection


@contextmanager
def _forward(module: nn.Module, function: Callable[..., Any]) -> Iterator[None]:
    """Another forward function for a while."""
    vars(module)["forward"] = function
    try:
        yield
    finally:
        del vars(module)["forward"]


def _unknown(model: Any) -> DataError:
    return DataError(
        f"{type(model).__name__}: its head is not small layers followed by one projection of the last hidden states",
        "Use a model of a BERT, RoBERTa, XLM-R, DistilBERT or ModernBERT layout.",
    )
