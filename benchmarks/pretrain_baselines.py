"""How people distil a masked language model today, written as a competent person would: two baselines.

(i) The step of DistilBERT's research script (Sanh et al., arXiv 1910.01108, section 3; `distillation/distiller.py` in
huggingface/transformers-research-projects): both models' full logits in float32, KL on every position that is not
padding, cross-entropy on the masked ones, gradients accumulated over small micro-batches, each padded to its longest.
Here they have 8 samples on a CPU, where 16 are slower (more padding), and 32 on a GPU; its default is 5. It fills them
in any order or, by default, from groups of similar length; both are timed.

(ii) Hugging Face's `Trainer` with what its documentation offers: bf16 where it is faster, samples grouped by length,
dynamic padding, fused AdamW, and a `compute_loss` that gathers the masked rows of both models' logits before it
makes them float32. The teacher is kept in the number format it computes in.

Both have the objective of ours: 0.5 x MLM with label smoothing 0.7 + 0.4 x KL at temperature 2.

Shape suffixes: B samples, L positions, N positions that are not padding, M masked positions, V vocabulary.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn
from transformers import DataCollatorForLanguageModeling, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from pretrain_support import SEED, Sample, Scene
from unibert.models.precision import has_fast_bfloat16
from unibert.recipe import Pretrain

IGNORED = -100


def padded(samples: Sequence[Sample], pad: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, attention mask and labels (`IGNORED` where there is nothing to predict), each int64[B, L]."""
    shape = (len(samples), max(len(sample.ids) for sample in samples))
    ids_BL, mask_BL, labels_BL = torch.full(shape, pad), torch.zeros(shape).long(), torch.full(shape, IGNORED)
    for row, sample in enumerate(samples):
        ids_BL[row, : len(sample.ids)] = torch.from_numpy(sample.ids)
        mask_BL[row, : len(sample.ids)] = 1
        labels_BL[row, torch.from_numpy(sample.chosen)] = torch.from_numpy(sample.labels)
    return ids_BL.to(device), mask_BL.to(device), labels_BL.to(device)


# (i) The research script.


def script_loss(
    student: nn.Module, teacher: nn.Module, ids_BL: Tensor, mask_BL: Tensor, labels_BL: Tensor, settings: Pretrain
) -> tuple[Tensor, Tensor, Tensor]:
    """The objective, its KL and its cross-entropy, each the mean over the micro-batch's own positions."""
    student_BLV = student(input_ids=ids_BL, attention_mask=mask_BL).logits
    with torch.no_grad():
        teacher_BLV = teacher(input_ids=ids_BL, attention_mask=mask_BL).logits
    vocabulary = student_BLV.shape[-1]
    real_BLV = mask_BL.bool().unsqueeze(-1).expand_as(student_BLV)
    student_NV = student_BLV.masked_select(real_BLV).view(-1, vocabulary)
    teacher_NV = teacher_BLV.masked_select(real_BLV).view(-1, vocabulary)
    temperature = settings.distillation.temperature
    divergence = functional.kl_div(
        functional.log_softmax(student_NV / temperature, dim=-1),
        functional.softmax(teacher_NV / temperature, dim=-1),
        reduction="batchmean",
    )
    crossing = functional.cross_entropy(
        student_BLV.view(-1, vocabulary), labels_BL.view(-1), label_smoothing=settings.label_smoothing
    )
    return settings.distillation.weight * divergence + settings.mlm_weight * crossing, divergence, crossing


