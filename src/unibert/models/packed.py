"""Encoders on packed samples: all tokens of a micro-batch one after another, no padding anywhere.

Everything in a transformer but the attention looks at one token at a time, so nothing but the attention has to know
where a sample ends. Stock Hugging Face models call the attention through a registry; ours is registered there. On a
CPU the samples of equal length, which stand side by side, go through the ordinary attention together; on CUDA all go
through the variable-length kernel at once. Hidden states and gradients equal those of padded batches (tested).

Shape suffixes: B samples, L positions, T packed tokens, D hidden, H heads, d width of a head, M rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface

from unibert.errors import DataError
from unibert.models.positions import first_position
from unibert.tokens.batches import MicroBatch

ATTENTION = "unibert-packed"
"""Our name in the registry of attention implementations."""

_SHORT = 256
"""Up to this length the plain attention is faster in training on a CPU than the fused one (twice at 20 tokens)."""


@dataclass
class Encoded:
    """What an encoder makes of a micro-batch."""

    hidden_TD: Tensor
    """The last layer."""
    states: list[Tensor] = field(default_factory=list)
    """The embeddings and every layer, each [T, D], when asked for."""
    projections: dict[int, tuple[Tensor, Tensor, Tensor]] = field(default_factory=dict)
    """Queries, keys and values, each [T, D] with the heads joined, of the layers asked for."""


@dataclass
class _Packing:
    """What the attention has to know of the micro-batch that goes through the model."""

    lengths: list[int]
    offsets: Tensor
    wanted: frozenset[int]
    layer: int = 0
    projections: dict[int, tuple[Tensor, Tensor, Tensor]] = field(default_factory=dict)


_packing: ContextVar[_Packing] = ContextVar("packing")


def pack(model: Any) -> bool:
    """Let a model read packed samples from now on; False, and nothing changed, where its architecture cannot."""
    before = model.config._attn_implementation
    try:
        model.set_attn_implementation(ATTENTION)
        if _reads_packed_as_padded(model):
            return True
    except (LookupError, RuntimeError, TypeError, ValueError, AttributeError):
        pass
    model.set_attn_implementation(before)
    return False


def _reads_packed_as_padded(model: Any) -> bool:
    ids = torch.tensor([5, 6, 7, 5, 6, 5]) % model.config.vocab_size
    probe = MicroBatch.of([ids[:3], ids[3:5], ids[5:]]).to(model.device)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            packed_TD = _encode_packed(model, probe, False, ()).hidden_TD.float()
            padded_TD = _encode_padded(model, probe, False).hidden_TD.float()
    finally:
        model.train(was_training)
    error = float((packed_TD - padded_TD).norm() / padded_TD.norm())
    return error < (1e-3 if model.dtype == torch.float32 else 5e-2)


def unpack(model: Any) -> None:
    """Give a model the ordinary attention back."""
    if model.config._attn_implementation == ATTENTION:
        model.set_attn_implementation("sdpa")


@contextmanager
def unpacked(model: Any) -> Iterator[None]:
    """The ordinary attention for a while, as a model on the disk has it."""
    packed = model.config._attn_implementation == ATTENTION
    unpack(model)
    try:
        yield
    finally:
        if packed:
            model.set_attn_implementation(ATTENTION)


def encode(model: Any, batch: MicroBatch, states: bool = False, relations_of: Collection[int] = ()) -> Encoded:
    """Run the encoder below a model's head.

    Args:
        model: a Hugging Face encoder with any head; packed if `pack` was called on it and said True, else padded to
            groups of similar length.
        batch: the samples.
        states: also return the embeddings and every layer.
        relations_of: also return queries, keys and values of these layers, counted from 1.

    Raises:
        DataError: relations are wanted of a model that cannot read packed samples.
    """
    if model.config._attn_implementation == ATTENTION:
        return _encode_packed(model, batch, states, relations_of)
    if relations_of:
        check_relations_readable(model)
    return _encode_padded(model, batch, states)


def check_relations_readable(model: Any) -> None:
    """Refuse a model, after `pack`, whose queries, keys and values nobody can get at.

    Raises:
        DataError: it does not read packed samples.
    """
    if model.config._attn_implementation != ATTENTION:
        raise DataError(
            f"{type(model).__name__}: its queries, keys and values cannot be read",
            "Set pretrain.distillation.relations.weight=0, or take a BERT, XLM-R or ModernBERT layout.",
        )


def mean_pool(hidden_TD: Tensor, batch: MicroBatch) -> Tensor:
    """Mean over each sample's tokens: pooled_BD (equation 2)."""
    lengths_B1 = torch.tensor(batch.lengths, dtype=hidden_TD.dtype, device=hidden_TD.device).unsqueeze(1)
    sums_BD = hidden_TD.new_zeros((len(batch.lengths), hidden_TD.shape[1]))
    return sums_BD.index_add(0, batch.sample_of, hidden_TD) / lengths_B1


def body_of(model: Any) -> nn.Module:
    """The encoder below a Hugging Face model's head."""
    body = getattr(model, model.base_model_prefix, None)
    if body is None or body is model:
        raise DataError(f"{type(model).__name__}: no encoder below the head was found", "Use an AutoModelForMaskedLM.")
    return body


def _encode_packed(model: Any, batch: MicroBatch, states: bool, relations_of: Collection[int]) -> Encoded:
    packing = _Packing(batch.lengths, batch.offsets, frozenset(relations_of))
    token = _packing.set(packing)
    try:
        output = body_of(model)(
            input_ids=batch.input_ids.unsqueeze(0),
            position_ids=(batch.position_ids + first_position(model)).unsqueeze(0),
            output_hidden_states=states,
            return_dict=True,
        )
    finally:
        _packing.reset(token)
    if packing.layer == 0:
        raise LookupError("this model's attention does not come from the registry")
    every = [state.squeeze(0) for state in output.hidden_states] if states else []
    return Encoded(output.last_hidden_state.squeeze(0), every, packing.projections)


