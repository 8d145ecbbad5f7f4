"""Fine-tuning an encoder on a task: one function for one model, one seed, whatever the task."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unibert.errors import DataError
from unibert.files import (
    atomic_folder,
    see_that_it_can_be_written,
    sha256_of_file,
    telling_of_full_disk,
    write_json,
)
from unibert.models.allocator import keep_freed_memory
from unibert.models.neutral import find_directions, load_projection
from unibert.models.neutral_heads import fold_neutralised, neutralise_head
from unibert.models.positions import position_limit
from unibert.progress import progress_bar
from unibert.recipe import FineTune
from unibert.tasks.bootstrap import bootstrap_interval
from unibert.tasks.data import Split, Splits
from unibert.tasks.encoder import Encoder, find_encoder, quiet_transformers
from unibert.tasks.methods import finish, prepare
from unibert.tasks.task import Task, find_task, first_metric
from unibert.tasks.task_distillation import Lesson, load_teacher
from unibert.tasks.training import Choice, is_finite, resolved_precision, train

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RESULT_FILE = "finetune.json"
SCHEMA = 2
UNNAMED = "und"  # ISO 639's code for text whose language nobody named
Files = Path | str | Mapping[str, Path | str]


@dataclass(frozen=True)
class Outcome:
    """A fine-tuned model and how well it does."""

    model: Any = field(repr=False)
    tokenizer: Any = field(repr=False)
    labels: list[str]
    precision: str
    scores: dict[str, dict[str, Any]]
    """By language: the task's metrics, `support`, `types`, and `low` and `high` of the first metric over samples."""
    predictions: dict[str, list[Any]] = field(repr=False)
    """By language, one for each test sample."""
    statistics: dict[str, NDArray[np.float64]] = field(repr=False)
    """By language, numbers per test sample whose sums decide the first metric (`Task.statistics`), [N, K]."""
    dev_scores: list[float]
    """After each epoch: the mean over languages of the first metric."""
    best_epoch: int
    learning_rate: float
    """The one that was used, or chosen."""
    tried: dict[float, float]
    """The best dev score of every learning rate, where several were tried; not of those at which training diverged."""
    trained_parameters: int
    """While training, low-rank matrices in place of what they update."""
    seconds: float

    def described(self) -> dict[str, Any]:
        """Everything but the model and its predictions, JSON-like."""
        return {
            "parameters": sum(weight.numel() for weight in self.model.parameters()),
            "trained_parameters": self.trained_parameters,
            "labels": self.labels,
            "precision": self.precision,
            "scores": self.scores,
            "dev_scores": self.dev_scores,
            "best_epoch": self.best_epoch,
            "learning_rate": self.learning_rate,
            "tried": [{"learning_rate": rate, "dev_score": score} for rate, score in self.tried.items()],
            "seconds": round(self.seconds, 3),
        }


