"""The floating point operations that training needs, counted on paper: matrix products on real tokens, nothing else.

What padding, recomputation or full vocabulary heads would add is not counted, so that the share of a machine's peak
that is computed from these numbers falls when work is wasted. Norms, activations and softmaxes are left out, as they
are in PyTorch's own counter, with which the tests agree to the last operation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from unibert.errors import DataError
from unibert.recipe import Architecture

TRAINING = 3
"""A backward pass takes two products for each of the forward pass: for the gradient of the input and of the weight."""


@dataclass(frozen=True)
class EncoderShape:
    """What decides the matrix products of an encoder.

    Args:
        hidden: width of the token embeddings.
        attention: width of queries, keys and values over all heads.
        feed_forward: width between the two maps of a layer.
        gated: the first map is twice as wide (GLU, arXiv 2002.05202): one half gates the other.
        windows: one per layer, how far a token sees to either side; None where it sees its whole sample.
    """

    hidden: int
    attention: int
    feed_forward: int
    gated: bool
    windows: tuple[int | None, ...]


def encoder_shape(shape: Any) -> EncoderShape:
    """Read the shape from a student's `Architecture` or from the config of a Hugging Face encoder.

    Knows the layouts of BERT and those that are named like it (XLM-R, RoBERTa, ELECTRA's body), DistilBERT, and
    ModernBERT (gated feed-forward, local attention on most layers).

    Raises:
        DataError: a config that lacks one of the numbers.
    """
    if isinstance(shape, EncoderShape):
        return shape
    if isinstance(shape, Architecture):
        return EncoderShape(shape.hidden, shape.hidden, shape.feed_forward, False, (None,) * shape.layers)
    # DistilBERT maps most of its names to the usual ones, but not this one.
    feed_forward = getattr(shape, "intermediate_size", None) or getattr(shape, "hidden_dim", None)
    hidden, layers = getattr(shape, "hidden_size", None), getattr(shape, "num_hidden_layers", None)
    if not (hidden and layers and feed_forward):
        raise DataError(
            f"{type(shape).__name__}: its hidden size, layers or feed-forward width have names that are not known",
            "Use a model of a BERT, RoBERTa, XLM-R, DistilBERT or ModernBERT layout.",
        )
    attention = (getattr(shape, "head_dim", None) or 0) * shape.num_attention_heads or hidden
    gated = getattr(shape, "model_type", "") == "modernbert"
    return EncoderShape(hidden, attention, feed_forward, gated, _windows(shape, layers))


def _windows(config: Any, layers: int) -> tuple[int | None, ...]:
    reach = getattr(config, "local_attention", None)
    kinds = getattr(config, "layer_types", None)
    if not reach or not kinds:
        return (None,) * layers
    return tuple(reach // 2 if kind == "sliding_attention" else None for kind in kinds)


def forward_flops(shape: Any, lengths: Iterable[int], head_rows: int, vocabulary: int) -> int:
    """Floating point operations of one forward pass; a product of (a x b) and (b x c) is 2abc.

    Counted are the projections of attention (queries, keys, values, output), its scores and weighted values (every
    token with every other of its own sample, or with those within the layer's window), the feed-forward maps, and on
    `head_rows` rows the head's transform and the projection onto the vocabulary.

    Args:
        shape: an `Architecture`, an `EncoderShape` or a Hugging Face config.
        lengths: of the samples, in tokens, without padding.
        head_rows: rows that the vocabulary head is run on: the masked ones, or every token.
        vocabulary: number of pieces.
    """
    encoder = encoder_shape(shape)
    lengths = list(lengths)
    tokens = sum(lengths)
    projections = 4 * encoder.hidden * encoder.attention
    feed_forward = (3 if encoder.gated else 2) * encoder.hidden * encoder.feed_forward
    body = 2 * tokens * (projections + feed_forward) * len(encoder.windows)
    # Scores and weighted values: two products of the attention's width for each pair of tokens.
    windows = {window: encoder.windows.count(window) for window in set(encoder.windows)}
    pairs = sum(count * sum(_pairs(length, window) for length in lengths) for window, count in windows.items())
    head = 2 * head_rows * (encoder.hidden * encoder.hidden + encoder.hidden * vocabulary)
    return body + 4 * encoder.attention * pairs + head


def _pairs(length: int, window: int | None) -> int:
    """Pairs of a query and a key at most `window` apart."""
    if window is None or window >= length:
        return length * length
    return length + 2 * window * length - window * (window + 1)


def step_flops(
    students: Sequence[Any],
    teacher: Any | None,
    lengths: Iterable[int],
    head_rows: int,
    vocabulary: int,
    teacher_rows: int | None = None,
) -> int:
    """What a training step needs: forward and backward of every student, forward of the teacher if there is one.

    Args:
        students: their shapes; see `forward_flops` for this and the rest.
        teacher: its shape or config; None for a run without one, or with its answers read from a cache.
        lengths: of the step's samples.
        head_rows: rows that students and teacher predict.
        vocabulary: number of pieces.
        teacher_rows: rows that the teacher predicts, where that is another number: 0 if only its hidden states or
            relations are asked for.
    """
    lengths = list(lengths)
    needed = TRAINING * sum(forward_flops(student, lengths, head_rows, vocabulary) for student in students)
    if teacher is None:
        return needed
    return needed + forward_flops(teacher, lengths, head_rows if teacher_rows is None else teacher_rows, vocabulary)
