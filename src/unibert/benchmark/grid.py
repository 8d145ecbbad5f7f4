"""The benchmark's runs: models x settings x languages x seeds, each under an address that says what went into it.

A finished run stands as one file under its address and is never repeated; whatever decides a score (weights, tokenizer,
data, settings, seed) is in the address, so a change of it makes another run.
"""

from __future__ import annotations

import contextlib
import gc
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unibert.benchmark.results import write_plan
from unibert.benchmark.schema import SCHEMA, Result, load_result
from unibert.errors import DataError, UniBertError
from unibert.files import atomic_file, fingerprint, write_json
from unibert.progress import progress_bar
from unibert.recipe import Benchmark, FineTune
from unibert.runs import provenance
from unibert.tasks.encoder import Encoder, find_encoder
from unibert.tasks.finetune import Splits, fine_tune_ner, read_splits, resolved_precision, samples_of

OWN_MODELS = ("student", "teacher")


@dataclass(frozen=True)
class Run:
    """One fine-tuning: a model, trained on `languages` and tested on each of them."""

    encoder: Encoder
    setting: str
    languages: tuple[str, ...]
    seed: int
    settings: FineTune
    """With the precision that `auto` stands for on this machine, because it decides the result."""
    data: Mapping[str, Splits] = field(repr=False)
    task: str = "ner"
    benchmark: str = "ner"

    @property
    def address(self) -> str:
        """16 hexadecimal digits that depend on everything that decides the score, and on nothing else."""
        return fingerprint(
            {
                "schema": SCHEMA,
                "task": self.task,
                "benchmark": self.benchmark,
                "model": self.encoder.fingerprint,
                "data": {
                    language: {name: entry["sha256"] if entry else None for name, entry in splits.described().items()}
                    for language, splits in self.data.items()
                },
                "setting": self.setting,
                "languages": self.languages,
                "seed": self.seed,
                "settings": self.settings.model_dump(mode="json"),
            }
        )

    @property
    def samples(self) -> int:
        """How many samples training goes through."""
        return samples_of(self.data, self.settings)

    def __str__(self) -> str:
        where = self.languages[0] if self.setting == "each" else f"all {len(self.languages)}"
        return f"{self.encoder.name}, {where}, seed {self.seed}"


def plan(benchmark: Benchmark, models: Mapping[str, Path | str]) -> list[Run]:
    """Every run of a benchmark, in the order in which they are done: all of a seed before the next seed.

    All data files are read and all models looked up, so a bad one is reported before anything is trained.

    Args:
        benchmark: the recipe's settings.
        models: the folder (or hub name) of `student` and `teacher`; other models go by the name in the recipe.

    Raises:
        DataError: names the file or the model that cannot be used, or two names of one model.
    """
    data = {
        language: read_splits(language, files.train, files.dev, files.test)
        for language, files in sorted(benchmark.ner.items())
    }
    if not data:
        raise DataError(
            "benchmark.ner names no files", "Add a table [benchmark.ner.LANGUAGE] with train, dev and test."
        )
    encoders = [_encoder(name, models) for name in dict.fromkeys(benchmark.models)]
    _check_distinct(encoders)
    settings = benchmark.finetune.model_copy(update={"precision": resolved_precision(benchmark.finetune.precision)})
    return [
        Run(encoder, setting, languages, seed, settings, {language: data[language] for language in languages})
        for seed in dict.fromkeys(benchmark.seeds)
        for setting in dict.fromkeys(benchmark.settings)
        for languages in ([tuple(data)] if setting == "all" else [(language,) for language in data])
        for encoder in encoders
    ]


def _encoder(name: str, models: Mapping[str, Path | str]) -> Encoder:
    if name in models:
        return find_encoder(models[name], name)
    if name in OWN_MODELS:
        raise DataError(f"model {name}: not trained yet", "Run `unibert pretrain` first, or leave it out.")
    return find_encoder(name)


def _check_distinct(encoders: list[Encoder]) -> None:
    names: dict[str, str] = {}
    for encoder in encoders:
        other = names.setdefault(encoder.fingerprint, encoder.name)
        if other != encoder.name:
            raise DataError(
                f"benchmark.models: {other} and {encoder.name} are the same model", "Leave one of them out."
            )


