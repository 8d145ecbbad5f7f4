"""Which runs a benchmark consists of: models x benchmarks x settings x languages x seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unibert.benchmark.loading import LoadedData
from unibert.benchmark.models import find_model, find_models, model_names
from unibert.benchmark.run import Run, Source, parts_for
from unibert.errors import DataError, check_names
from unibert.recipe import Benchmark, FineTune
from unibert.task_settings import BenchmarkData
from unibert.tasks.data import Splits
from unibert.tasks.encoder import Encoder
from unibert.tasks.finetune import check_data
from unibert.tasks.task import find_task
from unibert.tasks.training import resolved_precision


@dataclass(frozen=True)
class Plan:
    """The runs in the order in which they are done, and what a reader should know about them."""

    runs: list[Run]
    notes: list[str]

    @property
    def waves(self) -> list[list[Run]]:
        """Runs that may be done side by side; those that learn from others' models come after these."""
        first = [run for run in self.runs if run.teacher is None]
        second = [run for run in self.runs if run.teacher is not None]
        return [wave for wave in (first, second) if wave]


@dataclass(frozen=True)
class _Entry:
    """A benchmark with its data, and what is trained on it in each setting."""

    source: Source
    loaded: LoadedData
    settings: FineTune
    fillings: dict[str, list[tuple[tuple[str, ...], dict[str, Splits]]]]
    """For each setting, languages that are trained on together, and the parts that are used."""


def plan(
    benchmark: Benchmark,
    models: Mapping[str, Path | str],
    only_benchmarks: Sequence[str] = (),
    only_models: Sequence[str] = (),
) -> Plan:
    """Every run of a benchmark, in the order in which they are done: all of a seed before the next seed.

    All data is read and all models are looked up, so a bad one is reported before anything is trained.

    Args:
        benchmark: the recipe's settings.
        models: the folder (or hub name) of `student`, `teacher` and members of a family; other models go by the name
            in the recipe.
        only_benchmarks: when given, only these of `benchmark.data`.
        only_models: when given, only these of `benchmark.models`.

    Raises:
        RecipeError: a name in the filters that the recipe does not have.
        DataError: names the file or the model that cannot be used, or two names of one model.
    """
    if not benchmark.data:
        raise DataError(
            "benchmark.data is empty: there is nothing to test on",
            "Add a table [benchmark.data.NAME]; `unibert data list` names what is known.",
        )
    wanted = _chosen(benchmark.data, only_benchmarks, "benchmark.data", "--only-benchmark")
    names = _chosen(model_names(benchmark.models), model_names(only_models), "benchmark.models", "--model")
    encoders = find_models(names, models)
    notes: list[str] = []
    if benchmark.executor.kind != "local":
        automatic = any(benchmark.data[name].finetune.precision == "auto" for name in wanted)
        notes += [f"precision `auto` is {resolved_precision('auto')}, as on this machine"] if automatic else []
    entries = [_entry(name, benchmark, notes) for name in wanted]
    teachers = {
        entry.source.name: find_model(entry.settings.distillation.teacher, models)
        for entry in entries
        if entry.settings.distillation
    }
    runs: dict[str, Run] = {}
    for seed in dict.fromkeys(benchmark.seeds):
        for entry in entries:
            for setting, fillings in entry.fillings.items():
                for languages, data in fillings:
                    for encoder in encoders:
                        run = _run(entry, setting, languages, data, encoder, seed)
                        for found in _with_teacher(run, teachers.get(entry.source.name)):
                            known = runs.get(found.address, found)
                            runs[found.address] = replace(known, keep=known.keep or found.keep)
    if not runs:
        raise DataError("benchmark: nothing to train in it:\n    " + "\n    ".join(notes), "Name data or settings.")
    return Plan(list(runs.values()), notes)


def _chosen(there: Iterable[str], asked: Sequence[str], key: str, option: str) -> list[str]:
    known = list(there)
    check_names(option, asked, known, key)
    return [name for name in known if not asked or name in asked]