def _encode_padded(model: Any, batch: MicroBatch, states: bool) -> Encoded:
    """The same through padded groups, for models whose attention does not come from the registry."""
    groups = []
    with unpacked(model):
        start = 0
        for lengths in similar(batch.lengths):
            mask_BL = torch.arange(max(lengths), device=batch.input_ids.device) < torch.tensor(
                lengths, device=batch.input_ids.device
            ).unsqueeze(1)
            ids_BL = torch.zeros(mask_BL.shape, dtype=torch.int64, device=mask_BL.device)
            ids_BL[mask_BL] = batch.input_ids[start : start + sum(lengths)]
            output = body_of(model)(
                input_ids=ids_BL, attention_mask=mask_BL.long(), output_hidden_states=states, return_dict=True
            )
            every = [state[mask_BL] for state in output.hidden_states] if states else []
            groups.append([output.last_hidden_state[mask_BL], *every])
            start += sum(lengths)
    hidden_TD, *every = (torch.cat(parts) for parts in zip(*groups, strict=True))
    return Encoded(hidden_TD, every)


def similar(lengths: Sequence[int], slack: float = 0.1) -> list[list[int]]:
    """Cut descending lengths into groups in which the shortest is at most `slack` shorter than the longest."""
    groups: list[list[int]] = []
    for length in lengths:
        if groups and length >= groups[-1][0] * (1 - slack):
            groups[-1].append(length)
        else:
            groups.append([length])
    return groups


def _attention(
    module: nn.Module,
    query_1HTd: Tensor,
    key_1HTd: Tensor,
    value_1HTd: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention within each packed sample, in the form that the registry asks for: returns [1, T, H, d]."""
    packing = _packing.get()
    query, key, value = (part.squeeze(0).transpose(0, 1) for part in (query_1HTd, key_1HTd, value_1HTd))  # [T, H, d]
    packing.layer += 1
    if packing.layer in packing.wanted:
        packing.projections[packing.layer] = (query.flatten(1), key.flatten(1), value.flatten(1))
    if query.device.type == "cuda" and query.dtype in (torch.bfloat16, torch.float16):
        result = _on_cuda(query, key, value, packing, scaling, dropout, sliding_window)
    else:
        result = _by_length(query, key, value, packing.lengths, scaling, dropout, sliding_window)
    return result.unsqueeze(0), None


AttentionInterface.register(ATTENTION, _attention)


def _by_length(
    query_THd: Tensor,
    key_THd: Tensor,
    value_THd: Tensor,
    lengths: list[int],
    scaling: float | None,
    dropout: float,
    sliding_window: int | None,
) -> Tensor:
    """Samples of equal length together, as views of the pack."""
    runs = [(length, len(list(run))) for length, run in groupby(lengths)]
    sizes = [length * count for length, count in runs]
    heads, width = query_THd.shape[1:]
    # Splitting all at once: a slice's gradient would be a pack of zeros for each run.
    parts = zip(runs, *(tensor.split(sizes) for tensor in (query_THd, key_THd, value_THd)), strict=True)
    learning = query_THd.requires_grad and torch.is_grad_enabled()
    results = []
    for (length, count), query, key, value in parts:
        shape = (count, length, heads, width)
        plain = learning and length <= _SHORT
        with sdpa_kernel(SDPBackend.MATH) if plain else nullcontext():
            mixed = functional.scaled_dot_product_attention(
                query.view(shape).transpose(1, 2),
                key.view(shape).transpose(1, 2),
                value.view(shape).transpose(1, 2),
                attn_mask=_window(length, sliding_window, query.device),
                dropout_p=dropout,
                scale=scaling,
            )
        results.append(mixed.transpose(1, 2).reshape(count * length, heads, width))
    return torch.cat(results)


def _window(length: int, sliding_window: int | None, device: torch.device) -> Tensor | None:
    """Which positions see each other where a layer looks only so far; None where every position sees all."""
    if sliding_window is None or length <= sliding_window:
        return None
    place = torch.arange(length, device=device)
    return (place.unsqueeze(0) - place.unsqueeze(1)).abs() < sliding_window


def _on_cuda(
    query_THd: Tensor,
    key_THd: Tensor,
    value_THd: Tensor,
    packing: _Packing,
    scaling: float | None,
    dropout: float,
    sliding_window: int | None,
) -> Tensor:
    """All samples at once. The variable-length kernel knows no dropout; nested tensors reach the one that does."""
    longest = packing.lengths[0]
    offsets = packing.offsets
    if dropout == 0:
        reach = (-1, -1) if sliding_window is None else (sliding_window - 1, sliding_window - 1)
        mixed: Tensor = varlen_attn(  # type: ignore[assignment]
            query_THd, key_THd, value_THd, offsets, offsets, longest, longest, scale=scaling, window_size=reach
        )
        return mixed
    if sliding_window is not None and longest > sliding_window:
        return _by_length(query_THd, key_THd, value_THd, packing.lengths, scaling, dropout, sliding_window)
    longer = offsets.long()  # one tensor for all three: nested tensors know by it that their lengths are the same
    query, key, value = (
        torch.nested.nested_tensor_from_jagged(
            part.contiguous(), longer, min_seqlen=packing.lengths[-1], max_seqlen=longest
        ).transpose(1, 2)
        for part in (query_THd, key_THd, value_THd)
    )
    mixed = functional.scaled_dot_product_attention(query, key, value, dropout_p=dropout, scale=scaling)
    return mixed.transpose(1, 2).values()