def run_benchmark(settings: Benchmark, models: Mapping[str, Path | str], output: Path) -> list[dict[str, Any]]:
    """Do every run that has no result yet, one after the other; a failing one does not stop the others.

    Args:
        settings: the recipe's settings.
        models: the folder (or hub name) of `student` and `teacher`.
        output: results go to `results/ADDRESS.json` below it, what went wrong to `failures/ADDRESS.txt`, and the
            addresses of this benchmark, before anything is trained, to `plan.json`: files of other addresses stay for
            the recipe they belong to, and are not shown.

    Returns:
        The results as they stand in the files, in the order of the plan.

    Raises:
        DataError: a data file or model is unusable; nothing was trained.
        UniBertError: after everything else was done, names the runs that failed and why.
    """
    runs = plan(settings, models)
    folder = output / "results"
    write_plan(output, [run.address for run in runs])
    finished = {run.address: found for run in runs if (found := _finished(run, folder)) is not None}
    waiting = [run for run in runs if run.address not in finished]
    if not waiting:
        return [finished[run.address] for run in runs]
    failures: list[str] = []
    total = sum(run.samples for run in waiting)
    with _short_collections(), progress_bar(total, "benchmark", "sample") as bar:
        for position, run in enumerate(waiting, start=1):
            bar.set_description(f"benchmark {position}/{len(waiting)}: {run}")
            before = bar.n
            failure = output / "failures" / f"{run.address}.txt"
            try:
                finished[run.address] = _do(run, folder, bar.update)
                failure.unlink(missing_ok=True)
            except Exception as error:  # one model that breaks, however it does, must not cost the others' results
                reason = error.message if isinstance(error, UniBertError) else f"{type(error).__name__}: {error}"
                failures.append(f"{run}: {reason} (details in {failure})")
                with atomic_file(failure) as stream:
                    stream.write(f"{run}\n\n{traceback.format_exc()}")
                bar.write(f"failed: {failures[-1]}", file=sys.stderr)
                bar.total -= run.samples - (bar.n - before)
            gc.collect()  # the Trainer sits in reference cycles, and holds weights, gradients and moments
    if failures:
        shown = "\n".join(f"    {failure}" for failure in failures)
        raise UniBertError(
            f"{len(failures)} of {len(runs)} runs of the benchmark failed:\n{shown}",
            "Mend what is named and give the same command again; finished runs are not repeated.",
        )
    return [finished[run.address] for run in runs]


@contextlib.contextmanager
def _short_collections() -> Iterator[None]:
    """Keep what is loaded already (libraries, data) out of garbage collections.

    Each training collects garbage twice; walking through the libraries' million objects costs a small run more time
    than its training.
    """
    import transformers

    _ = transformers.Trainer  # imported only when it is first asked for
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _finished(run: Run, folder: Path) -> dict[str, Any] | None:
    """The run's result if it is there and whole; under this recipe's name of the model, whatever it was called then."""
    path = folder / f"{run.address}.json"
    result = load_result(path)
    if not isinstance(result, Result) or result.address != run.address:
        return None
    if result.model != run.encoder.name:
        result = result.model_copy(update={"model": run.encoder.name})
        write_json(path, result.as_json())
    return result.as_json()


def _do(run: Run, folder: Path, advance: Any) -> dict[str, Any]:
    """Fine-tune, test, and write the result."""
    outcome = fine_tune_ner(run.encoder, run.data, run.settings, run.seed, advance)
    described = outcome.described()
    kept = ("parameters", "scores", "dev_scores", "best_epoch", "seconds")
    result = Result.model_validate(
        {
            "schema": SCHEMA,
            "address": run.address,
            "task": run.task,
            "benchmark": run.benchmark,
            "model": run.encoder.name,
            "model_fingerprint": run.encoder.fingerprint,
            "setting": run.setting,
            "languages": list(run.languages),
            "seed": run.seed,
            "settings": run.settings.model_dump(mode="json"),
            "data": {language: splits.described() for language, splits in run.data.items()},
            "provenance": {**provenance(), "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())},
            **{key: described[key] for key in kept},
        }
    )
    write_json(folder / f"{run.address}.json", result.as_json())
    return result.as_json()
