"""Learning a task from a large model that is fine-tuned on it: its predictions, and its hidden states layer by layer.

Shape suffixes: B samples, L word pieces, D hidden.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unibert.errors import DataError
from unibert.models.precision import best_device
from unibert.models.projections import Projections, layer_map
from unibert.models.teacher import check_length, check_same_tokenizer
from unibert.pretrain.objectives import hidden_state_loss
from unibert.recipe import FineTune
from unibert.tasks.encoder import check_trained, find_encoder
from unibert.tasks.task import Task


class Lesson:
    """A fine-tuned teacher, and what a student's loss on a batch is beside it.

    Args:
        task: of both.
        teacher: the fine-tuned model, frozen here.
        student: its shape decides the projections.
        settings: with a distillation.
        seed: decides the projections' initial weights.
    """

    def __init__(self, task: Task, teacher: Any, student: Any, settings: FineTune, seed: int) -> None:
        assert settings.distillation is not None
        self.task = task
        self.settings = settings.distillation
        # Where the Trainer is going to put the student, which may still be elsewhere.
        device = best_device()
        self.teacher = teacher.eval().requires_grad_(False).to(device)
        self._arguments = set(inspect.signature(teacher.forward).parameters)
        self.layers: list[tuple[int, int]] = []
        self.projections: Projections | None = None
        if self.settings.hidden_weight > 0:
            ours, theirs = student.config, teacher.config
            self.layers = layer_map(ours.num_hidden_layers, theirs.num_hidden_layers, "all")
            self.projections = Projections(len(self.layers), ours.hidden_size, theirs.hidden_size, seed).to(device)

    def loss(self, model: Any, batch: Mapping[str, Any]) -> Tensor:
        """(1 - w) L_labels + w L_teacher + w_h L_hidden of the student on a batch."""
        states = self.projections is not None
        student = model(**batch, output_hidden_states=states)
        with torch.no_grad():
            # DistilBERT and others have no token types.
            known = {key: value for key, value in batch.items() if key in self._arguments}
            teacher = self.teacher(**known, output_hidden_states=states)
        weight = self.settings.weight
        loss: Tensor = (1 - weight) * student.loss + weight * self.task.distillation_loss(
            student, teacher, batch, self.settings.temperature
        )
        if self.projections is not None:
            real_BL = batch["attention_mask"].bool()
            projected = self.projections([student.hidden_states[ours][real_BL] for ours, _ in self.layers])
            losses = [
                hidden_state_loss(state, teacher.hidden_states[theirs][real_BL]).mean()
                for state, (_, theirs) in zip(projected, self.layers, strict=True)
            ]
            loss = loss + self.settings.hidden_weight * torch.stack(losses).mean()
        return loss


def load_teacher(task: Task, folder: str | Path, labels: list[str], tokenizer: Any, settings: FineTune) -> Any:
    """A model that was fine-tuned on the task, to learn from.

    Raises:
        DataError: it cannot be loaded, has no head for the task, other labels, or another tokenizer.
    """
    encoder = find_encoder(folder)
    config = _config(folder)
    known = [config.id2label[number] for number in sorted(config.id2label)] if labels else []
    if known != labels:
        raise DataError(
            f"finetune.distillation.teacher {folder}: it knows the labels {', '.join(known)}, not {', '.join(labels)}",
            "Fine-tune the teacher on the same training files.",
        )
    teacher, _ = task.load(encoder, labels, settings)
    check_trained(encoder, teacher, task.NAME)
    fix = "Give a teacher that was fine-tuned from an encoder with the student's tokenizer."
    check_same_tokenizer(folder, teacher, tokenizer, fix)
    check_length(folder, teacher, settings.max_length, "finetune.max_length")
    return teacher


def _config(folder: str | Path) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
    except Exception as error:  # a damaged file makes whatever error it happens to run into
        raise DataError(
            f"finetune.distillation.teacher {folder}: its config.json cannot be read ({error})",
            "Copy the model folder again.",
        ) from None
