"""The losses over a wide vocabulary, fused: projection, cross-entropy, KL divergence and their gradient, in blocks.

Written plainly (objectives.py), these losses make a dozen float32 tensors of masked rows x 119,547, which on a CPU
cost several times more than a small encoder. Here a block of rows is projected, its losses are computed together with
their gradient while the block is in the cache, and only that gradient is kept, in the logits' own number format. The
teacher's logits live for a block. Losses and gradients equal the plain ones (tested).

The work on a block is one pure function of tensors of a fixed size, so that it can be compiled once and for all
(`torch.compile`): ten times faster on a CPU.

Shape suffixes: M rows, C rows of a block, V vocabulary, D width of the features, K pieces kept by a cache.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from unibert.errors import DataError, first_line
from unibert.pretrain.top_k import TopK, truncated_divergence_block

_BLOCK, _BLOCK_CUDA = 128, 1024
"""Rows that are projected at once: enough to keep the matrix units busy."""
_TILE, _TILE_PLAIN, _TILE_CUDA = 32, 8, 256
"""Rows whose losses are computed at once, compiled or not: few enough for the cache of a CPU, and always so many, so
that nothing is compiled twice: the rows are filled up with some that count nothing."""

TeacherLogits = Callable[[slice], Tensor]
"""Gives the teacher's logits_CV for some rows."""


@dataclass(frozen=True)
class VocabularyObjective:
    """The settings of the losses, and how they are computed."""

    label_smoothing: float = 0.0
    temperature: float = 1.0
    compiled: bool = False


@dataclass
class VocabularyLosses:
    """What comes out, per row, in nats; no gradient hangs on these two."""

    mlm_M: Tensor
    """Cross-entropy (equation 1)."""
    distillation_M: Tensor
    """KL(teacher || student) (equation 4); 0 without a teacher."""


