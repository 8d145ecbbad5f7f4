"""A run of the benchmark: one fine-tuning, under an address that says what went into it.

Whatever decides a score (weights, tokenizer, data, settings, seed) is in the address, so a change of it makes another
run; where the run is done, and how folders are called, is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from unibert.benchmark.loading import LoadedData, load_data, with_training_of
from unibert.benchmark.schema import SCHEMA, Result, load_result
from unibert.errors import DataError
from unibert.files import fingerprint, read_json, sha256_of_file, write_json
from unibert.models.neutral import find_directions
from unibert.task_settings import BenchmarkData, FineTune
from unibert.tasks.data import Splits
from unibert.tasks.encoder import Encoder, find_encoder


@dataclass(frozen=True)
class Source:
    """Where a benchmark's samples come from, as the recipe says it."""

    name: str
    data: BenchmarkData = field(repr=False)
    training: BenchmarkData | None = field(default=None, repr=False)
    """The table of the benchmark that `data.train_on` names."""

    def load(self) -> LoadedData:
        """Read the samples.

        Raises:
            DataError: see `loading.load_data`.
        """
        loaded = load_data(self.name, self.data)
        if self.data.train_on is None or self.training is None:
            return loaded
        return with_training_of(loaded, load_data(self.data.train_on, self.training), self.data.max_train)

    def only(self, trained: Sequence[str], used: Sequence[str]) -> Source:
        """The same with the languages that a run needs and no others."""
        training = self.training
        if training is not None:
            training = training.model_copy(update={"languages": sorted(trained)})
        return replace(self, data=self.data.model_copy(update={"languages": sorted(used)}), training=training)


@dataclass(frozen=True)
class Run:
    """One fine-tuning: a model, trained on `languages` and tested on every language of `data` that has a test part."""

    benchmark: str
    title: str
    task: str
    encoder: Encoder
    setting: str
    languages: tuple[str, ...]
    seed: int
    settings: FineTune
    """With the precision that `auto` stands for, because it decides the result."""
    source: Source = field(repr=False)
    data: Mapping[str, Splits] = field(repr=False)
    teacher: str | None = None
    """Address of the run whose model this one learns from."""
    keep: bool = False
    """Whether the fine-tuned model is kept, because other runs learn from it."""

    @cached_property
    def address(self) -> str:
        """16 hexadecimal digits that depend on everything that decides the score, and on nothing else."""
        settings = self.settings.model_dump(mode="json")
        if self.teacher is not None:
            settings["distillation"]["teacher"] = self.teacher
        if self.settings.neutralise:
            settings["neutralise"] = sha256_of_file(
                find_directions(Path(self.settings.neutralise), self.encoder.fingerprint)
            )
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
                "settings": settings,
            }
        )

    @property
    def samples(self) -> int:
        """How many samples training goes through, at most."""
        trained = sum(len(splits.train.samples) for splits in self.data.values() if splits.train)
        return trained * self.settings.epochs * max(1, len(self.settings.learning_rates))

    @property
    def described(self) -> dict[str, Any]:
        """What the plan's file says of it."""
        return {
            "benchmark": self.benchmark,
            "model": self.encoder.name,
            "setting": self.setting,
            "languages": list(self.languages),
            "tested": [language for language, splits in self.data.items() if splits.test],
            "seed": self.seed,
        }

    def __str__(self) -> str:
        where = self.languages[0]
        if self.setting == "zero-shot":
            where = f"zero-shot from {where}"
        elif self.setting != "each":
            where = f"{self.setting} {len(self.languages)}"
        return f"{self.encoder.name}, {self.benchmark}, {where}, seed {self.seed}"


def parts_for(languages: Sequence[str], there: Mapping[str, Splits]) -> dict[str, Splits]:
    """What a run trained on `languages` uses of the parts of these and other languages.

    Dev parts of languages that are not trained on would choose the epoch for them; they are not looked at.
    """
    return {
        language: splits if language in languages else Splits(test=splits.test)
        for language, splits in there.items()
        if language in languages or splits.test
    }


# Files of a run -----------------------------------------------------------------------------------------------------


def result_file(folder: Path, address: str) -> Path:
    """Where a run's result is, in the benchmark's folder."""
    return folder / "results" / f"{address}.json"


def failure_file(folder: Path, address: str) -> Path:
    """Where it is written why a run failed."""
    return folder / "failures" / f"{address}.txt"


def model_folder(folder: Path, address: str) -> Path:
    """Where a fine-tuned model is kept that others learn from."""
    return folder / "models" / address


def claim_file(folder: Path, address: str) -> Path:
    """The lock of who is at work on a run."""
    return folder / "claims" / f"{address}.lock"


def finished(run: Run, folder: Path) -> Result | None:
    """The run's result if it is there and whole, and so is the model if others learn from it."""
    result = load_result(result_file(folder, run.address))
    if not isinstance(result, Result) or result.address != run.address:
        return None
    if run.keep and not (model_folder(folder, run.address) / "config.json").is_file():
        return None
    return result


# Runs as files, for other processes ---------------------------------------------------------------------------------


def write_work(run: Run, folder: Path) -> None:
    """Write down what another process needs to know to do a run: `work/ADDRESS.json`."""
    source = run.source.only(run.languages, list(run.data))
    write_json(
        folder / "work" / f"{run.address}.json",
        {
            "schema": SCHEMA,
            "address": run.address,
            "described": str(run),
            "benchmark": run.benchmark,
            "title": run.title,
            "data": source.data.model_dump(mode="json", exclude={"finetune"}),
            "training": source.training and source.training.model_dump(mode="json", exclude={"finetune"}),
            "model": {key: getattr(run.encoder, key) for key in ("name", "source", "revision")},
            "setting": run.setting,
            "languages": run.languages,
            "seed": run.seed,
            "settings": run.settings.model_dump(mode="json"),
            "teacher": run.teacher,
            "keep": run.keep,
        },
    )


def read_work(folder: Path, address: str) -> Run:
    """The run that `write_work` has written, with its data.

    Raises:
        DataError: model or data cannot be had, or are not those that the run was planned with.
    """
    path = folder / "work" / f"{address}.json"
    tree = read_json(path)
    if not isinstance(tree, dict) or tree.get("schema") != SCHEMA:
        raise DataError(f"{path}: written by another version", "Run `unibert benchmark` again.")
    training = BenchmarkData.model_validate(tree["training"]) if tree["training"] else None
    source = Source(tree["benchmark"], BenchmarkData.model_validate(tree["data"]), training)
    loaded = _loaded(source.name, source.data.model_dump_json(), training and training.model_dump_json())
    run = Run(
        benchmark=tree["benchmark"],
        title=tree["title"],
        task=loaded.task,
        encoder=find_encoder(**tree["model"]),
        setting=tree["setting"],
        languages=tuple(tree["languages"]),
        seed=tree["seed"],
        settings=FineTune.model_validate(tree["settings"]),
        source=source,
        data=parts_for(tree["languages"], loaded.languages),
        teacher=tree["teacher"],
        keep=tree["keep"],
    )
    if run.address != address:
        raise DataError(
            f"{run}: the model or the data has changed since the run was planned, or cannot be seen from here alike",
            "Run `unibert benchmark` again.",
        )
    return run


@lru_cache(maxsize=4)
def _loaded(name: str, data: str, training: str | None) -> LoadedData:
    """Runs of one benchmark follow one another; its data is read once."""
    of_training = BenchmarkData.model_validate_json(training) if training else None
    return Source(name, BenchmarkData.model_validate_json(data), of_training).load()
