"""Cross-entropy and KL divergence over a wide vocabulary, a few rows at a time.

Written plainly, either loss makes half a dozen float32 tensors of masked rows x 119,547, which on a CPU cost more time
than the encoder. Here each chunk of rows stays in the cache, its gradient is computed along with its loss, and only
that gradient, in the logits' own number format, is kept. Loss and gradient equal the plain ones (tested).

Shape suffixes: M masked rows, C rows of a chunk, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_CHUNK_ELEMENTS = 1 << 20
"""Elements of a chunk: 4 MiB in float32, so that the few tensors of a chunk fit a core's share of the cache."""


def _chunk_rows(vocabulary: int) -> int:
    return max(1, _CHUNK_ELEMENTS // vocabulary)


class SmoothedCrossEntropy(torch.autograd.Function):
    """losses_M = log sum exp(x) - (1 - e) x[label] - e mean(x), with its gradient softmax(x) - target."""

    @staticmethod
    def forward(ctx: Any, logits_MV: Tensor, labels_M: Tensor, smoothing: float) -> Tensor:
        """Compute losses_M, float32; remember the gradient if it will be asked for."""
        vocabulary = logits_MV.shape[1]
        losses_M = torch.empty(len(logits_MV), device=logits_MV.device)
        gradient_MV = torch.empty_like(logits_MV) if ctx.needs_input_grad[0] else None
        for start in range(0, len(logits_MV), _chunk_rows(vocabulary)):
            rows = slice(start, start + _chunk_rows(vocabulary))
            logits_CV = logits_MV[rows].float()
            labels_C1 = labels_M[rows].unsqueeze(1)
            normaliser_C1 = logits_CV.logsumexp(dim=1, keepdim=True)
            right_C1 = logits_CV.gather(1, labels_C1)
            loss_C1 = normaliser_C1 - (1 - smoothing) * right_C1
            if smoothing:
                loss_C1 = loss_C1 - smoothing * logits_CV.mean(dim=1, keepdim=True)
            losses_M[rows] = loss_C1.squeeze(1)
            if gradient_MV is not None:
                gradient_CV = (logits_CV - normaliser_C1).exp_()
                if smoothing:
                    gradient_CV -= smoothing / vocabulary
                gradient_CV.scatter_add_(1, labels_C1, torch.full_like(right_C1, smoothing - 1))
                gradient_MV[rows] = gradient_CV
        ctx.gradient_MV = gradient_MV
        return losses_M

    @staticmethod
    def backward(ctx: Any, *weights_M: Tensor) -> tuple[Tensor, None, None]:
        """Scale the remembered gradient row by row."""
        return _weighted(ctx, weights_M[0]), None, None


class SoftenedDivergence(torch.autograd.Function):
    """losses_M = KL(softmax(t / T) || softmax(s / T)), with its gradient (softmax(s / T) - softmax(t / T)) / T."""

    @staticmethod
    def forward(ctx: Any, student_MV: Tensor, teacher_MV: Tensor, temperature: float) -> Tensor:
        """Compute losses_M, float32; remember the gradient if it will be asked for."""
        losses_M = torch.empty(len(student_MV), device=student_MV.device)
        gradient_MV = torch.empty_like(student_MV) if ctx.needs_input_grad[0] else None
        for start in range(0, len(student_MV), _chunk_rows(student_MV.shape[1])):
            rows = slice(start, start + _chunk_rows(student_MV.shape[1]))
            student_CV = student_MV[rows].float() / temperature
            teacher_CV = teacher_MV[rows].float() / temperature
            student_CV -= student_CV.logsumexp(dim=1, keepdim=True)
            teacher_CV -= teacher_CV.logsumexp(dim=1, keepdim=True)
            target_CV = teacher_CV.exp()
            losses_M[rows] = teacher_CV.sub_(student_CV).mul_(target_CV).sum(dim=1)
            if gradient_MV is not None:
                gradient_MV[rows] = student_CV.exp_().sub_(target_CV).div_(temperature)
        ctx.gradient_MV = gradient_MV
        return losses_M

    @staticmethod
    def backward(ctx: Any, *weights_M: Tensor) -> tuple[Tensor, None, None]:
        """Scale the remembered gradient row by row."""
        return _weighted(ctx, weights_M[0]), None, None


def _weighted(ctx: Any, weights_M: Tensor) -> Tensor:
    # In place: autograd asks once, and a second (rows x vocabulary) tensor would double the memory.
    if ctx.gradient_MV is None:
        raise RuntimeError("the gradient of this loss was asked for twice")
    gradient_MV: Tensor = ctx.gradient_MV.mul_(weights_M.unsqueeze(1))
    ctx.gradient_MV = None
    return gradient_MV
