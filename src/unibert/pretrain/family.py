"""The students of a run, one or several, learning side by side from one pass of the teacher.

Every student has its own optimizer and discriminator, its own dropout, and gradients that no other student touches: it
becomes what it would have become alone, bit for bit (tested).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from unibert.errors import DataError
from unibert.files import fingerprint
from unibert.models.adversary import LanguageDiscriminator
from unibert.models.initialise import initialise_from_teacher
from unibert.models.masked_rows import head_features, vocabulary_projection
from unibert.models.packed import check_relations_readable, encode, pack
from unibert.models.precision import autocast
from unibert.models.projections import Projections, layer_map
from unibert.models.sizes import architecture
from unibert.models.student import build_student
from unibert.pretrain.distributed import Team, without_synchronisation
from unibert.pretrain.objectives import check_relation_heads, discriminator_loss
from unibert.pretrain.schedule import adversary_weight, learning_rate
from unibert.pretrain.step import TeacherAnswer, Totals, TrainingStep
from unibert.pretrain.teacher_cache import TeacherCache
from unibert.pretrain.top_k import TopK, top_k
from unibert.pretrain.vocabulary_losses import TeacherLogits, VocabularyObjective
from unibert.recipe import Architecture, Pretrain
from unibert.tokens.batches import MicroBatch


@dataclass
class Update:
    """What one step did to one student."""

    measures: Tensor
    """This process's part of the step's `MEASURES`."""
    gradient_norm: Tensor
    """The student's, before clipping; NaN if any gradient of the member is not finite."""


class Member:
    """One student, and what learns along with it.

    Args:
        settings: the objective; `settings.student` is its shape.
        student: its initial weights.
        languages: number of languages.
        teacher: gives the width for projections; None without one.
        seed: decides the initial weights of discriminator and projections.
        team: the processes.
        vocabulary: how the losses over the vocabulary are computed.
        dtype: number format of the matrix products.
    """

    def __init__(
        self,
        settings: Pretrain,
        student: Any,
        languages: int,
        teacher: Any,
        seed: int,
        team: Team,
        vocabulary: VocabularyObjective,
        dtype: torch.dtype,
    ) -> None:
        pack(student)
        shape = architecture(settings.student)
        adversary, hidden = settings.adversary, settings.distillation.hidden
        self.settings = settings
        self.team = team
        self.student = student.to(team.device)
        self.discriminator: LanguageDiscriminator | None = None
        self.projections: Projections | None = None
        layers: list[tuple[int, int]] = []
        if adversary.mode != "none":
            self.discriminator = LanguageDiscriminator(
                shape.hidden, languages, adversary.hidden, adversary.depth, seed + 1
            ).to(team.device)
        if hidden.weight > 0:
            layers = layer_map(shape.layers, teacher.config.num_hidden_layers, hidden.layers)
            self.projections = Projections(len(layers), shape.hidden, teacher.config.hidden_size, seed + 2).to(
                team.device
            )
        _check_relations(settings, shape, teacher)
        objective = TrainingStep(self.student, self.projections, layers, settings, vocabulary, dtype)
        self.objective = team.wrap(objective)
        self.optimizer = build_optimizer(objective, settings)
        self.discriminator_optimizer = (
            build_optimizer(self.discriminator, settings) if self.discriminator is not None else None
        )
        self._pooled: list[tuple[Tensor, Tensor]] = []
        self._measures = torch.zeros(0)

    def modules(self) -> dict[str, nn.Module]:
        """All that has weights, by name; the student's own name is empty."""
        parts = {"": self.student, "discriminator": self.discriminator, "projections": self.projections}
        return {name: module for name, module in parts.items() if module is not None}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """The optimizers, by the name of what they move."""
        parts = {"": self.optimizer, "discriminator": self.discriminator_optimizer}
        return {name: optimizer for name, optimizer in parts.items() if optimizer is not None}

    def learn(self, step: int, batch: MicroBatch, teacher: TeacherAnswer, totals: Totals, more_follow: bool) -> None:
        """Add a micro-batch's gradient."""
        weight = adversary_weight(step, self.settings)
        objective = without_synchronisation(self.objective, skip=more_follow)
        loss, measures, pooled_BD = objective(batch, teacher, totals, self.discriminator, weight)
        # Gradients are averaged over the processes, while the totals already cover them all.
        (loss * self.team.size).backward()
        self._measures = self._measures + measures if len(self._measures) else measures
        if pooled_BD is not None:
            self._pooled.append((pooled_BD, batch.languages))

    def update(self, step: int, totals: Totals) -> Update:
        """Move the weights, unless a gradient is not a number."""
        norm = nn.utils.clip_grad_norm_(self.objective.parameters(), self.settings.clip_norm)
        if bool(torch.isfinite(norm)):
            _set_rate(self.optimizer, learning_rate(step, self.settings))
            self.optimizer.step()
            if not self._teach_discriminator(step, totals):
                norm = torch.full_like(norm, torch.nan)
        self.optimizer.zero_grad(set_to_none=True)
        measures, self._measures = self._measures, torch.zeros(0)
        self._pooled = []
        return Update(measures, norm)

    def _teach_discriminator(self, step: int, totals: Totals) -> bool:
        """Let the discriminator learn from this step's embeddings; False if its gradient is not a number."""
        if self.discriminator is None or self.discriminator_optimizer is None:
            return True
        adversary = self.settings.adversary
        own = adversary.learning_rate
        rate = learning_rate(step, self.settings) * (own / self.settings.learning_rate if own else 1.0)
        weight = adversary_weight(step, self.settings)
        _set_rate(self.discriminator_optimizer, rate)
        parameters = list(self.discriminator.parameters())
        for _ in range(adversary.steps):
            for pooled_BD, languages_B in self._pooled:
                losses_B = discriminator_loss(self.discriminator, pooled_BD, languages_B, adversary.mode, weight)
                (losses_B.sum() / totals.samples).backward()
            for parameter in parameters:
                if parameter.grad is None:  # a process without samples
                    parameter.grad = torch.zeros_like(parameter)
                self.team.sum(parameter.grad)
            # Clipped by itself, so that it cannot shrink the student's steps.
            norm = nn.utils.clip_grad_norm_(parameters, self.settings.clip_norm)
            if not bool(torch.isfinite(norm)):
                return False
            self.discriminator_optimizer.step()
            self.discriminator_optimizer.zero_grad(set_to_none=True)
        return True