def _entry(name: str, benchmark: Benchmark, notes: list[str]) -> _Entry:
    settings = benchmark.data[name]
    training = None
    if settings.train_on is not None:
        if settings.train_on == name:
            raise DataError(f"benchmark.data.{name}.train_on: the benchmark itself", "Leave it out.")
        training = benchmark.data.get(settings.train_on, BenchmarkData())
    source = Source(name, settings, training)
    loaded = source.load()
    notes += [f"{name}: {note}" for note in loaded.notes]
    task = find_task(loaded.task)
    finetune = settings.finetune.for_task(loaded.task)
    finetune = finetune.model_copy(update={"precision": resolved_precision(finetune.precision)})
    fillings: dict[str, list[tuple[tuple[str, ...], dict[str, Splits]]]] = {}
    if not any(splits.test for splits in loaded.languages.values()):
        notes.append(f"{name}: nothing is trained on it, because no language has a test part")
        return _Entry(source, loaded, finetune, fillings)
    for setting in dict.fromkeys(benchmark.settings):
        found, said = _fillings(setting, loaded, benchmark)
        notes += [f"{name}, {setting}: {note}" for note in said]
        for languages, data in found:
            try:
                check_data(task, data, finetune)
            except DataError as error:
                place = f"benchmark.data.{name}, {setting}, {' '.join(languages)}"
                raise DataError(f"{place}: {error.message}", error.fix) from None
        fillings[setting] = found
    return _Entry(source, loaded, finetune, fillings)


def _fillings(
    setting: str, loaded: LoadedData, benchmark: Benchmark
) -> tuple[list[tuple[tuple[str, ...], dict[str, Splits]]], list[str]]:
    """What is trained together in a setting, with the parts that are used; and notes on what is left out."""
    there = loaded.languages
    tested = {language: splits for language, splits in there.items() if splits.test}
    trained = [language for language, splits in tested.items() if splits.train]
    if setting == "zero-shot":
        sources = [code for code in benchmark.zero_shot_from if code in there and there[code].train]
        lacking = [code for code in benchmark.zero_shot_from if code not in sources]
        notes = [f"no training part in {' '.join(lacking)}"] if lacking else []
        return [((code,), parts_for((code,), {**tested, code: there[code]})) for code in sources], notes
    if setting == "mono":
        if set(loaded.mono) >= set(there):
            return [], ["left out: no part of it is in two languages at once, so it would be the same as all"]
        trained = [language for language in trained if language in loaded.mono]
        tested = {language: splits for language, splits in tested.items() if language in loaded.mono}
    untested = [language for language, splits in there.items() if splits.train and not splits.test]
    notes = [f"left out, for want of a test part: {' '.join(untested)}"] if untested else []
    if not trained:
        ways = "`split = true` makes parts of what is there, `train_on` names another benchmark to train on"
        return [], [*notes, f"left out: no language has both a training and a test part; {ways}"]
    if setting == "each":
        return [((language,), {language: there[language]}) for language in trained], notes
    if setting == "all" and list(tested) == trained and len(trained) == 1 and "each" in benchmark.settings:
        return [], [*notes, "left out: there is only one language, so it would be the same as each"]
    return [(tuple(trained), parts_for(trained, tested))], notes


def _run(
    entry: _Entry, setting: str, languages: tuple[str, ...], data: Mapping[str, Splits], encoder: Encoder, seed: int
) -> Run:
    return Run(
        benchmark=entry.source.name,
        title=entry.loaded.title,
        task=entry.loaded.task,
        encoder=encoder,
        setting=setting,
        languages=languages,
        seed=seed,
        settings=entry.settings,
        source=entry.source,
        data=data,
    )


def _with_teacher(run: Run, teacher: Encoder | None) -> list[Run]:
    """The run, after that of its teacher if it has one; the teacher itself learns from the labels alone."""
    if teacher is None:
        return [run]
    lesson = run.settings.model_copy(update={"distillation": None})
    taught = replace(run, encoder=teacher, settings=lesson, keep=True)
    if run.encoder.fingerprint == teacher.fingerprint:
        return [replace(taught, encoder=run.encoder)]
    return [taught, replace(run, teacher=taught.address)]
