"""Fine-tuning an encoder on a task with Hugging Face's Trainer: one function for one model, one seed.

The dev score after each epoch chooses the weights that are tested; they are kept in memory, so nothing is written but
what the caller asks for. The cost over plain training is one copy of the weights and a pass over dev per epoch.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unibert.errors import DataError
from unibert.files import atomic_folder, sha256_of_file, write_json
from unibert.models.positions import position_limit
from unibert.progress import progress_bar
from unibert.recipe import FineTune
from unibert.tasks import ner
from unibert.tasks.encoder import Encoder, find_encoder, load_encoder, quiet_transformers

RESULT_FILE = "finetune.json"
UNNAMED = "und"  # ISO 639's code for text whose language nobody named
Files = Path | str | Mapping[str, Path | str]


@dataclass(frozen=True)
class Split:
    """One file of sentences, read and checked."""

    path: Path
    sha256: str
    sentences: list[ner.Sentence]

    def described(self) -> dict[str, Any]:
        """The file as a result records it."""
        words = sum(len(sentence.words) for sentence in self.sentences)
        return {"file": str(self.path), "sha256": self.sha256, "sentences": len(self.sentences), "tokens": words}


@dataclass(frozen=True)
class Splits:
    """The files of one language; without `train`, a model trained on other languages is tested on it."""

    train: Split | None
    dev: Split | None
    test: Split | None

    def described(self) -> dict[str, Any]:
        """The three files as a result records them."""
        named = (("train", self.train), ("dev", self.dev), ("test", self.test))
        return {name: split.described() if split else None for name, split in named}


def read_splits(language: str, train: Path | str | None, dev: Path | str | None, test: Path | str | None) -> Splits:
    """Read and check those of a language's files that are given.

    Raises:
        DataError: a file is missing or damaged, has no entity, or tests entity types that training never shows.
    """
    splits = Splits(*(_read(path) if path else None for path in (train, dev, test)))
    for split in (splits.train, splits.dev, splits.test):
        if split and len(ner.label_names(split.sentences)) == 1:
            raise DataError(f"{split.path} ({language}): no entity in it, every tag is O", "Name a file with entities.")
    if splits.train:
        _check_types(splits.train.path, ner.label_names(splits.train.sentences), splits)
    return splits


def _check_types(source: Path | str, known: Sequence[str], splits: Splits) -> None:
    for split in (splits.dev, splits.test):
        asked = ner.label_names(split.sentences) if split else known
        if split and not set(known[1:]) & set(asked[1:]):
            raise DataError(
                f"{split.path}: none of its entity types ({_types(asked)}) is in {source} ({_types(known)})",
                "Use the same tag names in both; case counts.",
            )


def _types(labels: Sequence[str]) -> str:
    return ", ".join(label[2:] for label in labels if label.startswith("B-"))


def _read(path: Path | str) -> Split:
    path = Path(path).expanduser()
    return Split(path, sha256_of_file(path) if path.is_file() else "", ner.read_conll(path))


def finetune(
    task: str,
    model: Path | str,
    train: Files,
    dev: Files | None,
    test: Files | None,
    settings: FineTune,
    seed: int,
    output: Path | None = None,
) -> dict[str, Any]:
    """Fine-tune a model on files and test it; on request, save it.

    Args:
        task: "ner".
        model: a Hugging Face model folder or hub name.
        train: files by language, all of which are trained on together; or one file.
        dev: files by language, or one, or None; their mean F1 chooses the epoch (without any, the last one is kept).
        test: files by language, or one, or None. A language need not be among those trained on.
        settings: how to fine-tune.
        seed: decides the new head's weights, the order of samples and dropout.
        output: a folder for the fine-tuned model, its tokenizer and `finetune.json`; nothing is written when None.

    Returns:
        What `finetune.json` holds: scores per language and type, dev scores per epoch, files, settings, seconds.
        A file given without a language is found there under "und".

    Raises:
        DataError: a file, the model or `output` is unusable.
    """
    if task != "ner":
        raise DataError(f"{task}: no such task", "The tasks are: ner.")
    if output is not None:
        _check_output(output)
    files = [_by_language(split) for split in (train, dev, test)]
    languages = sorted({language for split in files for language in split})
    data = {language: read_splits(language, *(split.get(language) for split in files)) for language in languages}
    encoder = find_encoder(model)
    with progress_bar(samples_of(data, settings), "fine-tuning", "sample") as bar:
        outcome = fine_tune_ner(encoder, data, settings, seed, bar.update)
    result = {
        "schema": 1,
        "task": task,
        "model": str(model),
        "model_fingerprint": encoder.fingerprint,
        "languages": [language for language, splits in data.items() if splits.train],
        "seed": seed,
        "settings": settings.model_dump(mode="json"),
        "data": {language: splits.described() for language, splits in data.items()},
        **outcome.described(),
    }
    if output is not None:
        with atomic_folder(output) as folder, quiet_transformers():
            outcome.model.save_pretrained(folder)
            outcome.tokenizer.save_pretrained(folder)
            write_json(folder / RESULT_FILE, result)
    return result


def samples_of(data: Mapping[str, Splits], settings: FineTune) -> int:
    """How many samples a fine-tuning goes through: its training sentences times its epochs."""
    return settings.epochs * sum(len(splits.train.sentences) for splits in data.values() if splits.train)


def _by_language(files: Files | None) -> Mapping[str, Path | str]:
    if files is None:
        return {}
    return files if isinstance(files, Mapping) else {UNNAMED: files}


def _check_output(output: Path) -> None:
    """Saving replaces the whole folder, so only an empty one or an earlier fine-tuned model may stand there."""
    if output.is_file() or (output.is_dir() and any(output.iterdir()) and not (output / RESULT_FILE).is_file()):
        raise DataError(f"{output}: exists and is no fine-tuned model", "Name another folder for the result.")


@dataclass(frozen=True)
class Outcome:
    """A fine-tuned model and how well it does."""

    model: Any
    tokenizer: Any
    labels: list[str]
    precision: str
    scores: dict[str, dict[str, Any]]
    dev_scores: list[float]
    best_epoch: int
    seconds: float

    def described(self) -> dict[str, Any]:
        """Everything but the model itself, JSON-like."""
        return {
            "parameters": sum(weight.numel() for weight in self.model.parameters()),
            "labels": self.labels,
            "precision": self.precision,
            "scores": self.scores,
            "dev_scores": self.dev_scores,
            "best_epoch": self.best_epoch,
            "seconds": round(self.seconds, 3),
        }


def fine_tune_ner(
    encoder: Encoder,
    data: Mapping[str, Splits],
    settings: FineTune,
    seed: int,
    advance: Callable[[int], object] = lambda samples: None,
) -> Outcome:
    """Fine-tune an encoder on every language of `data` that has a `train` file, test it on every one.

    Args:
        encoder: from `find_encoder`.
        data: files by language; trained on in alphabetical order of the languages, shuffled together.
        settings: how to fine-tune.
        seed: the same seed on the same machine gives the same scores.
        advance: called with the number of samples of each finished batch.

    Raises:
        DataError: the model cannot be loaded, or nothing to train on.
    """
    from transformers import set_seed

    began = time.monotonic()
    ordered = {language: data[language] for language in sorted(data)}
    sentences = [sentence for splits in ordered.values() if splits.train for sentence in splits.train.sentences]
    if not sentences:
        raise DataError("no training file among the data", "Give a training file for one language at least.")
    labels = ner.label_names(sentences)
    set_seed(seed)  # before loading: the head's weights are drawn there
    model, tokenizer = load_encoder(encoder, labels)
    for splits in ordered.values():
        _check_types("the training data", labels, splits)
    limit = position_limit(model)
    max_length = min(settings.max_length, limit) if limit else settings.max_length

    def scores_on(split: Split) -> dict[str, Any]:
        words = [sentence.words for sentence in split.sentences]
        predicted = ner.predict(model, tokenizer, words, max_length, settings.precision)
        return ner.entity_scores([sentence.tags for sentence in split.sentences], predicted)

    def dev_score() -> float | None:
        found = [scores_on(splits.dev)["f1"] for splits in ordered.values() if splits.dev]
        return sum(found) / len(found) if found else None

    samples = ner.features(sentences, tokenizer, labels, max_length)
    choice = _train(model, tokenizer, samples, settings, seed, dev_score, advance)
    scores = {language: scores_on(splits.test) for language, splits in ordered.items() if splits.test}
    return Outcome(
        model=model,
        tokenizer=tokenizer,
        labels=labels,
        precision=resolved_precision(settings.precision),
        scores=scores,
        dev_scores=choice.scores,
        best_epoch=choice.best_epoch or settings.epochs,
        seconds=time.monotonic() - began,
    )


def resolved_precision(name: str) -> str:
    """`float32` or `bfloat16`: what the setting stands for on this machine."""
    from unibert.models.precision import resolve_precision

    return str(resolve_precision(name)).removeprefix("torch.")


class _Choice:
    """The weights of the epoch that did best on dev; of equal ones, the later, which has trained longer."""

    def __init__(self) -> None:
        self.scores: list[float] = []
        self.best_epoch = 0
        self._weights: dict[str, Any] = {}

    def consider(self, model: Any, score: float) -> None:
        self.scores.append(score)
        if score < max(self.scores):
            return
        self.best_epoch = len(self.scores)
        if self._weights:
            for name, value in model.state_dict().items():
                self._weights[name].copy_(value)
        else:
            self._weights = {name: value.detach().clone() for name, value in model.state_dict().items()}

    def restore(self, model: Any) -> None:
        if self._weights and self.best_epoch < len(self.scores):
            model.load_state_dict(self._weights)
        self._weights = {}


def _train(
    model: Any,
    tokenizer: Any,
    samples: list[dict[str, list[int]]],
    settings: FineTune,
    seed: int,
    dev_score: Callable[[], float | None],
    advance: Callable[[int], object],
) -> _Choice:
    """Train `model` in place; on return it holds the chosen epoch's weights."""
    from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    from unibert.models.precision import best_device

    choice = _Choice()
    batches = -(-len(samples) // settings.batch_size)

    class Watch(TrainerCallback):  # type: ignore[misc, unused-ignore]  # transformers is untyped
        """Moves the bar after every batch and scores dev after every epoch."""

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            last = state.global_step % batches == 0
            advance(len(samples) - (batches - 1) * settings.batch_size if last else settings.batch_size)

        def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            score = dev_score()
            if score is not None:
                choice.consider(model, score)

    with tempfile.TemporaryDirectory(prefix="unibert-") as scratch, quiet_transformers(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)  # torch and accelerate about devices that are not there
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
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=samples,
            data_collator=lambda chosen: ner.pad(chosen, tokenizer.pad_token_id),
            processing_class=tokenizer,
            callbacks=[Watch()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    choice.restore(model)
    return choice
