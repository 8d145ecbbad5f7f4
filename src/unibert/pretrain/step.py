"""One micro-batch through a student and all its losses (equation 5).

Shape suffixes: B samples, T packed tokens, D hidden, M rows, V vocabulary, K languages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from unibert.models.adversary import LanguageDiscriminator
from unibert.models.masked_rows import head_features, vocabulary_projection
from unibert.models.packed import encode, mean_pool
from unibert.models.projections import Projections
from unibert.pretrain.objectives import (
    hidden_state_loss,
    language_loss,
    relations_loss,
    student_adversary_term,
)
from unibert.pretrain.top_k import TopK
from unibert.pretrain.vocabulary_losses import TeacherLogits, VocabularyObjective, vocabulary_losses
from unibert.recipe import Pretrain
from unibert.tokens.batches import MicroBatch

MEASURES = ("loss", "mlm", "adversary", "distillation", "hidden", "relations", "discriminator_accuracy")
"""What `TrainingStep` measures beside the loss to minimise; each summed over micro-batches gives the step's mean."""


@dataclass
class TeacherAnswer:
    """What the students learn from, of one micro-batch; parts that are not asked for are empty."""

    predictions: TeacherLogits | TopK | None = None
    """On the rows to compare: gives the logits of a slice of them, or the most probable pieces."""
    states: list[Tensor] = field(default_factory=list)
    """Embeddings and every layer, each [T, D]."""
    relations: tuple[Tensor, Tensor, Tensor] | None = None
    """Queries, keys and values of one layer, each [T, D]."""


@dataclass(frozen=True)
class Totals:
    """What the means of a step are taken over: all its micro-batches and processes."""

    rows: int
    """Masked tokens; 1 where there is none."""
    tokens: int
    """Tokens without padding, [CLS] and [SEP] included."""
    samples: int


class TrainingStep(nn.Module):
    """The student and its projections under one roof, so that their gradients are averaged over processes together.

    Args:
        student: a masked language model.
        projections: for the hidden states; None without them.
        layers: (student's, teacher's) states that are compared, by number.
        settings: the objective.
        vocabulary: how the losses over the vocabulary are computed.
        dtype: number format of the matrix products.
    """

    def __init__(
        self,
        student: Any,
        projections: Projections | None,
        layers: Sequence[tuple[int, int]],
        settings: Pretrain,
        vocabulary: VocabularyObjective,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.student = student
        self.projections = projections
        self.layers = list(layers)
        self.settings = settings
        self.vocabulary = vocabulary
        self.dtype = dtype

    def forward(
        self,
        batch: MicroBatch,
        teacher: TeacherAnswer,
        totals: Totals,
        discriminator: LanguageDiscriminator | None,
        adversary_weight: float,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Compute L = lambda_MLM L_MLM - lambda_adv L_adv + lambda_KD L_KD for a part of a step (equation 5).

        In mode `confusion` the middle term is + lambda_adv times the confusion loss. The further ways to learn from
        the teacher are added with their weights.

        Args:
            batch: the micro-batch.
            teacher: its answer.
            totals: of the whole step.
            discriminator: frozen here; it learns by itself, from the embeddings returned.
            adversary_weight: lambda_adv at this step.

        Returns:
            The scalar to minimise; the detached `MEASURES`, divided by the step's totals; and with a discriminator the
            pooled embeddings pooled_BD, detached.
        """
        settings, distillation = self.settings, self.settings.distillation
        student_layers = self.student.config.num_hidden_layers
        encoded = encode(
            self.student,
            batch,
            states=bool(teacher.states),
            relations_of=() if teacher.relations is None else (student_layers,),
        )
        loss, mlm, logits_term = self._predictions(encoded.hidden_TD, batch, teacher, totals)
        zero = torch.zeros((), device=loss.device)
        hidden = relations = adversary = correct = zero
        pooled_BD = None

        if teacher.states and self.projections is not None:
            pairs = zip(
                self.projections([encoded.states[number] for number, _ in self.layers]), self.layers, strict=True
            )
            losses_T = [hidden_state_loss(projected, teacher.states[number]) for projected, (_, number) in pairs]
            hidden = torch.stack([per_token.sum() for per_token in losses_T]).mean() / totals.tokens
            loss = loss + distillation.hidden.weight * hidden

        if teacher.relations is not None:
            losses_B = relations_loss(
                encoded.projections[student_layers], teacher.relations, batch.lengths, distillation.relations.heads
            )
            relations = losses_B.sum() / totals.samples
            loss = loss + distillation.relations.weight * relations

        if discriminator is not None:
            pooled_BD = mean_pool(encoded.hidden_TD.float(), batch)
            term_B, logits_BK = student_adversary_term(
                discriminator, pooled_BD, batch.languages, settings.adversary.mode, adversary_weight
            )
            loss = loss + term_B.sum() / totals.samples
            adversary = language_loss(logits_BK, batch.languages).sum() / totals.samples
            correct = (logits_BK.argmax(dim=-1) == batch.languages).sum() / totals.samples
            pooled_BD = pooled_BD.detach()

        parts = (loss, mlm, adversary, logits_term, hidden, relations, correct)
        return loss, torch.stack([part.detach().float() for part in parts]), pooled_BD

    def _predictions(
        self, hidden_TD: Tensor, batch: MicroBatch, teacher: TeacherAnswer, totals: Totals
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The terms of equations 1 and 4, weighted and together; and each alone as a mean, for the log."""
        settings, distillation = self.settings, self.settings.distillation
        everywhere = teacher.predictions is not None and distillation.positions == "all"
        rows = torch.arange(batch.tokens, device=hidden_TD.device) if everywhere else batch.rows
        labels, masked = batch.labels, torch.ones(len(batch.rows), device=hidden_TD.device)
        if everywhere:
            labels = torch.zeros_like(rows).index_copy_(0, batch.rows, labels)
            masked = torch.zeros(len(rows), device=hidden_TD.device).index_fill_(0, batch.rows, 1.0)
        squared = distillation.temperature**2 if distillation.scale_by_temperature else 1.0
        mlm_scale = masked / totals.rows
        logits_scale = torch.full_like(masked, squared / (totals.tokens if everywhere else totals.rows))
        weight_VD, bias_V = vocabulary_projection(self.student)
        loss, losses = vocabulary_losses(
            head_features(self.student, hidden_TD.index_select(0, rows)),
            weight_VD,
            bias_V,
            labels,
            settings.mlm_weight * mlm_scale,
            teacher.predictions,
            distillation.weight * logits_scale,
            self.vocabulary,
            self.dtype,
        )
        return loss, (mlm_scale * losses.mlm_M).sum(), (logits_scale * losses.distillation_M).sum()
