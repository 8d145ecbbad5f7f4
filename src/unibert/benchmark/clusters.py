"""The executors of more than one machine: Ray and Slurm. All machines see the benchmark's folder and the data."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from unibert.benchmark.executors import KILLED, Progress
from unibert.benchmark.run import Run, claim_file
from unibert.benchmark.worker import perform_work, write_failure
from unibert.corpus.clusters import connected, job_id, job_states, see_that_a_task_fits, see_that_slurm_is_here
from unibert.errors import DataError, Interrupted, UniBertError
from unibert.files import atomic_file, fingerprint, make_folder, read_json, write_json
from unibert.runs import claim, shared_work
from unibert.task_settings import GridExecutor

_TABLE = "benchmark.executor"
_POLL = 2.0
"""Seconds between two looks at the queue and the results."""
_LARGEST_ARRAY = 1000
"""Tasks of an array; Slurm itself refuses more, unless its MaxArraySize was raised."""
_GRACE = 60.0
"""Seconds after the end of a job within which its results may still appear."""

# --- Ray ---


def run_on_ray(runs: Sequence[Run], settings: GridExecutor, folder: Path, progress: Progress) -> None:
    """Attempt every run on a Ray cluster, each as a Ray task of its own.

    Raises:
        DataError: no Ray, no cluster, or a node that cannot take up a task.
    """
    try:
        import ray
    except ImportError:
        raise DataError(f"{_TABLE}.kind 'ray' needs the package ray", "pip install 'unibert[ray]'") from None
    cores = settings.workers * settings.cores if settings.address is None else None
    with connected(ray, settings.address, cores, _TABLE):
        see_that_a_task_fits(ray, settings.memory_gb, settings.address, _TABLE)
        ordered = sorted(runs, key=lambda run: -run.samples)
        for run in _on_ray(ray, ordered, settings, folder.absolute(), progress):
            if _on_ray(ray, [run], settings, folder.absolute(), progress):
                write_failure(folder, run.address, str(run), KILLED)
            progress.end(run)


def _on_ray(ray: Any, runs: Sequence[Run], settings: GridExecutor, folder: Path, progress: Progress) -> list[Run]:
    """Attempt some runs; returns those whose process was killed."""
    from ray.exceptions import (
        LocalRayletDiedError,
        NodeDiedError,
        OutOfMemoryError,
        RaySystemError,
        RayTaskError,
        WorkerCrashedError,
    )

    options: dict[str, Any] = {"num_cpus": settings.cores, "memory": int(settings.memory_gb * 1e9), "max_retries": 0}
    if settings.gpus:
        options["num_gpus"] = settings.gpus
    remote = ray.remote(_on_node).options(**options, scheduling_strategy="SPREAD")
    waiting, killed = deque(runs), []
    running: dict[Any, Run] = {}
    here = os.getcwd()
    try:
        while waiting or running:
            while waiting and len(running) < settings.workers:
                run = waiting.popleft()
                progress.begin(run)
                running[remote.remote(str(folder), run.address, here, settings.cores)] = run
            for ended in ray.wait(list(running), timeout=0.5)[0]:
                run = running.pop(ended)
                try:
                    its_end = ray.get(ended)
                except RayTaskError as error:
                    if isinstance(error.cause, RaySystemError):
                        raise DataError(
                            f"a node of the Ray cluster cannot take up a task ({str(error.cause).splitlines()[0]})",
                            "Install the same version of unibert, and what it needs, on every node.",
                        ) from error
                    raise UniBertError(
                        f"{run}: could not be written down on a node of the Ray cluster ({error.cause})",
                        "The benchmark's folder must be on a file system that all machines share.",
                    ) from error
                except (WorkerCrashedError, OutOfMemoryError, NodeDiedError, LocalRayletDiedError):
                    killed.append(run)
                else:
                    if its_end:
                        _wait_until_visible(run, progress)
    except BaseException:
        for reference in running:
            ray.cancel(reference, force=True)
        raise
    return killed


def _on_node(folder: str, address: str, here: str, cores: int) -> bool:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the tasks are the parallelism
    if Path(here).is_dir():
        os.chdir(here)  # the data's paths may be relative to it
    import torch

    torch.set_num_threads(cores)
    return perform_work(Path(folder), address)


def _wait_until_visible(run: Run, progress: Progress) -> None:
    """A network file system may take a while to show what another machine has written."""
    end = time.monotonic() + _GRACE
    while not progress.end(run) and time.monotonic() < end:
        time.sleep(0.2)


# --- Slurm ---


def run_on_slurm(runs: Sequence[Run], settings: GridExecutor, folder: Path, progress: Progress) -> None:
    """Attempt every run as one task of a Slurm array, and wait; what an earlier command has submitted is waited for.

    Raises:
        DataError: no Slurm here, or a job that it refuses.
        Interrupted: Ctrl-C; the arrays go on.
    """
    see_that_slurm_is_here(_TABLE)
    jobs = _jobs_of_earlier_commands(folder)
    covered = {address for addresses in jobs.values() for address in addresses}
    jobs |= _submit_all([run for run in runs if run.address not in covered], settings, folder)
    try:
        left = _wait_for_jobs(jobs, runs, folder, progress)
        # A run that failed while an earlier command's array went on, and is retried, has no task of its own there.
        again = [run for run in left if run.address in covered]
        if again:
            jobs |= _submit_all(again, settings, folder)
            left = _wait_for_jobs(jobs, left, folder, progress)
    except KeyboardInterrupt:
        raise Interrupted(
            f"{folder}: interrupted; Slurm goes on with job {' and '.join(jobs)}",
            f"Run the same command again to go on from there; `scancel {' '.join(jobs)}` ends it.",
        ) from None
    for run in left:
        _tell_lost(run, jobs, folder)
        progress.end(run)


def work_on_array(folder: Path, array: str, index: int) -> None:
    """What a task of a Slurm array does: the run of its number.

    Args:
        folder: of the benchmark.
        array: the list of runs below `slurm/`.
        index: which of them.

    Raises:
        DataError: there is no such list, or no such number in it.
    """
    path = folder / "slurm" / array / "runs.json"
    addresses = read_json(path)
    if not isinstance(addresses, list) or not 0 <= index < len(addresses):
        raise DataError(f"{path}: no run of number {index} in it", "This is called by Slurm; run `unibert benchmark`.")
    with shared_work(folder):
        perform_work(folder, str(addresses[index]))


def _submit_all(runs: Sequence[Run], settings: GridExecutor, folder: Path) -> dict[str, list[str]]:
    """Submit runs, the largest first, as one array after the other; their addresses by the job's number."""
    addresses = [run.address for run in sorted(runs, key=lambda run: -run.samples)]
    jobs: dict[str, list[str]] = {}
    before: str | None = None
    for start in range(0, len(addresses), _LARGEST_ARRAY):
        chosen = addresses[start : start + _LARGEST_ARRAY]
        before = _submit(chosen, settings, folder, before)
        jobs[before] = chosen
    return jobs


