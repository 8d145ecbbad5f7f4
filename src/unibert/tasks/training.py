"""One training of one model on the features of a task, with Hugging Face's Trainer.

The dev score after each epoch chooses the weights that are kept; they stay in memory, so nothing is written. The cost
over plain training is one copy of the weights that are trained and a pass over dev per epoch.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from typing import Any

from unibert.models.precision import best_device, resolve_precision
from unibert.recipe import FineTune
from unibert.tasks.encoder import quiet_transformers
from unibert.tasks.task import Task
from unibert.tasks.task_distillation import Lesson


def resolved_precision(name: str) -> str:
    """`float32` or `bfloat16`: what the setting stands for on this machine."""
    return str(resolve_precision(name)).removeprefix("torch.")


class Choice:
    """The weights of the epoch that did best on dev; of equal ones, the later, which has trained longer."""

    def __init__(self) -> None:
        self.scores: list[float] = []
        self.best_epoch = 0
        self._weights: dict[str, Any] = {}

    def consider(self, model: Any, score: float) -> None:
        """Keep the weights that are trained if no earlier epoch did better, and they are numbers still."""
        self.scores.append(score)
        if score < max(self.scores) or (self._weights and not is_finite(model)):
            return
        self.best_epoch = len(self.scores)
        trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
        if self._weights:
            for name, value in trained.items():
                self._weights[name].copy_(value.detach())
        else:
            self._weights = {name: value.detach().clone() for name, value in trained.items()}

    def restore(self, model: Any) -> None:
        """Give the model the weights of the best epoch."""
        if self._weights and self.best_epoch < len(self.scores):
            model.load_state_dict(self._weights, strict=False)
        self._weights = {}

    def gave_up(self, patience: int | None) -> bool:
        """Whether so many epochs in a row brought nothing better."""
        since = len(self.scores) - 1 - self.scores.index(max(self.scores))  # an equal score is no better one
        return patience is not None and since >= patience


def is_finite(model: Any) -> bool:
    """Whether a training has left numbers in all weights; after one loss that is none, nothing is."""
    return all(bool(weight.isfinite().all()) for weight in model.parameters())


def train(
    task: Task,
    model: Any,
    tokenizer: Any,
    features: list[dict[str, Any]],
    settings: FineTune,
    seed: int,
    dev_score: Callable[[], float | None],
    advance: Callable[[int], object],
    lesson: Lesson | None = None,
) -> Choice:
    """Train `model` in place; on return it holds the chosen epoch's weights.

    Args:
        task: pads the features.
        model: from `methods.prepare`.
        tokenizer: its own.
        features: from `task.features`.
        settings: how to fine-tune; `learning_rate` is the one that is used.
        seed: of the order and dropout.
        dev_score: scores the model as it is now; None without dev data.
        advance: called with the number of features after each batch.
        lesson: a teacher to learn from.
    """
    from transformers import PrinterCallback, Trainer, TrainerCallback

    choice = Choice()
    batches = -(-len(features) // settings.batch_size)

    class Watch(TrainerCallback):  # type: ignore[misc, unused-ignore]  # transformers is untyped
        """Moves the bar after every batch and scores dev after every epoch."""

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            last = state.global_step % batches == 0
            advance(len(features) - (batches - 1) * settings.batch_size if last else settings.batch_size)

        def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            score = dev_score()
            if score is not None:
                choice.consider(model, score)
                control.should_training_stop |= choice.gave_up(settings.patience)

    class Pupil(Trainer):  # type: ignore[misc, unused-ignore]
        """Learns from a teacher, too."""

        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
            assert lesson is not None
            return lesson.loss(model, inputs)

        def create_optimizer(self, model: Any = None) -> Any:
            optimizer = super().create_optimizer(model)
            if lesson is not None and lesson.projections is not None:
                optimizer.add_param_group({"params": list(lesson.projections.parameters()), "weight_decay": 0.0})
            return optimizer

    with tempfile.TemporaryDirectory(prefix="unibert-") as scratch, quiet_transformers(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)  # torch and accelerate about devices that are not there
        trainer = (Trainer if lesson is None else Pupil)(
            model=model,
            args=_arguments(scratch, settings, seed, batches),
            train_dataset=features,
            data_collator=lambda chosen: task.collate(chosen, tokenizer),
            processing_class=tokenizer,
            callbacks=[Watch()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    choice.restore(model)
    return choice


def _arguments(scratch: str, settings: FineTune, seed: int, batches: int) -> Any:
    from transformers import TrainingArguments

    arguments = TrainingArguments(
        output_dir=scratch,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=round(settings.warmup_share * batches * settings.epochs),
        weight_decay=settings.weight_decay,
        optim="adamw_torch_fused",
        bf16=resolved_precision(settings.precision) == "bfloat16",
        use_cpu=best_device().type == "cpu",
        train_sampling_strategy="group_by_length",
        dataloader_pin_memory=best_device().type == "cuda",
        remove_unused_columns=False,
        eval_strategy="no",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=seed,
    )
    # With several GPUs the Trainer would spread each batch over all of them and multiply the batch size by their
    # number: another training than the settings say, under the same address. They are counted when the device is
    # first asked for, so the count is mended after that.
    _ = arguments.device
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments
