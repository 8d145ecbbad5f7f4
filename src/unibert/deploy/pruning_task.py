"""Labelled data as what a fine-tuned model is pruned, recovered and judged by.

Shape suffixes: B features, L word pieces, D hidden.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unibert.deploy.importance import Gates
from unibert.deploy.structure import Indices
from unibert.errors import DataError
from unibert.models.positions import position_limit
from unibert.models.precision import autocast
from unibert.pretrain.objectives import hidden_state_loss
from unibert.progress import progress_bar
from unibert.recipe import FineTune
from unibert.tasks.batches import IGNORED
from unibert.tasks.data import Split
from unibert.tasks.encoder import check_trained, find_encoder
from unibert.tasks.finetune import UNNAMED
from unibert.tasks.task import Task, find_task, first_metric

HELD_OUT_SHARE = 0.2
HELD_OUT_MOST = 500
"""Samples of each language that are held out: a share, but no more than so many."""
LEAST = 10
"""Samples that a file must have."""
_FEATURES = 16
"""Of a batch that is measured on."""
_TEMPERATURE = 2.0
"""As in fine-tuning with a teacher."""


@dataclass(frozen=True)
class LabelledBatch:
    """The arguments of a model's `forward`."""

    arguments: Mapping[str, Any]
    source: str

    @property
    def samples(self) -> int:
        """How many features."""
        return len(self.arguments["input_ids"])

    def losses(self, model: Any, gates: Gates | None = None) -> Tensor:
        """The model's own loss, losses_B; a feature's share is B times its part of the mean over all labels.

        Only the sum over the batch is exact, and each feature's gradient by its own gates.
        """
        loss = model(**{key: value.to(model.device) for key, value in self.arguments.items()}).loss
        return loss.expand(self.samples)

    def weight(self) -> int:
        """What the loss is a mean over: labels."""
        labels = self.arguments.get("labels")
        return int((labels != IGNORED).sum()) if labels is not None and labels.dim() == 2 else self.samples