def finetune(
    task: str,
    model: Path | str,
    train: Files,
    dev: Files | None,
    test: Files | None,
    settings: FineTune,
    seed: int,
    output: Path | None = None,
    columns: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Fine-tune a model on files and test it; on request, save it.

    Args:
        task: ner, nli, qa or sts.
        model: a Hugging Face model folder or hub name.
        train: files by language, all of which are trained on together; or one file.
        dev: files by language, or one, or None; the mean of their scores chooses the epoch and, where several are
            tried, the learning rate (without any, the last epoch is kept).
        test: files by language, or one, or None. A language need not be among those trained on.
        settings: how to fine-tune.
        seed: decides the new head's weights, the order of samples and dropout.
        output: a folder for the fine-tuned model, its tokenizer and `finetune.json`; nothing is written when None.
        columns: the files' own names for the task's columns or fields, where they differ.

    Returns:
        What `finetune.json` holds: scores per language and type, dev scores per epoch, files, settings, seconds.
        A file given without a language is found there under "und".

    Raises:
        DataError: a file, the model or `output` is unusable.
    """
    kind = find_task(task)
    if output is not None:
        _check_output(output)
    files = [_by_language(split) for split in (train, dev, test)]
    languages = sorted({language for split in files for language in split})
    data = {
        language: Splits(*(_read(kind, split.get(language), columns or {}) for split in files))
        for language in languages
    }
    encoder = find_encoder(model)
    check_data(kind, data, settings)
    with progress_bar(samples_of(data, settings), "fine-tuning", "sample") as bar:
        outcome = fine_tune(kind, encoder, data, settings, seed, bar.update)
    result = {
        "schema": SCHEMA,
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
        with telling_of_full_disk(output), atomic_folder(output) as folder, quiet_transformers():
            save(outcome, folder)
            write_json(folder / RESULT_FILE, result)
    return result


def format_scores(result: Mapping[str, Any]) -> str:
    """The scores of a fine-tuning, a line for each language, with the first metric's 95 % interval over samples."""
    task = find_task(result["task"])
    digits = 2 if task.PER_CENT else 3
    lines = []
    for language, scores in result["scores"].items():
        shown = [f"{name} {scores[key]:.{digits}f}" for key, name in task.METRICS.items()]
        shown[0] += f" ({scores['low']:.{digits}f} to {scores['high']:.{digits}f})"
        named = "" if language == UNNAMED else f"{language}: "
        lines.append(f"{named}{', '.join(shown)}; {scores['support']:,} {task.SUPPORT}")
    return "\n".join(lines) or "nothing was tested: no test file was given"


def save(outcome: Outcome, folder: Path) -> None:
    """Write the fine-tuned model and its tokenizer, for `transformers` and for `unibert predict`."""
    outcome.model.save_pretrained(folder)
    outcome.tokenizer.save_pretrained(folder)


def samples_of(data: Mapping[str, Splits], settings: FineTune) -> int:
    """How many samples a fine-tuning goes through: training samples times epochs times learning rates."""
    samples = sum(len(splits.train.samples) for splits in data.values() if splits.train)
    return samples * settings.epochs * max(1, len(settings.learning_rates))


def check_data(task: Task, data: Mapping[str, Splits], settings: FineTune) -> list[str]:
    """Refuse data that cannot be trained or scored on, before anything is trained; the labels.

    Raises:
        DataError: nothing to train on; a part whose labels are unknown; learning rates to choose from without dev.
    """
    trained = [splits.train for _, splits in sorted(data.items()) if splits.train]
    samples = [sample for split in trained for sample in split.samples]
    if not samples:
        raise DataError("no training file among the data", "Give a training file for one language at least.")
    if len(settings.learning_rates) > 1 and not any(splits.dev for splits in data.values()):
        raise DataError(
            "several learning rates to choose from, and no dev data to choose by",
            "Give a dev file (in a benchmark, `split = true` makes one), or one learning rate.",
        )
    labels = task.label_names(samples)
    for _, splits in sorted(data.items()):
        for split in splits.parts:
            task.check(split, labels, trained[0].source if len(trained) == 1 else "the training data")
    return labels


def fine_tune(
    task: Task,
    encoder: Encoder,
    data: Mapping[str, Splits],
    settings: FineTune,
    seed: int,
    advance: Callable[[int], object] = lambda samples: None,
) -> Outcome:
    """Fine-tune an encoder on every language of `data` that has a `train` part, test it on every one that has `test`.

    Args:
        task: what is learned.
        encoder: from `find_encoder`.
        data: parts by language; trained on in alphabetical order of the languages, shuffled together.
        settings: how to fine-tune.
        seed: the same seed on the same machine gives the same scores.
        advance: called with the number of samples that are done; together `samples_of`.

    Raises:
        DataError: the model cannot be loaded, nothing to train on, or training diverged.
    """
    began = time.monotonic()
    keep_freed_memory()
    labels = check_data(task, data, settings)
    ordered = {language: data[language] for language in sorted(data)}
    rates = settings.learning_rates or [settings.learning_rate]
    attempts: dict[float, float] = {}
    for rate in rates:
        one = settings.model_copy(update={"learning_rate": rate, "learning_rates": []})
        attempt = _attempt(task, encoder, ordered, labels, one, seed, advance)
        if not is_finite(attempt.model):
            continue
        best = attempt.choice.scores[attempt.choice.best_epoch - 1] if attempt.choice.scores else 0.0
        attempts[rate] = best
        if best >= max(attempts.values()):  # the others' models are let go
            kept, chosen = attempt, rate
    if not attempts:
        named = " and ".join(f"{rate:g}" for rate in rates)
        raise DataError(
            f"training diverged at the learning rate {named}: weights of the model are no numbers any more",
            "Give a smaller learning rate; for sts look for scores that are far from all others, too.",
        )
    tested = {language: splits.test for language, splits in ordered.items() if splits.test}
    predictions = {language: kept.predict(split) for language, split in tested.items()}
    statistics = {
        language: task.statistics(split.samples, predictions[language], language) for language, split in tested.items()
    }
    return Outcome(
        model=kept.model,
        tokenizer=kept.tokenizer,
        labels=labels,
        precision=resolved_precision(settings.precision),
        scores={
            language: _scores(task, split, predictions[language], statistics[language], language)
            for language, split in tested.items()
        },
        predictions=predictions,
        statistics=statistics,
        dev_scores=kept.choice.scores,
        best_epoch=kept.choice.best_epoch or settings.epochs,
        learning_rate=chosen,
        tried=attempts if len(rates) > 1 else {},
        trained_parameters=kept.trained_parameters,
        seconds=time.monotonic() - began,
    )


def _scores(
    task: Task, split: Split, predictions: list[Any], statistics: NDArray[np.float64], language: str
) -> dict[str, Any]:
    """Every score of a language's predictions, with the interval of the first one over samples."""
    low, high = bootstrap_interval(statistics, task.value)
    return {**task.scores(split.samples, predictions, language), "low": low, "high": high}


@dataclass(frozen=True)
class _Attempt:
    """A model that was trained with one learning rate."""

    task: Task
    model: Any
    tokenizer: Any
    settings: FineTune
    choice: Choice
    trained_parameters: int

    def predict(self, split: Split) -> list[Any]:
        return self.task.predict(self.model, self.tokenizer, split.samples, self.settings)


def _attempt(
    task: Task,
    encoder: Encoder,
    data: Mapping[str, Splits],
    labels: list[str],
    settings: FineTune,
    seed: int,
    advance: Callable[[int], object],
) -> _Attempt:
    """Train once, with one learning rate."""
    from transformers import set_seed

    set_seed(seed)  # before loading: the head's weights are drawn there
    model, tokenizer = task.load(encoder, labels, settings)
    if settings.neutralise:
        neutralise_head(model, load_projection(find_directions(Path(settings.neutralise), encoder.fingerprint)))
    limit = position_limit(model)
    settings = settings.model_copy(update={"max_length": min(settings.max_length, limit or settings.max_length)})
    samples = [sample for splits in data.values() if splits.train for sample in splits.train.samples]
    features = task.features(samples, tokenizer, labels, settings)
    lesson = None
    if settings.distillation is not None:
        teacher = load_teacher(task, settings.distillation.teacher, labels, tokenizer, settings)
        lesson = Lesson(task, teacher, model, settings, seed)
    model = prepare(model, settings)
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)

    def dev_score() -> float | None:
        found = []
        for language, splits in data.items():
            if splits.dev:
                predicted = task.predict(model, tokenizer, splits.dev.samples, settings)
                found.append(task.scores(splits.dev.samples, predicted, language)[first_metric(task)])
        return sum(found) / len(found) if found else None

    whole = len(samples) * settings.epochs
    counter = _Counter(len(samples), len(features), advance)
    choice = train(task, model, tokenizer, features, settings, seed, dev_score, counter, lesson)
    advance(whole - counter.samples)  # epochs that an early stop left out
    return _Attempt(task, _stock(model), tokenizer, settings, choice, trained)


