"""The losses of the paper (arXiv 2503.12608), as pure functions.

Each returns one value per row or sample, so that the caller divides by the count of the whole batch, however it is
cut into micro-batches and processes. Everything is computed in float32.

Shape suffixes: B samples, M masked rows, V vocabulary, K languages, D hidden.
"""

from __future__ import annotations

import torch.nn.functional as functional
from torch import Tensor

from unibert.models.adversary import LanguageDiscriminator, reverse_gradient
from unibert.pretrain.vocabulary_losses import SmoothedCrossEntropy, SoftenedDivergence
from unibert.recipe import AdversaryMode


def mlm_loss(logits_MV: Tensor, labels_M: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Masked language modelling (equation 1): cross-entropy in nats on the masked rows, losses_M.

    With smoothing e the target is (1 - e) on the right piece plus e / V on every piece (Szegedy et al.,
    arXiv 1512.00567).
    """
    losses_M: Tensor = SmoothedCrossEntropy.apply(logits_MV, labels_M, label_smoothing)
    return losses_M


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
    divergence_M: Tensor = SoftenedDivergence.apply(student_logits_MV, teacher_logits_MV, temperature)
    return divergence_M * temperature**2 if scale_by_temperature else divergence_M


def language_loss(logits_BK: Tensor, languages_B: Tensor) -> Tensor:
    """The discriminator's cross-entropy over the languages (equation 3), in nats, losses_B."""
    return functional.cross_entropy(logits_BK.float(), languages_B, reduction="none")


def confusion_loss(logits_BK: Tensor) -> Tensor:
    """Cross-entropy of the discriminator's answer against the uniform distribution, in nats, losses_B.

    Its least value is log K, where the discriminator cannot tell languages apart (Tzeng et al., arXiv 1510.02192).
    """
    return -functional.log_softmax(logits_BK.float(), dim=-1).mean(dim=-1)


def adversary_losses(
    discriminator: LanguageDiscriminator, pooled_BD: Tensor, languages_B: Tensor, mode: AdversaryMode, weight: float
) -> tuple[Tensor, Tensor, Tensor]:
    """What to minimise for the adversary, in the three readings of the paper's "loss reversal".

    Args:
        discriminator: reads the language from pooled embeddings.
        pooled_BD: mean-pooled last-layer embeddings of the student.
        languages_B: the true languages.
        mode: `loss-reversal`: -weight * L_adv for student and discriminator alike (equation 5 read literally);
            `gradient-reversal`: the discriminator minimises L_adv, the student receives -weight times its gradient;
            `confusion`: the discriminator minimises L_adv on detached embeddings, the student minimises
            weight * confusion.
        weight: lambda_adv at this step.

    Returns:
        to_minimise_B; the term as it stands in the student's objective, student_term_B (detached);
        and logits_BK (detached), for the discriminator's own loss and accuracy.
    """
    if mode == "loss-reversal":
        logits_BK = discriminator(pooled_BD)
        student_term_B = -weight * language_loss(logits_BK, languages_B)
        to_minimise_B = student_term_B
    elif mode == "gradient-reversal":
        logits_BK = discriminator(reverse_gradient(pooled_BD, weight))
        to_minimise_B = language_loss(logits_BK, languages_B)
        student_term_B = -weight * to_minimise_B
    elif mode == "confusion":
        logits_BK = discriminator(pooled_BD.detach())
        student_term_B = weight * confusion_loss(discriminator.frozen(pooled_BD))
        to_minimise_B = language_loss(logits_BK, languages_B) + student_term_B
    else:
        raise ValueError(f"no adversary loss in mode {mode!r}")
    return to_minimise_B, student_term_B.detach(), logits_BK.detach()