def vocabulary_losses(
    features_MD: Tensor,
    weight_VD: Tensor,
    bias_V: Tensor | None,
    labels_M: Tensor,
    mlm_scale_M: Tensor,
    teacher: TeacherLogits | TopK | None,
    distillation_scale_M: Tensor,
    objective: VocabularyObjective,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, VocabularyLosses]:
    """The scalar sum_m mlm_scale[m] * CE[m] + distillation_scale[m] * KL[m], ready for `backward`, and its parts.

    Args:
        features_MD: what the head's small layers make of the rows.
        weight_VD: the projection; gradient flows into it.
        bias_V: its bias.
        labels_M: the right pieces; anything valid where `mlm_scale_M` is 0.
        mlm_scale_M: weight of each row's cross-entropy.
        teacher: gives the teacher's logits for a slice of rows, or its most probable pieces; None without one.
        distillation_scale_M: weight of each row's divergence.
        objective: label smoothing, temperature, compiled or not.
        dtype: number format of the matrix products and the logits; everything else is float32.
    """
    total, mlm_M, distillation_M = _Fused.apply(
        features_MD, weight_VD, bias_V, labels_M, mlm_scale_M, teacher, distillation_scale_M, objective, dtype
    )
    return total, VocabularyLosses(mlm_M, distillation_M)


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        features_MD: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        labels_M: Tensor,
        mlm_scale_M: Tensor,
        teacher: TeacherLogits | TopK | None,
        distillation_scale_M: Tensor,
        objective: VocabularyObjective,
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor, Tensor]:
        learning = any(ctx.needs_input_grad[:3])
        device = features_MD.device
        block, tile = (_BLOCK_CUDA if device.type == "cuda" else _BLOCK), tile_rows(device, objective.compiled)
        with torch.autocast(device.type, enabled=False):
            features_MD, weight_VD = features_MD.to(dtype), weight_VD.to(dtype)
            bias = weight_VD.new_zeros(len(weight_VD)) if bias_V is None else bias_V.to(dtype)
            rows = len(features_MD)
            filled = -(-rows // tile) * tile
            columns = (features_MD, labels_M, mlm_scale_M, distillation_scale_M)
            features_MD, labels_M, mlm_scale_M, distillation_scale_M = (
                _fill(column, slice(0, filled)) for column in columns
            )
            mlm_M, distillation_M = torch.zeros((2, filled), device=device)
            gradient_MV = features_MD.new_empty((filled if learning else min(filled, block), len(weight_VD)))
            for start in range(0, filled, block):
                part = slice(start, min(start + block, filled))
                logits_CV = gradient_MV[part if learning else slice(0, part.stop - start)]
                torch.addmm(bias, features_MD[part], weight_VD.t(), out=logits_CV)
                answer = _of_rows(teacher, start, min(part.stop, rows), part.stop)
                for first in range(start, part.stop, tile):
                    here, inside = slice(first, first + tile), slice(first - start, first - start + tile)
                    mlm_M[here], distillation_M[here] = _tile_function(objective.compiled)(
                        logits_CV[inside],
                        [column[inside] for column in answer],
                        labels_M[here],
                        mlm_scale_M[here],
                        distillation_scale_M[here],
                        objective.label_smoothing,
                        objective.temperature,
                    )
            total = (mlm_scale_M * mlm_M + distillation_scale_M * distillation_M).sum()
        if learning:
            ctx.save_for_backward(features_MD, weight_VD, gradient_MV)
            ctx.rows, ctx.has_bias = rows, bias_V is not None
        mlm_M, distillation_M = mlm_M[:rows].clone(), distillation_M[:rows].clone()
        ctx.mark_non_differentiable(mlm_M, distillation_M)
        return total, mlm_M, distillation_M

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> tuple[Any, ...]:
        features_MD, weight_VD, gradient_MV = ctx.saved_tensors
        scale = upstream[0]
        with torch.autocast(features_MD.device.type, enabled=False):
            features = (gradient_MV[: ctx.rows] @ weight_VD).float() * scale
            weight = (gradient_MV.t() @ features_MD).float().mul_(scale)
            # A product with ones: summing the columns of a bfloat16 matrix is several times slower.
            ones = gradient_MV.new_ones((1, len(gradient_MV)))
            bias = (ones @ gradient_MV).squeeze(0).float() * scale if ctx.has_bias else None
        return features, weight, bias, None, None, None, None, None, None


def _fill(rows: Tensor, part: slice) -> Tensor:
    """As many rows as the slice has: zeros after the given ones."""
    missing = part.stop - part.start - len(rows)
    return rows if missing == 0 else torch.cat([rows, rows.new_zeros((missing, *rows.shape[1:]))])


def _of_rows(teacher: TeacherLogits | TopK | None, start: int, stop: int, filled: int) -> list[Tensor]:
    """What the teacher says of some rows, with rows of zeros up to `filled`: logits, or pieces and probabilities."""
    if teacher is None:
        return []
    rows = slice(start, stop)
    columns = [teacher.ids_MK[rows], teacher.probabilities_MK[rows]] if isinstance(teacher, TopK) else [teacher(rows)]
    if isinstance(teacher, TopK) and filled > stop:
        # Pieces of a row must differ.
        columns[0] = torch.cat([columns[0], columns[0][:1].expand(filled - stop, -1)])
    return [_fill(column, slice(start, filled)) for column in columns]


def _tile(
    logits_CV: Tensor,
    teacher: list[Tensor],
    labels_C: Tensor,
    mlm_scale_C: Tensor,
    distillation_scale_C: Tensor,
    smoothing: float,
    temperature: float,
) -> tuple[Tensor, Tensor]:
    """Both losses of a few rows; the logits are overwritten with the gradient of their weighted sum."""
    student_CV = logits_CV.float()
    mlm_C, gradient_CV = _cross_entropy(student_CV, labels_C, smoothing)
    gradient_CV = mlm_scale_C.unsqueeze(1) * gradient_CV
    distillation_C = torch.zeros_like(mlm_C)
    if teacher:
        distillation_C, softened_CV = (
            _divergence(student_CV, teacher[0].float(), temperature)
            if len(teacher) == 1
            else truncated_divergence_block(student_CV, teacher[0], teacher[1], temperature)
        )
        gradient_CV = gradient_CV + distillation_scale_C.unsqueeze(1) * softened_CV
    logits_CV.copy_(gradient_CV)
    return mlm_C, distillation_C


def _cross_entropy(logits_CV: Tensor, labels_C: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """Log sum exp(x) - (1 - e) x[label] - e mean(x), and its gradient softmax(x) - target."""
    vocabulary = logits_CV.shape[1]
    highest_C1 = logits_CV.amax(dim=1, keepdim=True)
    powers_CV = (logits_CV - highest_C1).exp()
    sums_C1 = powers_CV.sum(dim=1, keepdim=True)
    right_C1 = logits_CV.gather(1, labels_C.unsqueeze(1))
    losses_C1 = sums_C1.log() + highest_C1 - (1 - smoothing) * right_C1
    if smoothing:
        losses_C1 = losses_C1 - smoothing * logits_CV.mean(dim=1, keepdim=True)
    # A comparison and not a scatter: it fuses with the rest.
    is_right_CV = torch.arange(vocabulary, device=logits_CV.device).unsqueeze(0) == labels_C.unsqueeze(1)
    gradient_CV = powers_CV / sums_C1 - smoothing / vocabulary - is_right_CV * (1 - smoothing)
    return losses_C1.squeeze(1), gradient_CV


def _divergence(student_CV: Tensor, teacher_CV: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """KL(softmax(t / T) || softmax(s / T)), and its gradient (softmax(s / T) - softmax(t / T)) / T."""
    student_CV, teacher_CV = student_CV / temperature, teacher_CV / temperature
    student_CV = student_CV - student_CV.amax(dim=1, keepdim=True)
    teacher_CV = teacher_CV - teacher_CV.amax(dim=1, keepdim=True)
    student_powers_CV, teacher_powers_CV = student_CV.exp(), teacher_CV.exp()
    student_sums_C1 = student_powers_CV.sum(dim=1, keepdim=True)
    teacher_sums_C1 = teacher_powers_CV.sum(dim=1, keepdim=True)
    target_CV = teacher_powers_CV / teacher_sums_C1
    losses_C1 = (target_CV * (teacher_CV - student_CV)).sum(dim=1, keepdim=True)
    losses_C1 = losses_C1 - teacher_sums_C1.log() + student_sums_C1.log()
    return losses_C1.squeeze(1), (student_powers_CV / student_sums_C1 - target_CV) / temperature


def tile_rows(device: torch.device, compiled: bool) -> int:
    """Rows that one call of the innermost function works on; the rows of a micro-batch are filled up to a multiple."""
    if device.type == "cuda":
        return _TILE_CUDA
    return _TILE if compiled else _TILE_PLAIN


@cache
def _tile_function(compiled: bool) -> Callable[..., tuple[Tensor, Tensor]]:
    return torch.compile(_tile, dynamic=False) if compiled else _tile


def wants_compilation(setting: str, steps: int, device: torch.device) -> bool:
    """What `compile = "auto"`, `"on"` or `"off"` stands for in a run of so many steps on this device."""
    if setting == "auto":
        return steps >= COMPILE_FROM_STEPS and _has_compiler(device)
    return setting == "on"


COMPILE_FROM_STEPS = 500
"""Shorter runs do not win back the time that compiling takes."""


def check_compilation(
    vocabulary: int, dtype: torch.dtype, device: torch.device, with_teacher: bool, objective: VocabularyObjective
) -> None:
    """Compile now what the run will need, so that a broken compiler is found before the first step.

    Smoothing and temperature are constants of what is compiled: with others it would be compiled once more.

    Raises:
        DataError: it does not work, with the compiler's first line.
    """
    rows = tile_rows(device, True)
    logits_CV = torch.zeros((rows, vocabulary), dtype=dtype, device=device)
    scales_C = [torch.zeros(rows, device=device) for _ in range(2)]  # two: the compiler notices when they are one
    labels_C = torch.zeros(rows, dtype=torch.int64, device=device)
    teacher = [logits_CV.clone()] if with_teacher else []
    try:
        with torch.no_grad():
            _tile_function(True)(
                logits_CV, teacher, labels_C, *scales_C, objective.label_smoothing, objective.temperature
            )
    except Exception as error:  # the compiler's own kinds are many, and none is public
        raise DataError(
            f"the vocabulary losses cannot be compiled here ({first_line(error)})",
            "Install a C++ compiler (g++ or clang++), or set pretrain.compile=off.",
        ) from None


def _has_compiler(device: torch.device) -> bool:
    if device.type == "cuda":
        return find_spec("triton") is not None
    return any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++"))