class Family:
    """The members of a run and their teacher.

    Args:
        settings: what to train.
        seed: decides weights and dropout.
        vocabulary_size: pieces of the tokenizer.
        pad_id: its padding.
        languages: number of languages.
        teacher: a frozen model, which is changed here; in float32 where first weights are cut from it. None without
            one.
        team: the processes.
        dtype: number format of the matrix products.
        compiled: whether the vocabulary losses are compiled.
    """

    def __init__(
        self,
        settings: Pretrain,
        seed: int,
        *,
        vocabulary_size: int,
        pad_id: int,
        languages: int,
        teacher: Any,
        team: Team,
        dtype: torch.dtype,
        compiled: bool,
    ) -> None:
        self.settings, self.seed, self.team, self.dtype, self.compiled = settings, seed, team, dtype, compiled
        self.vocabulary_size = vocabulary_size
        self.cache: TeacherCache | None = None
        """Where the teacher's answers are kept, if they are."""
        self.vocabulary = VocabularyObjective(settings.label_smoothing, settings.distillation.temperature, compiled)
        """How every member's losses over the vocabulary are computed."""
        self.initialised: dict[str, dict[str, Any]] = {}
        """What each member took from the teacher for its first weights."""
        self.members: dict[str, Member] = {}
        for name in settings.members:
            alone = settings.alone(name)
            student = build_student(architecture(alone.student), vocabulary_size, pad_id, seed, settings.dropout)
            if settings.initialise == "teacher":
                self.initialised[name] = initialise_from_teacher(student, teacher)
            self.members[name] = Member(alone, student, languages, teacher, seed, team, self.vocabulary, dtype)
        self.teacher: Any = None
        """Frozen, with its weights in the number format of the matrix products; None where it has nothing to say."""
        if teacher is not None and settings.distillation.needs_teacher:
            pack(teacher)
            if settings.distillation.relations.weight > 0:
                check_relations_readable(teacher)  # now, and not after a first evaluation
            self.teacher = teacher.to(device=team.device)
            # Weights only: a buffer, such as the frequencies of rotary positions, stays as the library made it.
            for parameter in self.teacher.parameters():
                parameter.data = parameter.data.to(dtype)

        self.teacher_ran = False
        """Whether the last update ran the teacher, rather than read its answers from the disk."""

    def modules(self) -> dict[str, nn.Module]:
        """All that has weights: `student`, `student.discriminator`, ..."""
        return {
            f"{name}.{part}".rstrip("."): module
            for name, member in self.members.items()
            for part, module in member.modules().items()
        }

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """All optimizers, by the same names."""
        return {
            f"{name}.{part}".rstrip("."): optimizer
            for name, member in self.members.items()
            for part, optimizer in member.optimizers().items()
        }

    def train(self) -> None:
        """Switch dropout on."""
        for module in self.modules().values():
            module.train()

    def update(self, step: int, micro_batches: list[MicroBatch], totals: Totals) -> Mapping[str, Update]:
        """Take one step with every member."""
        self.teacher_ran = False
        # Around the whole step: a weight is cast once, not once per micro-batch.
        with autocast(self.dtype, self.team.device):
            for position, micro_batch in enumerate(micro_batches):
                batch = micro_batch.to(self.team.device)
                answer = self.ask_teacher(step, micro_batch, batch)
                for member in self.members.values():
                    seed_dropout(self.seed, step, self.team.rank, position)
                    member.learn(step, batch, answer, totals, more_follow=position + 1 < len(micro_batches))
        return {name: member.update(step, totals) for name, member in self.members.items()}

    @torch.no_grad()
    def ask_teacher(self, step: int, micro_batch: MicroBatch, batch: MicroBatch) -> TeacherAnswer:
        """What the objective asks of the teacher on a micro-batch, from its weights or from the disk.

        Args:
            step: the step.
            micro_batch: as it lies in the CPU's memory, where the cache computes its checksums.
            batch: the same on the device.
        """
        if self.teacher is None:
            return TeacherAnswer()
        if self.cache is not None:
            top = self.cache.answer(step, micro_batch, lambda: self._most_probable(batch))
            return TeacherAnswer(predictions=top.to(self.team.device))
        self.teacher_ran = True
        distillation = self.settings.distillation
        layer = distillation.relations.teacher_layer or self.teacher.config.num_hidden_layers
        encoded = encode(
            self.teacher,
            batch,
            states=distillation.hidden.weight > 0,
            relations_of=(layer,) if distillation.relations.weight > 0 else (),
        )
        answer = TeacherAnswer(states=encoded.states, relations=encoded.projections.get(layer))
        if distillation.weight > 0:
            everywhere = distillation.positions == "all"
            answer.predictions = self._logits_of(encoded.hidden_TD if everywhere else encoded.hidden_TD[batch.rows])
        return answer

    def _logits_of(self, rows_MD: Tensor) -> TeacherLogits:
        """The teacher's logits on these rows, a slice at a time; kept where several students ask."""
        features_MD = head_features(self.teacher, rows_MD).to(self.dtype)
        weight_VD, bias_V = vocabulary_projection(self.teacher, self.vocabulary_size)
        kept: dict[tuple[int, int], Tensor] = {}

        @torch.no_grad()
        def logits(part: slice) -> Tensor:
            key = (part.start, part.stop)
            if key in kept:
                return kept[key]
            with torch.autocast(features_MD.device.type, enabled=False):
                logits_CV = functional.linear(features_MD[part], weight_VD, bias_V)
            if len(self.members) > 1:
                kept[key] = logits_CV
            return logits_CV

        return logits

    def _most_probable(self, batch: MicroBatch) -> TopK:
        """The teacher's most probable pieces on the masked rows, for the cache."""
        assert self.cache is not None
        self.teacher_ran = True
        logits = self._logits_of(encode(self.teacher, batch).hidden_TD[batch.rows])
        temperature, rows = self.settings.distillation.temperature, len(batch.rows)
        parts = [slice(start, min(start + _ROWS_AT_ONCE, rows)) for start in range(0, max(1, rows), _ROWS_AT_ONCE)]
        return TopK.joined([top_k(logits(part), self.cache.top, temperature) for part in parts])


_ROWS_AT_ONCE = 256


def build_optimizer(module: nn.Module, settings: Pretrain) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter, arXiv 1711.05101); vectors (biases, normalisation weights) are not decayed."""
    parameters = list(module.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def seed_dropout(seed: int, step: int, rank: int, micro_batch: int) -> None:
    """Make dropout a function of (seed, step, process, micro-batch): nothing random has to be saved, or is shared."""
    torch.manual_seed(int(fingerprint([seed, step, rank, micro_batch]), 16) % 2**63)


def _check_relations(settings: Pretrain, shape: Architecture, teacher: Any) -> None:
    relations = settings.distillation.relations
    if relations.weight == 0:
        return
    check_relation_heads(shape.hidden, teacher.config.hidden_size, relations.heads)
    layers = teacher.config.num_hidden_layers
    if relations.teacher_layer is not None and relations.teacher_layer > layers:
        raise DataError(
            f"pretrain.distillation.relations.teacher_layer is {relations.teacher_layer}, but the teacher has {layers}",
            "Count from 1; leave it out for the last layer.",
        )


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
