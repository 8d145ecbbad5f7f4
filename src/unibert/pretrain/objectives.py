"""The losses of the paper (arXiv 2503.12608) and of two more ways to distil, as pure functions.

Each returns one value per row, token or sample, so that the caller divides by the count of the whole batch, however it
is cut into micro-batches and processes. Everything is computed in float32. They are written to be read; where a faster
way is taken for the vocabulary losses (vocabulary_losses.py), it is tested against the ones here.

Shape suffixes: B samples, T packed tokens, M masked rows, V vocabulary, K languages, D hidden; within groups of samples
of one length: N samples, L tokens, H relation heads, R width of a relation head.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
import torch.nn.functional as functional
from torch import Tensor

from unibert.errors import DataError
from unibert.models.adversary import LanguageDiscriminator
from unibert.recipe import AdversaryMode


def mlm_loss(logits_MV: Tensor, labels_M: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Masked language modelling (equation 1): cross-entropy in nats on the masked rows, losses_M.

    With smoothing e the target is (1 - e) on the right piece plus e / V on every piece (Szegedy et al.,
    arXiv 1512.00567).
    """
    log_probabilities_MV = functional.log_softmax(logits_MV.float(), dim=-1)
    right_M = log_probabilities_MV.gather(1, labels_M.unsqueeze(1)).squeeze(1)
    return -(1 - label_smoothing) * right_M - label_smoothing * log_probabilities_MV.mean(dim=-1)


def distillation_loss(
    student_logits_MV: Tensor, teacher_logits_MV: Tensor, temperature: float, scale_by_temperature: bool = False
) -> Tensor:
    """KL(teacher || student) between softmaxes at a temperature (equation 4), in nats, losses_M.

    Args:
        student_logits_MV: gradients flow into these.
        teacher_logits_MV: no gradient should.
        temperature: both models' logits are divided by it.
        scale_by_temperature: multiply by temperature squared (Hinton et al., arXiv 1503.02531); the paper does not
            say that it does.
    """
    student_MV = functional.log_softmax(student_logits_MV.float() / temperature, dim=-1)
    teacher_MV = functional.log_softmax(teacher_logits_MV.float() / temperature, dim=-1)
    divergence_M = (teacher_MV.exp() * (teacher_MV - student_MV)).sum(dim=-1)
    return divergence_M * temperature**2 if scale_by_temperature else divergence_M


def language_loss(logits_BK: Tensor, languages_B: Tensor) -> Tensor:
    """The discriminator's cross-entropy over the languages (equation 3), in nats, losses_B."""
    return functional.cross_entropy(logits_BK.float(), languages_B, reduction="none")


def confusion_loss(logits_BK: Tensor) -> Tensor:
    """Cross-entropy of the discriminator's answer against the uniform distribution, in nats, losses_B.

    Its least value is log K, where the discriminator cannot tell languages apart (Tzeng et al., arXiv 1510.02192).
    """
    return -functional.log_softmax(logits_BK.float(), dim=-1).mean(dim=-1)


def student_adversary_term(
    discriminator: LanguageDiscriminator, pooled_BD: Tensor, languages_B: Tensor, mode: AdversaryMode, weight: float
) -> tuple[Tensor, Tensor]:
    """What the student minimises against the discriminator, whose weights stand still here (equation 5).

    `loss-reversal` and `gradient-reversal`: -weight * L_adv. The two differ in what the discriminator does, see
    `discriminator_loss`; together with it the second equals a gradient reversal layer (Ganin and Lempitsky,
    arXiv 1409.7495), in loss and in gradients (tested). `confusion`: weight * `confusion_loss`.

    Args:
        discriminator: reads the language from pooled embeddings; receives no gradient.
        pooled_BD: mean-pooled last-layer embeddings of the student; gradients flow into these.
        languages_B: the true languages.
        mode: one of the three.
        weight: lambda_adv at this step.

    Returns:
        term_B, as it stands in the student's objective; and logits_BK, detached, for the log.

    Raises:
        ValueError: mode `none` has no such term.
    """
    logits_BK = discriminator.frozen(pooled_BD)
    if mode in ("loss-reversal", "gradient-reversal"):
        term_B = -weight * language_loss(logits_BK, languages_B)
    elif mode == "confusion":
        term_B = weight * confusion_loss(logits_BK)
    else:
        raise ValueError(f"no adversary loss in mode {mode!r}")
    return term_B, logits_BK.detach()