class TaskMaterial:
    """Labelled samples of each language: most to learn from, some held out.

    Args:
        name: of the task.
        folder: of the fine-tuned model.
        files: samples by language, or a single file.
        columns: the files' own names for the task's columns.
        seed: of the choice of held-out samples and the order.

    Raises:
        DataError: a model that was not fine-tuned for the task, a bi-encoder, or a file that is unusable, too small,
            or has other labels.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        files: Path | str | Mapping[str, Path | str],
        columns: Mapping[str, str],
        seed: int,
    ) -> None:
        self._task: Task = find_task(name)
        self.task = name
        self.score_name: str | None = self._task.METRICS[first_metric(self._task)]
        self.seed = seed
        config = _config(folder)
        self.labels = [config.id2label[number] for number in sorted(config.id2label)] if name in ("ner", "nli") else []
        settings = FineTune(precision="float32")
        encoder = find_encoder(folder)
        self.model, self._tokenizer = self._task.load(encoder, self.labels, settings)
        check_trained(encoder, self.model, name)
        limit = position_limit(self.model) or settings.max_length
        self._settings = settings.model_copy(update={"max_length": min(settings.max_length, limit)})
        self.learned: dict[str, list[dict[str, Any]]] = {}
        self.held_out: dict[str, list[Any]] = {}
        by_language = files if isinstance(files, Mapping) else {UNNAMED: files}
        for language, path in by_language.items():
            samples = self._read(Path(path).expanduser(), columns)
            random.Random(seed).shuffle(samples)
            kept = min(HELD_OUT_MOST, round(HELD_OUT_SHARE * len(samples)))
            self.held_out[language] = samples[:kept]
            self.learned[language] = self._features(samples[kept:])

    def _read(self, path: Path, columns: Mapping[str, str]) -> list[Any]:
        samples = self._task.read(path, columns)
        if len(samples) < LEAST:
            raise DataError(f"{path}: {len(samples)} samples, too few to prune by", f"Give {LEAST} or more.")
        self._task.check(Split(str(path), "", samples), self.labels, "the model's labels")
        unknown = sorted({*self._task.label_names(samples)} - {*self.labels}) if self.labels else []
        if unknown:
            raise DataError(
                f"{path}: {', '.join(unknown[:5])} {'is' if len(unknown) == 1 else 'are'} not among the labels that "
                f"the model knows ({', '.join(self.labels[:12])})",
                "Give data with the labels that the model was fine-tuned on.",
            )
        return samples

    def _features(self, samples: Sequence[Any]) -> list[dict[str, Any]]:
        return self._task.features(samples, self._tokenizer, self.labels, self._settings)

    def described(self) -> dict[str, Any]:
        """What there is of each language, JSON-like."""
        return {
            language: {"learned": len(self.learned[language]), "held_out": len(self.held_out[language])}
            for language in self.learned
        }

    def batches(self, most: int) -> list[LabelledBatch]:
        """At most `most` samples to measure importance on, of every language about equally many."""
        longest = max(map(len, self.learned.values()))
        turns = [its[place] for place in range(longest) for its in self.learned.values() if place < len(its)]
        return self._batched(turns[:most], f"data of {', '.join(self.learned)}")

    def measure(self, model: Any) -> tuple[dict[str, float], dict[str, float]]:
        """Held-out loss and first metric of each language."""
        losses, scores = {}, {}
        was_training = model.training
        model.eval()
        number = sum(map(len, self.held_out.values()))
        with progress_bar(number, "held-out loss", " samples", leave=False, delay=2.0) as bar:
            for language, samples in self.held_out.items():
                total = count = 0.0
                with torch.no_grad():
                    for batch in self._batched(self._features(samples), language):
                        total += float(batch.losses(model)[0]) * batch.weight()
                        count += batch.weight()
                losses[language] = total / max(count, 1)
                found = self._task.predict(model, self._tokenizer, samples, self._settings, bar.update)
                scores[language] = float(self._task.scores(samples, found, language)[first_metric(self._task)])
        model.train(was_training)
        return losses, scores

    def lessons(self, batch_size: int) -> Iterator[list[LabelledBatch]]:
        """Batches of features to learn from, without end, all of them in a new order every time."""
        features = [feature for its in self.learned.values() for feature in its]
        chooser = random.Random(self.seed)
        while True:
            chooser.shuffle(features)
            for start in range(0, len(features), batch_size):
                chosen = features[start : start + batch_size]
                yield [LabelledBatch(self._task.collate(chosen, self._tokenizer), "data")]

    @contextmanager
    def ready(self, student: Any, teacher: Any) -> Iterator[None]:
        """Nothing to make ready: samples are padded."""
        yield

    def distil(
        self, student: Any, teacher: Any, batch: LabelledBatch, hidden: Indices, share: float, dtype: torch.dtype
    ) -> Tensor:
        """`share` times (the task's distance of the outputs + squared error of the hidden states); see `recovery`."""
        arguments = {key: value.to(student.device) for key, value in batch.arguments.items()}
        with autocast(dtype, student.device):
            ours = student(**arguments, output_hidden_states=True)
            with torch.no_grad():
                theirs = teacher(**arguments, output_hidden_states=True)
            distance: Tensor = self._task.distillation_loss(ours, theirs, arguments, _TEMPERATURE)
        real_BL = arguments["attention_mask"].bool()
        kept = torch.from_numpy(hidden).to(student.device)
        states = [
            hidden_state_loss(own[real_BL], its[real_BL].index_select(-1, kept)).mean()
            for own, its in zip(ours.hidden_states, theirs.hidden_states, strict=True)
        ]
        return share * (distance + torch.stack(states).mean())

    def _batched(self, features: Sequence[dict[str, Any]], source: str) -> list[LabelledBatch]:
        ordered = sorted(features, key=lambda feature: -len(feature["input_ids"]))
        return [
            LabelledBatch(self._task.collate(ordered[start : start + _FEATURES], self._tokenizer), source)
            for start in range(0, len(ordered), _FEATURES)
        ]


def _config(folder: Path) -> Any:
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
