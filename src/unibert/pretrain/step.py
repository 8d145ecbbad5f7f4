"""One micro-batch through student, discriminator and losses (equation 5).

Shape suffixes: B samples, L positions, D hidden, M masked rows, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from unibert.models.adversary import LanguageDiscriminator, mean_pool
from unibert.models.masked_rows import masked_row_logits
from unibert.pretrain.objectives import adversary_losses, distillation_loss, language_loss, mlm_loss
from unibert.recipe import Pretrain
from unibert.tokens.batches import MicroBatch

MEASURES = ("loss", "mlm", "adversary", "distillation", "discriminator_accuracy")
"""What `TrainingStep` measures beside the loss to minimise; each summed over micro-batches gives the step's mean."""


class TrainingStep(nn.Module):
    """Student and discriminator under one roof, so that their gradients are averaged over processes together."""

    def __init__(self, student: Any, discriminator: LanguageDiscriminator | None, settings: Pretrain) -> None:
        super().__init__()
        self.student = student
        self.discriminator = discriminator
        self.settings = settings

    def forward(
        self,
        batch: MicroBatch,
        teacher_logits_MV: Tensor | None,
        rows_total: int,
        samples_total: int,
        adversary_weight: float,
    ) -> tuple[Tensor, Tensor]:
        """Compute L = lambda_MLM L_MLM - lambda_adv L_adv + lambda_KD L_KD for a part of a step (equation 5).

        In mode `confusion` the middle term is + lambda_adv times the confusion loss.

        Args:
            batch: the micro-batch.
            teacher_logits_MV: the teacher's answer on the same rows; None without distillation.
            rows_total: masked rows of the whole step, over all micro-batches and processes.
            samples_total: samples of the whole step.
            adversary_weight: lambda_adv at this step.

        Returns:
            The scalar to minimise, and the detached sums for `MEASURES`, both divided by the step's totals.
        """
        settings = self.settings
        hidden_BLD, logits_MV = masked_row_logits(self.student, batch.input_ids, batch.attention_mask, batch.rows)
        mlm = mlm_loss(logits_MV, batch.labels, settings.label_smoothing).sum() / rows_total
        student_loss = settings.mlm_weight * mlm
        minimise = student_loss
        zero = torch.zeros((), device=mlm.device)
        distillation = adversary = correct = zero

        if teacher_logits_MV is not None:
            losses_M = distillation_loss(
                logits_MV,
                teacher_logits_MV,
                settings.distillation.temperature,
                settings.distillation.scale_by_temperature,
            )
            distillation = losses_M.sum() / rows_total
            student_loss = student_loss + settings.distillation.weight * distillation
            minimise = student_loss

        if self.discriminator is not None:
            pooled_BD = mean_pool(hidden_BLD.float(), batch.attention_mask)
            to_minimise_B, student_term_B, logits_BK = adversary_losses(
                self.discriminator, pooled_BD, batch.languages, settings.adversary.mode, adversary_weight
            )
            minimise = student_loss + to_minimise_B.sum() / samples_total
            student_loss = student_loss.detach() + student_term_B.sum() / samples_total
            adversary = language_loss(logits_BK, batch.languages).sum() / samples_total
            correct = (logits_BK.argmax(dim=-1) == batch.languages).sum() / samples_total

        measures = torch.stack(
            [value.detach().float() for value in (student_loss, mlm, adversary, distillation, correct)]
        )
        return minimise, measures