def discriminator_loss(
    discriminator: LanguageDiscriminator, pooled_BD: Tensor, languages_B: Tensor, mode: AdversaryMode, weight: float
) -> Tensor:
    """What the discriminator minimises, losses_B: L_adv (equation 3).

    In mode `loss-reversal` it is -weight * L_adv instead: in equation 5 read literally one objective, in which L_adv
    has a minus sign, is minimised over all weights, the discriminator's among them.

    Args:
        discriminator: gradients flow into its weights.
        pooled_BD: the student's pooled embeddings; no gradient flows back into these.
        languages_B: the true languages.
        mode: one of the three.
        weight: lambda_adv at this step.

    Raises:
        ValueError: mode `none` has no discriminator.
    """
    if mode == "none":
        raise ValueError(f"no adversary loss in mode {mode!r}")
    losses_B = language_loss(discriminator(pooled_BD.detach()), languages_B)
    return -weight * losses_B if mode == "loss-reversal" else losses_B


def hidden_state_loss(projected_TD: Tensor, teacher_TD: Tensor) -> Tensor:
    """Mean squared error over the teacher's width, losses_T: L_hidn = MSE(H^S W_h, H^T).

    TinyBERT (Jiao et al., arXiv 1909.10351), equation 8; the same with the embeddings is its equation 9.

    Args:
        projected_TD: the student's hidden states through their learned map W_h (models/projections.py).
        teacher_TD: the teacher's, of the same tokens.
    """
    return (projected_TD.float() - teacher_TD.float()).square().mean(dim=-1)


def relation_loss(student_TD: Tensor, teacher_TD: Tensor, lengths: Sequence[int], heads: int) -> Tensor:
    """KL between the self-attention relations of one kind (queries, keys or values) in two models, losses_B.

    MiniLMv2 (Wang et al., arXiv 2012.15828, section 3): a layer's vectors, joined over its attention heads, are cut
    anew into `heads` relation heads X_a of width d_r, which may differ between the models. In each sample

        R_a = softmax(X_a X_a^T / sqrt(d_r)),   loss = 1 / (heads * length) sum_a sum_t KL(R^T_{a,t} || R^S_{a,t}).

    A matrix is length x length, never T x T: neighbours of the same length are taken together, without padding.

    Args:
        student_TD: vectors of the samples' tokens, one sample after another; gradients flow into these.
        teacher_TD: the same tokens; the width may be another.
        lengths: tokens of each sample; sorted ones make the fewest groups, though any order is right.
        heads: number of relation heads; divides both widths (`check_relation_heads`).
    """
    groups = [(length, len(list(group))) for length, group in groupby(lengths)]
    sizes = [length * samples for length, samples in groups]
    losses = []
    # Split all at once: the gradient of a slice would be as long as the whole pack, once for each group.
    for (_, samples), student, teacher in zip(groups, student_TD.split(sizes), teacher_TD.split(sizes), strict=True):
        student_NHLL = _log_relations(student, samples, heads)
        teacher_NHLL = _log_relations(teacher, samples, heads)
        divergence_NHL = (teacher_NHLL.exp() * (teacher_NHLL - student_NHLL)).sum(dim=-1)
        losses.append(divergence_NHL.mean(dim=(1, 2)))
    return torch.cat(losses)


def relations_loss(
    student_qkv: Sequence[Tensor], teacher_qkv: Sequence[Tensor], lengths: Sequence[int], heads: int
) -> Tensor:
    """The sum of `relation_loss` over queries, keys and values, all of weight 1 as in MiniLMv2, losses_B.

    Args:
        student_qkv: (query_TD, key_TD, value_TD) of the student's last layer.
        teacher_qkv: the same of the teacher's chosen layer.
        lengths: tokens of each sample.
        heads: number of relation heads.
    """
    kinds = zip(student_qkv, teacher_qkv, strict=True)
    losses = [relation_loss(student_TD, teacher_TD, lengths, heads) for student_TD, teacher_TD in kinds]
    return torch.stack(losses).sum(dim=0)


def check_relation_heads(student_width: int, teacher_width: int, heads: int) -> None:
    """Refuse a number of relation heads that does not cut both models' widths evenly.

    Raises:
        DataError: names the numbers that would.
    """
    if student_width % heads == 0 and teacher_width % heads == 0:
        return
    common = [n for n in range(1, min(student_width, teacher_width) + 1) if student_width % n == teacher_width % n == 0]
    raise DataError(
        f"pretrain.distillation.relations.heads = {heads} does not divide the widths of the student "
        f"({student_width}) and of the teacher ({teacher_width})",
        f"Set pretrain.distillation.relations.heads to one of {', '.join(map(str, common))}.",
    )


def _log_relations(vectors_TD: Tensor, samples: int, heads: int) -> Tensor:
    """Every token against every other of its sample, for N samples of one length: log-softmax, float32, NHLL."""
    tokens, width = vectors_TD.shape
    vectors_NLHR = vectors_TD.float().reshape(samples, tokens // samples, heads, width // heads)
    vectors_NHLR = vectors_NLHR.transpose(1, 2)
    with torch.autocast(vectors_TD.device.type, enabled=False):
        products_NHLL = vectors_NHLR @ vectors_NHLR.transpose(-1, -2) / (width // heads) ** 0.5
    return functional.log_softmax(products_NHLL, dim=-1)