def script_step(
    scene: Scene, size: str, teacher: nn.Module, samples: Sequence[Sample], by_length: bool
) -> Callable[..., float]:
    """A whole update on the samples; calling it returns the loss, calling it with a number takes so few micro-batches.

    Args:
        scene: where.
        size: which student.
        teacher: float32.
        samples: of the update.
        by_length: micro-batches of similar length (the script's `group_by_size`) instead of in drawn order.
    """
    settings, student = scene.settings, scene.student(size)
    optimizer = torch.optim.AdamW(decayed(student, settings.weight_decay), lr=settings.learning_rate)
    ordered = sorted(samples, key=lambda sample: -len(sample.ids)) if by_length else list(samples)
    groups = [ordered[at : at + scene.micro_batch] for at in range(0, len(ordered), scene.micro_batch)]
    micro_batches = [padded(group, scene.special.pad, scene.device) for group in groups]

    def update(most: int = len(micro_batches)) -> float:
        total = 0.0
        for ids_BL, mask_BL, labels_BL in micro_batches[:most]:
            loss, divergence, crossing = script_loss(student, teacher, ids_BL, mask_BL, labels_BL, settings)
            if bool(torch.isnan(loss)):
                raise FloatingPointError("the loss is not a number")
            total += loss.item() / most
            divergence.item(), crossing.item()  # it keeps all three for its progress bar
            (loss / most).backward()
        nn.utils.clip_grad_norm_(student.parameters(), settings.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        scene.wait()
        return total

    return update


def decayed(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameters in two groups: biases and normalisation weights are not decayed."""
    return [
        {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]


# (ii) The Trainer.


class DistillationTrainer(Trainer):
    """`Trainer` with a teacher."""

    def __init__(self, teacher: nn.Module, settings: Pretrain, **named: Any) -> None:
        super().__init__(**named)
        self.teacher, self.settings = teacher, settings

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The objective of a micro-batch: sums over its masked positions, divided by those of the whole update."""
        labels_BL = inputs.pop("labels")
        outputs = model(**inputs)
        with torch.no_grad():
            teacher_BLV = self.teacher(**inputs).logits
        masked_BL = labels_BL != IGNORED
        student_MV, teacher_MV = outputs.logits[masked_BL].float(), teacher_BLV[masked_BL].float()
        temperature, smoothing = self.settings.distillation.temperature, self.settings.label_smoothing
        divergence = functional.kl_div(
            functional.log_softmax(student_MV / temperature, dim=-1),
            functional.softmax(teacher_MV / temperature, dim=-1),
            reduction="sum",
        )
        crossing = functional.cross_entropy(
            student_MV, labels_BL[masked_BL], reduction="sum", label_smoothing=smoothing
        )
        loss = self.settings.mlm_weight * crossing + self.settings.distillation.weight * divergence
        loss = loss / (masked_BL.sum() if num_items_in_batch is None else num_items_in_batch)
        return (loss, outputs) if return_outputs else loss


class Stopwatch(TrainerCallback):
    """Times every update: forward and backward of all micro-batches, clipping, optimizer.

    The micro-batches are collated before the clock starts, as they are for the other contenders.
    """

    def __init__(self, scene: Scene, before: Callable[[], object], after: Callable[[float], object]) -> None:
        self.scene, self.before, self.after = scene, before, after
        self._began = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Start the clock."""
        self.before()
        self._began = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Stop the clock."""
        self.scene.wait()
        self.after(time.perf_counter() - self._began)


def train_with_trainer(
    scene: Scene,
    size: str,
    samples: Sequence[Sample],
    bf16: bool,
    updates: int,
    before: Callable[[], object],
    after: Callable[[float], object],
) -> None:
    """Let `Trainer` make `updates` updates, each on all of the samples.

    The samples are its whole data set, so an epoch is an update, and grouping by length sorts all of them.

    Args:
        scene: where.
        size: which student.
        samples: of every update.
        bf16: its argument of that name.
        updates: how many.
        before: is called before each of them.
        after: is called with the seconds of each.
    """
    settings = scene.settings
    # The masks are drawn by its collator, anew each time, as many of them in the mean.
    data = [{"input_ids": sample.unmasked.tolist()} for sample in samples]
    with tempfile.TemporaryDirectory() as folder:
        options = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=scene.micro_batch,
            gradient_accumulation_steps=max(1, len(samples) // scene.micro_batch),
            num_train_epochs=updates,
            train_sampling_strategy="group_by_length",
            bf16=bf16,
            use_cpu=scene.device.type == "cpu",
            optim="adamw_torch_fused",
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            max_grad_norm=settings.clip_norm,
            lr_scheduler_type="constant",
            logging_strategy="no",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=SEED,
        )
        trainer = DistillationTrainer(
            teacher=scene.teacher(torch.bfloat16 if bf16 else torch.float32),
            settings=settings,
            model=scene.student(size),
            args=options,
            train_dataset=data,
            data_collator=DataCollatorForLanguageModeling(scene.tokenizer, mlm_probability=settings.masking.share),
            callbacks=[Stopwatch(scene, before, after)],
        )
        trainer.remove_callback(PrinterCallback)  # standard output is for results
        trainer.train()


def faster_in_bf16(scene: Scene, size: str, samples: Sequence[Sample]) -> bool:
    """Whether the Trainer's update takes less time in bf16 here: tried on a quarter of the samples, in both formats."""
    if not has_fast_bfloat16(scene.device):
        return False
    few = samples[: max(scene.micro_batch, len(samples) // 4)]
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for bf16, found in seconds.items():
        train_with_trainer(scene, size, few, bf16, updates=2, before=scene.wait, after=found.append)
    return seconds[True][-1] < seconds[False][-1]
