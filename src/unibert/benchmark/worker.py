"""Doing one run: claim it, fine-tune, test, keep the predictions, write the result; or write down why it failed."""

from __future__ import annotations

import contextlib
import gc
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from unibert.benchmark.predictions import write_predictions
from unibert.benchmark.run import (
    Run,
    claim_file,
    failure_file,
    finished,
    model_folder,
    read_work,
    result_file,
)
from unibert.benchmark.schema import SCHEMA, Result
from unibert.errors import UniBertError
from unibert.files import atomic_file, atomic_folder, telling_of_full_disk, write_json
from unibert.runs import claim, provenance
from unibert.task_settings import FineTune
from unibert.tasks.encoder import quiet_transformers
from unibert.tasks.finetune import Outcome, fine_tune, save
from unibert.tasks.task import Task, find_task, first_metric

Advance = Callable[[int], object]


def perform(run: Run, folder: Path, advance: Advance = lambda samples: None) -> bool:
    """Do a run, unless it is finished, has failed, or another process is at it.

    Afterwards `results/ADDRESS.json` or `failures/ADDRESS.txt` is there, or another process has claimed the run.

    Args:
        run: with its data.
        folder: of the benchmark.
        advance: called with the number of samples done.

    Returns:
        Whether the run has come to an end; False if another process has claimed it.
    """
    with claim(claim_file(folder, run.address)) as mine:
        if not mine:
            return False
        if finished(run, folder) or failure_file(folder, run.address).exists():
            return True
        try:
            _fine_tune(run, folder, advance)
        except Exception as error:  # one model that breaks, however it does, must not cost the others' results
            write_failure(folder, run.address, str(run), _reason(error), traceback.format_exc())
        # The Trainer sits in reference cycles, and holds weights, gradients and moments.
        gc.collect()
    return True


def perform_work(folder: Path, address: str, advance: Advance = lambda samples: None) -> bool:
    """Do the run of `work/ADDRESS.json`, as `perform`; what is wrong with that file is the run's failure, too."""
    try:
        run = read_work(folder, address)
    except Exception as error:  # as above
        write_failure(folder, address, address, _reason(error), traceback.format_exc())
        return True
    return perform(run, folder, advance)


def write_failure(folder: Path, address: str, name: str, reason: str, details: str = "") -> None:
    """Write down that a run failed; its name is the first line, the reason the last."""
    path = failure_file(folder, address)
    with telling_of_full_disk(path), atomic_file(path) as stream:
        stream.write("\n\n".join(part for part in (name, details.strip(), reason) if part) + "\n")


def read_failure(folder: Path, address: str) -> str | None:
    """Why a run failed, in one line; None if it did not."""
    try:
        text = failure_file(folder, address).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    lines = [line for line in text.split("\n") if line.strip()]
    return lines[-1].strip() if lines else "no reason was written"


def _reason(error: Exception) -> str:
    told = error.message if isinstance(error, UniBertError) else f"{type(error).__name__}: {error}"
    return " ".join(told.split())


def _fine_tune(run: Run, folder: Path, advance: Advance) -> None:
    task = find_task(run.task)
    outcome = fine_tune(task, run.encoder, run.data, _with_teacher(run, folder), run.seed, advance)
    path = result_file(folder, run.address)
    with telling_of_full_disk(path):
        kept = write_predictions(folder, run.address, outcome)
        if run.keep:
            with atomic_folder(model_folder(folder, run.address)) as place, quiet_transformers():
                save(outcome, place)
        result = Result.model_validate({**_described(run, task, outcome), "predictions": kept})
        write_json(path, result.as_json())


def _with_teacher(run: Run, folder: Path) -> FineTune:
    """The settings with the folder of the fine-tuned teacher in place of its name."""
    lesson = run.settings.distillation
    if lesson is None or run.teacher is None:
        return run.settings
    lesson = lesson.model_copy(update={"teacher": str(model_folder(folder, run.teacher))})
    return run.settings.model_copy(update={"distillation": lesson})


def _described(run: Run, task: Task, outcome: Outcome) -> dict[str, Any]:
    described = outcome.described()
    kept = ("parameters", "trained_parameters", "dev_scores", "best_epoch", "learning_rate", "tried", "seconds")
    return {
        "schema": SCHEMA,
        "address": run.address,
        "task": run.task,
        "benchmark": run.benchmark,
        "title": run.title,
        "metric": first_metric(task),
        "per_cent": task.PER_CENT,
        "model": run.encoder.name,
        "model_fingerprint": run.encoder.fingerprint,
        "setting": run.setting,
        "languages": list(run.languages),
        "seed": run.seed,
        "settings": run.settings.model_dump(mode="json"),
        "teacher": run.teacher,
        "data": {language: splits.described() for language, splits in run.data.items()},
        "scores": {language: _score(task, score) for language, score in described["scores"].items()},
        "provenance": {**provenance(), "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())},
        **{key: described[key] for key in kept},
    }


def _score(task: Task, score: dict[str, Any]) -> dict[str, Any]:
    """A language's scores as a task gives them, by what they are."""
    types = score.get("types") or {}
    return {
        "metrics": {key: score[key] for key in task.METRICS},
        "low": score["low"],
        "high": score["high"],
        "support": score["support"],
        "types": {
            kind: {
                "metrics": {key: value for key, value in found.items() if key != "support"},
                "support": found["support"],
            }
            for kind, found in types.items()
        },
    }


@contextlib.contextmanager
def short_collections() -> Iterator[None]:
    """Keep what is loaded already (libraries, data) out of garbage collections.

    Each training collects garbage twice; walking through the libraries' million objects costs a small run more time
    than its training.
    """
    freeze_what_is_loaded()
    try:
        yield
    finally:
        gc.unfreeze()


def freeze_what_is_loaded() -> None:
    """See `short_collections`; for a process that does nothing else."""
    import transformers

    _ = transformers.Trainer  # imported only when it is first asked for
    gc.collect()
    gc.freeze()
