"""The verbs for your own data: `finetune` and `predict`; no logic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from pydantic import ValidationError

from unibert.errors import RecipeError
from unibert.recipe import FineTune
from unibert.task_settings import TaskName

Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column", metavar="NAME=YOURS", help="Your files' name of a column or field, e.g. premise=text_a; repeatable."
    ),
]


def finetune(
    task: Annotated[str, typer.Option(help=f"One of {', '.join(get_args(TaskName))}.")],
    model: Annotated[str, typer.Option(help="A Hugging Face name or folder of an encoder.")],
    train: Annotated[
        list[str],
        typer.Option(metavar="[LANGUAGE=]FILE", help="Training file; once for each language, all trained on together."),
    ],
    output: Annotated[Path, typer.Option(help="Folder for the fine-tuned model and its scores.")],
    dev: Annotated[
        list[str] | None,
        typer.Option(metavar="[LANGUAGE=]FILE", help="Development file: chooses the epoch to keep."),
    ] = None,
    test: Annotated[
        list[str] | None, typer.Option(metavar="[LANGUAGE=]FILE", help="Test file: scores are reported on it.")
    ] = None,
    column: Columns = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training files, at most.")] = 3,
    patience: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many epochs without a better dev score.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples per update.")] = 32,
    learning_rate: Annotated[
        list[float] | None,
        typer.Option(metavar="RATE", help="Given several times: the one that does best on dev is kept. [5e-5]"),
    ] = None,
    max_length: Annotated[int, typer.Option(min=8, help="Longest sample in tokens.")] = 256,
    method: Annotated[str, typer.Option(help="full, lora, bitfit or frozen.")] = "full",
    neutralise: Annotated[
        Path | None,
        typer.Option(help="Hide the language from the head: folder where `unibert universality` measured the model."),
    ] = None,
    teacher: Annotated[
        Path | None, typer.Option(help="Learn from this fine-tuned model, too, which has the same tokenizer.")
    ] = None,
    sts: Annotated[str, typer.Option(help="cross-encoder or bi-encoder, for the task sts.")] = "cross-encoder",
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Decides head, order and dropout.")] = 1,
) -> None:
    """Fine-tune an encoder on your own files and print its scores. Which formats are read: docs/tasks.md."""
    from unibert.tasks.finetune import finetune as run
    from unibert.tasks.finetune import format_scores

    rates = learning_rate or [5e-5]
    settings = _settings(
        epochs=epochs,
        patience=patience,
        batch_size=batch_size,
        learning_rate=rates[0],
        learning_rates=rates if len(rates) > 1 else [],
        max_length=max_length,
        method=method,
        neutralise=str(neutralise) if neutralise else None,
        distillation={"teacher": str(teacher)} if teacher else None,
        sts=sts,
    )
    result = run(
        task,
        model,
        files_by_language(train) or {},
        files_by_language(dev),
        files_by_language(test),
        settings,
        seed,
        output,
        pairs(column, "--column"),
    )
    print(format_scores(result))
    print(output)


def predict(
    model: Annotated[Path, typer.Option(help="A fine-tuned model: the output of `unibert finetune`.")],
    input_: Annotated[Path, typer.Option("--input", help="The file to predict; it needs no labels.")],
    output: Annotated[
        Path, typer.Option(help="JSON lines, one for each sample; for ner also .conll: a token and its tag a line.")
    ],
    task: Annotated[
        str | None, typer.Option(help="Of a model that was fine-tuned elsewhere and does not say it itself.")
    ] = None,
    column: Columns = None,
) -> None:
    """Predict a file with a fine-tuned model."""
    from unibert.tasks.predicting import predict_file

    samples = predict_file(model, input_, output, task=task, columns=pairs(column, "--column"))
    print(f"{output}: {samples:,} predictions")


def _settings(**values: Any) -> FineTune:
    try:
        return FineTune.model_validate(values)
    except ValidationError as error:
        problems = [f"--{str(item['loc'][0]).replace('_', '-')}: {item['msg']}" for item in error.errors()]
        raise RecipeError("\n".join(problems), "See `unibert finetune --help`.") from None


def files_by_language(given: Sequence[str] | None) -> Mapping[str, Path | str] | Path | None:
    """One file, or files by language."""
    if not given:
        return None
    if len(given) == 1 and ("=" not in given[0] or Path(given[0]).exists()):
        return Path(given[0])
    return dict(pairs(given, "a file"))


def pairs(given: Sequence[str] | None, what: str) -> dict[str, str]:
    """NAME=VALUE, each name once; `what` names them in errors."""
    found: dict[str, str] = {}
    for text in given or ():
        name, sign, value = text.partition("=")
        if not (sign and name and value):
            fix = "Write NAME=YOURS." if what == "--column" else "Several files need a language each: es=X."
            raise RecipeError(f"{what} {text!r}: NAME=VALUE is expected", fix)
        if name in found:
            raise RecipeError(f"{what} {text!r}: {name} was given before", "Give each name once.")
        found[name] = value
    return found