def _submit(addresses: list[str], settings: GridExecutor, folder: Path, before: str | None = None) -> str:
    """Submit an array; returns the job's number.

    Args:
        addresses: of its runs.
        settings: the executor's.
        folder: of the benchmark.
        before: a job that it waits for, so that no more than `settings.workers` tasks are at work.
    """
    name = fingerprint(addresses)
    place = folder.absolute() / "slurm" / name
    make_folder(place / "logs")
    write_json(place / "runs.json", addresses)
    script = place / "array.sh"
    with atomic_file(script) as stream:
        stream.write(_script(len(addresses), settings, folder.absolute(), name, before))
    done = subprocess.run(["sbatch", str(script)], capture_output=True, text=True)
    if done.returncode != 0:
        reason = " ".join(done.stderr.split()) or "no reason given"
        raise DataError(
            f"sbatch refused the job (exit code {done.returncode}): {reason}",
            f"Correct {_TABLE} (partition, time, memory_gb, sbatch).",
        )
    job = job_id(done.stdout)
    write_json(place / "job.json", {"id": job})
    return job


def _script(tasks: int, settings: GridExecutor, folder: Path, array: str, before: str | None = None) -> str:
    options = {
        "job-name": "unibert",
        "partition": settings.partition or "",
        "time": settings.time,
        "array": f"0-{tasks - 1}%{settings.workers}",
        "cpus-per-task": str(settings.cores),
        # In MB, because Slurm takes whole numbers only.
        "mem": f"{round(settings.memory_gb * 1000)}M",
        **({"gpus": str(settings.gpus)} if settings.gpus else {}),
        **({"dependency": f"afterany:{before}"} if before else {}),
        "output": str(folder / "slurm" / array / "logs" / "%A_%a.out"),
        **settings.sbatch,
    }
    command = [sys.executable, "-m", "unibert", "benchmark-worker", str(folder), "--array", array]
    lines = ["#!/bin/bash", *(f"#SBATCH --{key}={value}" for key, value in options.items())]
    lines += [settings.setup] if settings.setup else []
    lines += [
        f"export TOKENIZERS_PARALLELISM=false UNIBERT_QUIET=1 OMP_NUM_THREADS={settings.cores}",
        f"cd {shlex.quote(os.getcwd())}",
        f'exec {shlex.join(command)} --index "$SLURM_ARRAY_TASK_ID"',
    ]
    return "\n".join(lines) + "\n"


def _jobs_of_earlier_commands(folder: Path) -> dict[str, list[str]]:
    """The runs of every array that is still at work here, by the job's number."""
    found = {}
    for path in sorted((folder / "slurm").glob("*/job.json")):
        try:
            job, addresses = str(read_json(path)["id"]), [str(one) for one in read_json(path.parent / "runs.json")]
        except (DataError, TypeError, KeyError):
            continue
        if job_states(job) is not None:
            found[job] = addresses
    return found


def _wait_for_jobs(jobs: Iterable[str], runs: Sequence[Run], folder: Path, progress: Progress) -> list[Run]:
    """Wait until the runs have come to an end, or the jobs have; returns runs that the jobs have left undone."""
    waiting = {run.address: run for run in runs}
    gone_since: float | None = None
    while True:
        states: Counter[str] = Counter()
        known = [found for job in jobs if (found := job_states(job)) is not None]
        for found in known:
            states.update(found)
        waiting = {address: run for address, run in waiting.items() if not progress.end(run)}
        if not waiting:
            return []
        if known:
            gone_since = None
            progress.tell(", ".join(f"{number} {state.lower()}" for state, number in sorted(states.items())))
        else:
            gone_since = gone_since or time.monotonic()
            if time.monotonic() - gone_since > _GRACE:
                return list(waiting.values())
        time.sleep(_POLL)


def _tell_lost(run: Run, jobs: Mapping[str, Iterable[str]], folder: Path) -> None:
    job = [job for job, addresses in jobs.items() if run.address in addresses][-1]
    reason = (
        f"Slurm job {job} ended without a result (time, memory?); its tasks' output is in {folder / 'slurm'}/*/logs"
    )
    with claim(claim_file(folder, run.address)) as mine:
        if mine:  # else it was left to another process, which is still at work
            write_failure(folder, run.address, str(run), reason)