def _stock(model: Any) -> Any:
    """The model as transformers knows it, whatever was put around or into it for training."""
    found = finish(model)
    fold_neutralised(found)
    return found


class _Counter:
    """Turns features done into samples done, of which a task may make several each."""

    def __init__(self, samples: int, features: int, advance: Callable[[int], object]) -> None:
        self.samples = self._features = 0
        self._ratio = samples / max(1, features)
        self._advance = advance

    def __call__(self, features: int) -> None:
        self._features += features
        step = round(self._features * self._ratio) - self.samples
        self.samples += step
        self._advance(step)


def _by_language(files: Files | None) -> Mapping[str, Path | str]:
    if files is None:
        return {}
    return files if isinstance(files, Mapping) else {UNNAMED: files}


def _read(task: Task, path: Path | str | None, columns: Mapping[str, str]) -> Split | None:
    if path is None:
        return None
    path = Path(path).expanduser()
    samples = task.read(path, columns)
    return Split(str(path), sha256_of_file(path), samples)


def _check_output(output: Path) -> None:
    """Saving replaces the whole folder, so only an empty one or an earlier fine-tuned model may stand there."""
    if output.is_file() or (output.is_dir() and any(output.iterdir()) and not (output / RESULT_FILE).is_file()):
        raise DataError(f"{output}: exists and is no fine-tuned model", "Name another folder for the result.")
    see_that_it_can_be_written(output)
