"""Predictions of a fine-tuned model on a file: JSON lines, and CoNLL for tagged words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from unibert.errors import DataError
from unibert.files import atomic_file, read_json, see_that_it_can_be_written, telling_of_full_disk
from unibert.models.positions import position_limit
from unibert.models.precision import best_device
from unibert.progress import progress_bar
from unibert.recipe import FineTune
from unibert.tasks.encoder import check_trained, find_encoder
from unibert.tasks.finetune import RESULT_FILE
from unibert.tasks.task import Task, find_task

_TASK_OF = {"TokenClassification": "ner", "QuestionAnswering": "qa", "SequenceClassification": "nli"}


def predict_file(
    model: Path,
    source: Path,
    output: Path,
    task: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> int:
    """Predict every sample of a file and write the predictions; the number of samples.

    Args:
        model: the folder of a fine-tuned model, of `unibert finetune` or of any other tool.
        source: samples in one of the task's formats; what is to be predicted may be missing, and is not looked at.
        output: `.jsonl`, one object a sample; for ner also `.conll`.
        task: what the model was fine-tuned on; found out when None.
        columns: the file's own names for the task's columns or fields, where they differ.

    Raises:
        DataError: the file or the model is unusable, or it does not say its task.
    """
    kind, settings = _known(model, task)
    tagged = output.suffix.lower() == ".conll"
    if tagged and kind.NAME != "ner":
        raise DataError(f"{output}: only predictions of ner can be written as CoNLL", "Name a .jsonl file.")
    _check_output(output, source, model)
    see_that_it_can_be_written(output)
    samples = kind.read(source, columns or {})
    if tagged:
        _check_words(samples, source)
    encoder = find_encoder(model)
    loaded, tokenizer = kind.load(encoder, _labels(model), settings)
    check_trained(encoder, loaded, kind.NAME)
    loaded = loaded.to(best_device())
    limit = position_limit(loaded)
    settings = settings.model_copy(update={"max_length": min(settings.max_length, limit or settings.max_length)})
    with progress_bar(len(samples), "predicting", "sample") as bar:
        predictions = kind.predict(loaded, tokenizer, samples, settings, bar.update)
    with telling_of_full_disk(output), atomic_file(output) as stream:
        for sample, prediction in zip(samples, predictions, strict=True):
            found = kind.described(sample, prediction)
            if tagged:
                lines = [f"{token}\t{tag}\n" for token, tag in zip(found["tokens"], found["tags"], strict=True)]
                stream.write("".join([*lines, "\n"]))
            else:
                stream.write(json.dumps(found, ensure_ascii=False) + "\n")
    return len(samples)


def _check_output(output: Path, source: Path, model: Path) -> None:
    """Refuse to write over what is read, and a form that the name promises and the file would not have."""
    if output.is_dir():
        raise DataError(f"{output}: is a folder", "Name a file for the predictions.")
    if output.suffix.lower() == ".gz":
        raise DataError(f"{output}: predictions are not packed", f"Name it {output.stem}, and pack it afterwards.")
    if output.exists() and source.exists() and output.samefile(source):
        raise DataError(f"{output}: is the file to predict; it would be lost", "Name another file.")
    if output.exists() and output.resolve().parent == model.resolve() and output.suffix != ".jsonl":
        raise DataError(f"{output}: is a file of the model; it would be lost", "Name another file.")


def _check_words(samples: Sequence[Any], source: Path) -> None:
    """Refuse words that JSON can hold and CoNLL cannot, which would come out as other columns and lines."""
    for number, sample in enumerate(samples, start=1):
        for word in sample.words:
            if not word.strip() or any(mark in word for mark in "\t\r\n"):
                raise DataError(
                    f"{source}: sentence {number}: {word!r} cannot be a token of a CoNLL file",
                    "Name a .jsonl file for the predictions.",
                )


def _known(model: Path, task: str | None) -> tuple[Task, FineTune]:
    """The task of a model and how its samples are cut, from its own file or from its kind of head."""
    settings = FineTune()
    if (model / RESULT_FILE).is_file():
        recorded = read_json(model / RESULT_FILE)
        if isinstance(recorded, dict) and isinstance(recorded.get("settings"), dict):
            known = {key: recorded["settings"].get(key) for key in FineTune.model_fields if key != "distillation"}
            try:
                settings = FineTune.model_validate({key: value for key, value in known.items() if value is not None})
            except ValidationError as error:
                wrong = error.errors()[0]
                place = ".".join(map(str, wrong["loc"]))
                raise DataError(
                    f"{model / RESULT_FILE}: settings.{place}: {wrong['msg']}", "Copy the model folder again."
                ) from None
            task = task or recorded.get("task")
    task = task or _task_of_head(_config(model))
    if task is None:
        raise DataError(
            f"{model}: it does not say what it was fine-tuned on", "Name the task, e.g. --task ner, if it was."
        )
    return find_task(task), settings


def _task_of_head(config: Mapping[str, Any]) -> str | None:
    named = config.get("architectures")
    for architecture in named if isinstance(named, list) else ():
        for head, task in _TASK_OF.items():
            if str(architecture).endswith(head):
                return "sts" if task == "nli" and len(config.get("id2label") or ()) == 1 else task
    return None


def _labels(model: Path) -> list[str]:
    names = _config(model).get("id2label") or {}
    if not isinstance(names, dict) or not all(str(number).isdecimal() for number in names):
        raise DataError(
            f"{model / 'config.json'}: its id2label is no table of labels by number", "Copy the model folder again."
        )
    return [names[number] for number in sorted(names, key=int)]


def _config(model: Path) -> dict[str, Any]:
    if not (model / "config.json").is_file():
        raise DataError(f"{model}: not a model folder: it has no config.json", "Name what `unibert finetune` wrote.")
    found = read_json(model / "config.json")
    return found if isinstance(found, dict) else {}
