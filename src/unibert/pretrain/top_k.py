"""A teacher's most probable pieces instead of its whole vocabulary, and the divergence that can be had from them.

Shape suffixes: M masked rows, C rows of a block, V vocabulary, K pieces kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor

_BLOCK_ELEMENTS, _BLOCK_ELEMENTS_CUDA = 1 << 20, 1 << 25
"""Elements of a block of rows: 4 MiB in float32, so that the few tensors of a block fit a core's share of the cache."""


@dataclass(frozen=True)
class TopK:
    """The K most probable pieces of every row, most probable first."""

    ids_MK: Tensor
    """int64: the pieces, all different in a row."""
    probabilities_MK: Tensor
    """float32: softmax over the whole vocabulary at the distillation temperature; a row sums to 1 or less."""

    def __len__(self) -> int:
        """M."""
        return len(self.ids_MK)

    def __getitem__(self, rows: slice) -> TopK:
        """Some of the rows."""
        return TopK(self.ids_MK[rows], self.probabilities_MK[rows])

    def to(self, device: torch.device) -> TopK:
        """The same on a device."""
        return TopK(self.ids_MK.to(device, non_blocking=True), self.probabilities_MK.to(device, non_blocking=True))

    @staticmethod
    def joined(parts: Sequence[TopK]) -> TopK:
        """The rows of all parts, one part after another; all have the same K."""
        return TopK(torch.cat([part.ids_MK for part in parts]), torch.cat([part.probabilities_MK for part in parts]))


def top_k(logits_MV: Tensor, k: int, temperature: float) -> TopK:
    """The k most probable pieces of softmax(logits / temperature), or all V where there are fewer.

    Computed in float32 a few rows at a time, whatever the logits' number format: there is never a float32 copy of all
    of them. No gradient flows back.

    Args:
        logits_MV: the teacher's answer on the masked rows; where it is made part by part, see `TopK.joined`.
        k: pieces to keep.
        temperature: the logits are divided by it.
    """
    rows, vocabulary = logits_MV.shape
    k = min(k, vocabulary)
    ids_MK = torch.empty((rows, k), dtype=torch.int64, device=logits_MV.device)
    probabilities_MK = torch.empty((rows, k), dtype=torch.float32, device=logits_MV.device)
    with torch.no_grad():
        size = _BLOCK_ELEMENTS_CUDA if logits_MV.is_cuda else _BLOCK_ELEMENTS
        for start in range(0, rows, max(1, size // vocabulary)):
            part = slice(start, start + max(1, size // vocabulary))
            scaled_CV = _at_least_float32(logits_MV[part]) / temperature
            top_CK, ids_MK[part] = scaled_CV.topk(k, dim=1)
            probabilities_MK[part] = (top_CK - scaled_CV.logsumexp(dim=1, keepdim=True)).exp()
    return TopK(ids_MK, probabilities_MK)


def truncated_divergence(student_logits_MV: Tensor, top: TopK, temperature: float) -> Tensor:
    """KL between (p_1, ..., p_K, rest) of the teacher and (q_1, ..., q_K, rest) of the student, in nats, losses_M.

    p and q are softmaxes at the temperature, and the V - K pieces that the teacher holds least probable count as one.
    By the log-sum inequality this is never more than the KL over all pieces (equation 4), and equals it where the
    student divides its rest in the teacher's proportions, and for K = V. It asks the student for the right K
    probabilities and the right sum of the others, and lets it divide that sum as it likes.

    How much is lost depends on the probability that the K pieces hold, and no number holds for every teacher: a
    temperature of 2 halves all differences between logits, so in a wide vocabulary the many improbable pieces may
    together outweigh the few probable ones. `benchmarks/teacher_cache.py --closeness` measures it for a given teacher.

    Args:
        student_logits_MV: gradients flow into these.
        top: the teacher's pieces on the same rows, at the same temperature.
        temperature: the student's logits are divided by it.
    """
    probabilities_MK = top.probabilities_MK
    log_q_MV = functional.log_softmax(_at_least_float32(student_logits_MV) / temperature, dim=1)
    log_rest_M = log_q_MV.scatter(1, top.ids_MK, -torch.inf).logsumexp(dim=1)
    some_M = log_rest_M > -torch.inf
    rest_M = torch.where(some_M, (1 - probabilities_MK.sum(dim=1)).clamp_min(0), 0)
    entropy_M = torch.special.xlogy(probabilities_MK, probabilities_MK).sum(dim=1) + torch.special.xlogy(rest_M, rest_M)
    of_top_M = (probabilities_MK * log_q_MV.gather(1, top.ids_MK)).sum(dim=1)
    return entropy_M - of_top_M - rest_M * torch.where(some_M, log_rest_M, 0)


def truncated_divergence_block(
    logits_CV: Tensor, ids_CK: Tensor, probabilities_CK: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """`truncated_divergence` of a few rows and its gradient in their logits: (losses_C, gradient_CV), for fused losses.

    With q the student's softmax at temperature T the gradient is (q_j - p_j) / T for the K pieces and
    (q_j - p_rest q_j / q_rest) / T for the others. q_j / q_rest is computed as a softmax over these others alone, so
    nothing is lost where their sum is small, and where there are none (K = V) the class is left out. A teacher whose
    probabilities sum to slightly more than 1 by rounding has p_rest = 0.

    Args:
        logits_CV: float32, or float64.
        ids_CK: the teacher's pieces, all different in a row.
        probabilities_CK: theirs.
        temperature: T.
    """
    scaled_CV = logits_CV / temperature
    top_CK = scaled_CV.gather(1, ids_CK)
    scaled_CV.scatter_(1, ids_CK, -torch.inf)  # what is left are the others
    others_C1 = scaled_CV.logsumexp(dim=1, keepdim=True)
    normaliser_C1 = torch.logaddexp(others_C1, top_CK.logsumexp(dim=1, keepdim=True))
    log_top_CK = top_CK - normaliser_C1

    some_C1 = others_C1 > -torch.inf
    others_C1 = torch.where(some_C1, others_C1, 0)
    log_rest_C1 = torch.where(some_C1, others_C1 - normaliser_C1, 0)
    rest_C1 = torch.where(some_C1, 1 - probabilities_CK.sum(dim=1, keepdim=True), 0).clamp_min(0)

    entropy_C = torch.special.xlogy(probabilities_CK, probabilities_CK).sum(dim=1)
    entropy_C = entropy_C + torch.special.xlogy(rest_C1, rest_C1).squeeze(1)
    losses_C = entropy_C - (probabilities_CK * log_top_CK).sum(dim=1) - (rest_C1 * log_rest_C1).squeeze(1)

    gradient_CV = scaled_CV.sub_(others_C1).exp_().mul_((log_rest_C1.exp() - rest_C1) / temperature)
    return losses_C, gradient_CV.scatter_(1, ids_CK, (log_top_CK.exp() - probabilities_CK) / temperature)


def _at_least_float32(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
