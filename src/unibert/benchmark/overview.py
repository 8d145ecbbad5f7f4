"""What a benchmark consists of and how far it is, with an estimate of the time it still takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from unibert.benchmark.columns import aligned
from unibert.benchmark.plan import Plan
from unibert.benchmark.run import Run, finished
from unibert.benchmark.schema import Result, load_result
from unibert.benchmark.scores import setting_label
from unibert.benchmark.worker import read_failure
from unibert.progress import brief_duration

Rates = Mapping[tuple[str, ...], float]


def format_plan(planned: Plan, folder: Path, workers: int) -> str:
    """The runs by benchmark, model and setting, how many of them are finished, and how long the others will take.

    Args:
        planned: from `plan`.
        folder: of the benchmark; its results tell what is finished and how fast models are here.
        workers: runs side by side.
    """
    groups: dict[tuple[str, str, str], list[Run]] = defaultdict(list)
    for run in planned.runs:
        groups[run.benchmark, run.encoder.name, setting_label(run.setting, run.languages)].append(run)
    rates = measured_rates(results_in(folder))
    table = [["benchmark", "model", "setting", "runs", "finished", "failed", "to do", "samples to do", "time"]]
    waiting: list[Run] = []
    failed = 0
    for group, runs in groups.items():
        missing = [run for run in runs if finished(run, folder) is None]
        bad = [run for run in missing if read_failure(folder, run.address) is not None]
        to_do = [run for run in missing if run not in bad]
        waiting += to_do
        failed += len(bad)
        counts = [len(runs), len(runs) - len(missing), len(bad), len(to_do), sum(run.samples for run in to_do)]
        table.append([*group, *(f"{count:,}" for count in counts), _time(to_do, rates)])
    lines = [*aligned(table, left=3), ""]
    lines += [f"note: {note}" for note in dict.fromkeys(planned.notes)]
    if failed:
        lines.append(f"{failed} failed before; --retry-failed does them again.")
    return "\n".join([*lines, _total(waiting, rates, workers)])


def results_in(folder: Path) -> list[Result]:
    """Every usable result of a benchmark's folder, of this plan or an earlier one."""
    found = (load_result(path) for path in sorted((folder / "results").glob("*.json")))
    return [result for result in found if isinstance(result, Result)]


def measured_rates(results: Iterable[Result]) -> dict[tuple[str, ...], float]:
    """Samples per second of finished runs, tests included, by model and benchmark, and by model and task."""
    samples: dict[tuple[str, ...], float] = defaultdict(float)
    seconds: dict[tuple[str, ...], float] = defaultdict(float)
    for result in results:
        for key in _keys(result.model_fingerprint, result.benchmark, result.task, str(result.settings.get("method"))):
            samples[key] += result.samples
            seconds[key] += result.seconds
    return {key: samples[key] / seconds[key] for key in samples if samples[key] and seconds[key]}


def _keys(model: str, benchmark: str, task: str, method: str) -> list[tuple[str, ...]]:
    """What a rate holds for, the closest first."""
    return [("benchmark", model, method, benchmark), ("task", model, method, task)]


def seconds_for(run: Run, rates: Rates) -> float | None:
    """How long a run will take; None where no run of its model on its task has been finished."""
    for key in _keys(run.encoder.fingerprint, run.benchmark, run.task, run.settings.method):
        if key in rates:
            return run.samples / rates[key]
    return None


def _time(runs: list[Run], rates: Rates) -> str:
    if not runs:
        return "-"
    found = [seconds_for(run, rates) for run in runs]
    known = [seconds for seconds in found if seconds is not None]
    return brief_duration(sum(known)) if len(known) == len(found) else "?"


def _total(runs: list[Run], rates: Rates, workers: int) -> str:
    if not runs:
        return "Nothing is to be done."
    found = [seconds_for(run, rates) for run in runs]
    known = [seconds for seconds in found if seconds is not None]
    beside = f", {workers} side by side" if workers > 1 else ""
    told = f"{len(runs):,} run{'' if len(runs) == 1 else 's'} to do{beside}"
    if not known:
        return f"{told}; how long they take is not known yet: no run of these models on these tasks is finished here."
    # Runs that share a machine are slower than those the rates come from; on other machines they are not.
    about = f"{told}; about {brief_duration(sum(known) / min(workers, len(runs)))}, at the pace of finished runs"
    lacking = len(found) - len(known)
    return f"{about}." if not lacking else f"{about}, and {lacking:,} more of models or tasks whose pace is not known."
