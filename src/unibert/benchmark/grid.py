"""The grid: every run of a benchmark that has no result yet, wherever the recipe's executor does it.

A finished run stands as one file under its address and is never repeated. Several processes may work on one grid: each
run is claimed by one of them, and what another one does is waited for.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unibert.benchmark.executors import Progress, run_all
from unibert.benchmark.plan import Plan, plan
from unibert.benchmark.results import RunsFailed, add_to_plan, write_plan
from unibert.benchmark.run import Run, claim_file, failure_file, finished, result_file
from unibert.benchmark.schema import Result
from unibert.benchmark.worker import read_failure
from unibert.files import make_folder, write_json
from unibert.progress import progress_bar
from unibert.recipe import Benchmark
from unibert.runs import claim, shared_work
from unibert.task_settings import GridExecutor

_POLL = 1.0
"""Seconds between two looks at what another process is doing."""


def run_benchmark(
    settings: Benchmark,
    models: Mapping[str, Path | str],
    output: Path,
    *,
    retry_failed: bool = False,
    only_benchmarks: Sequence[str] = (),
    only_models: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Do every run that has no result yet; a failing one does not stop the others.

    Args:
        settings: the recipe's settings.
        models: the folder (or hub name) of `student`, `teacher` and members of a family.
        output: results go to `results/ADDRESS.json` below it, predictions to `predictions/`, what went wrong to
            `failures/ADDRESS.txt`, and the runs of this benchmark, before anything is trained, to `plan.json`: files
            of other addresses stay for the recipe they belong to, and are not shown.
        retry_failed: do again what has failed before.
        only_benchmarks: when given, only these; the others' results stay in the plan.
        only_models: when given, only these; likewise.

    Returns:
        The results as they stand in the files, in the order of the plan.

    Raises:
        RecipeError: a benchmark or model that the recipe does not have.
        DataError: a data file or model is unusable; nothing was trained.
        RunsFailed: after everything else was done, names the runs that failed and why.
    """
    planned = plan(settings, models, only_benchmarks, only_models)
    described = {run.address: run.described for run in planned.runs}
    make_folder(output)
    with shared_work(output):
        if only_benchmarks or only_models:
            add_to_plan(output, described)
        else:
            write_plan(output, described)
        if retry_failed:
            for run in planned.runs:
                _forget_failure(run, output)
        _do(planned, settings.executor, output)
    return _outcome(planned.runs, output)


def _forget_failure(run: Run, folder: Path) -> None:
    with claim(claim_file(folder, run.address)) as mine:
        if mine:
            failure_file(folder, run.address).unlink(missing_ok=True)


def is_open(run: Run, folder: Path) -> bool:
    """Whether a run has neither a result nor failed."""
    return finished(run, folder) is None and read_failure(folder, run.address) is None


def _do(planned: Plan, executor: GridExecutor, folder: Path) -> None:
    waiting = [run for run in planned.runs if is_open(run, folder)]
    if not waiting:
        return
    for note in dict.fromkeys(planned.notes):
        print(f"note: {note}", file=sys.stderr)
    with progress_bar(sum(run.samples for run in waiting), "benchmark", "sample") as bar:
        progress = Progress(bar, folder, waiting)
        for wave in planned.waves:
            taught = {run.address for run in planned.runs if run.keep and finished(run, folder)}
            left = [run for run in wave if is_open(run, folder) and (run.teacher is None or run.teacher in taught)]
            while left:
                run_all(left, executor, folder, progress)
                left = _awaited([run for run in left if not progress.end(run)], folder, progress)


def _awaited(runs: list[Run], folder: Path, progress: Progress) -> list[Run]:
    """Wait for runs that other processes have claimed; returns those that were given up there."""
    while runs := [run for run in runs if not progress.end(run)]:
        # Looked at again after the claim: the other process may have come to the end just then.
        free = [run for run in runs if _is_free(run, folder) and not progress.end(run)]
        if free:
            return free
        progress.tell(f"waiting for another process, which does {runs[0]}")
        time.sleep(_POLL)
    return []


def _is_free(run: Run, folder: Path) -> bool:
    with claim(claim_file(folder, run.address)) as mine:
        return mine


def _outcome(runs: Sequence[Run], folder: Path) -> list[dict[str, Any]]:
    """The results of all runs.

    Raises:
        RunsFailed: names those that have failed.
    """
    found, failures = [], []
    for run in runs:
        result = finished(run, folder)
        if result is not None:
            found.append(_under_its_name(run, result, folder).as_json())
            continue
        reason = read_failure(folder, run.address)
        if reason is None:
            failures.append(f"{run}: not done, because its teacher's run has failed")
        else:
            failures.append(f"{run}: {reason} (details in {failure_file(folder, run.address)})")
    if failures:
        shown = "\n".join(f"    {failure}" for failure in failures)
        raise RunsFailed(
            f"{len(failures)} of {len(runs)} runs of the benchmark failed:\n{shown}",
            "Mend what is named and give the same command with --retry-failed; finished runs are not repeated.",
        )
    return found


def _under_its_name(run: Run, result: Result, folder: Path) -> Result:
    """The result under this recipe's name of the model and its data, whatever they were called when it was made."""
    names = {"model": run.encoder.name, "title": run.title}
    if all(getattr(result, key) == name for key, name in names.items()):
        return result
    result = result.model_copy(update=names)
    write_json(result_file(folder, run.address), result.as_json())
    return result
