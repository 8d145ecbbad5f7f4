"""The executors of more than one machine: Ray and Slurm. All machines see the same folders."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datatrove.executor.ray import RayPipelineExecutor
from datatrove.executor.slurm import SlurmPipelineExecutor

from unibert.corpus.executors import Progress, QuietTasks, RunTask, WatchedTasks
from unibert.errors import DataError, Interrupted
from unibert.files import read_json, write_json
from unibert.recipe import Executor
from unibert.runs import usable_cores

_POLL = 2.0
"""Seconds between two looks at the queue and the results."""
_GRACE = 60.0
"""Seconds after the end of a job within which its results may still appear."""

# --- Ray ---


def run_on_ray(step: RunTask, settings: Executor, workers: int | None, folder: Path, progress: Progress) -> list[int]:
    """Run all tasks of `step` on a Ray cluster; returns those that were given up."""
    try:
        import ray
    except ImportError:
        raise DataError("corpus.executor.kind 'ray' needs the package ray", "pip install 'unibert[ray]'") from None
    with connected(ray, settings.address, workers, "corpus.executor"):
        see_that_a_task_fits(ray, settings.memory_gb, settings.address, "corpus.executor")
        return RayExecutor(step, settings, workers, folder).run_all(progress)


@contextlib.contextmanager
def connected(ray: Any, address: str | None, workers: int | None, table: str) -> Iterator[None]:
    """Be connected to a Ray cluster; what was started for it is stopped again.

    Args:
        ray: the package.
        address: of the cluster; one on this machine is started for None.
        workers: cores of a cluster that is started; all that are usable when None.
        table: of the recipe where the settings are, for messages.

    Raises:
        DataError: there is no cluster.
    """
    if ray.is_initialized():  # by the program that calls us, and its to stop
        yield
        return
    _see_that_it_answers(address, table)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    handler = signal.getsignal(signal.SIGTERM)
    options: dict[str, Any] = {"address": address or "local", "log_to_driver": False, "logging_level": "error"}
    if address is None:
        options |= {"num_cpus": workers or usable_cores(), "include_dashboard": False}
    try:
        ray.init(**options)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise DataError(
            f"no Ray cluster at {address or 'this machine'} ({str(error).splitlines()[0]})",
            f"Start one with `ray start`, or leave {table}.address unset.",
        ) from None
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)  # Ray has put its own there
    try:
        yield
    finally:
        ray.shutdown()


def _see_that_it_answers(address: str | None, table: str) -> None:
    """Ray itself tries for five minutes."""
    place = re.fullmatch(r"(?:ray://)?\[?([^/]+?)\]?:(\d+)", address or "")
    if place is None:
        return
    try:
        socket.create_connection((place[1], int(place[2])), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise DataError(
            f"no Ray cluster at {address} ({error})",
            f"Start one with `ray start --head`, or leave {table}.address unset.",
        ) from None


def see_that_a_task_fits(ray: Any, memory_gb: float, address: str | None, table: str) -> None:
    """Refuse, or tell, that no node is large enough: Ray waits for one without a word, for ever.

    Raises:
        DataError: the cluster is one of this machine, which will not grow.
    """
    largest = max((n["Resources"].get("memory", 0.0) for n in ray.nodes() if n["Alive"]), default=0.0)
    if largest >= memory_gb * 1e9:
        return
    told = f"a task needs {memory_gb:g} GB, and the largest node of the Ray cluster offers {largest / 1e9:.1f}"
    if address is None:
        raise DataError(told, f"Set {table}.memory_gb lower.")
    print(f"warning: {told}: waiting until there is a larger one ({table}.memory_gb)", file=sys.stderr)


class RayExecutor(WatchedTasks, RayPipelineExecutor):
    """Each task is a Ray task of its own, spread over the nodes."""

    def __init__(self, step: RunTask, settings: Executor, workers: int | None, folder: Path) -> None:
        super().__init__(
            [step],
            tasks=len(step.tasks),
            workers=workers or -1,
            mem_per_cpu_gb=settings.memory_gb,
            logging_dir=str(folder.absolute()),
            skip_completed=False,
        )

    def _side_by_side(self, ranks: list[int], progress: Progress) -> list[int]:
        import ray
        from ray.exceptions import (
            LocalRayletDiedError,
            NodeDiedError,
            OutOfMemoryError,
            RaySystemError,
            RayTaskError,
            WorkerCrashedError,
        )

        options = {"num_cpus": 1, "memory": int(self.mem_per_cpu_gb * 1e9), "max_retries": 0}
        run = ray.remote(_run_rank).options(**options, scheduling_strategy="SPREAD")
        executor = ray.put(self)
        waiting = deque(ranks)
        killed: list[int] = []
        running: dict[Any, int] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self.workers:
                    rank = waiting.popleft()
                    running[run.remote(executor, rank)] = rank
                for ended in ray.wait(list(running), timeout=0.5)[0]:
                    rank = running.pop(ended)
                    try:
                        ray.get(ended)
                    except RayTaskError as error:
                        if isinstance(error.cause, RaySystemError):
                            raise DataError(
                                f"a node of the Ray cluster cannot take up a task ({str(error.cause).splitlines()[0]})",
                                "Install the same version of unibert, and what it needs, on every node.",
                            ) from error
                        raise error.cause from error
                    except (WorkerCrashedError, OutOfMemoryError, NodeDiedError, LocalRayletDiedError):
                        killed.append(rank)
                    else:
                        progress.done(rank)
                progress.show()
        except BaseException:
            for reference in running:
                ray.cancel(reference, force=True)
            raise
        return killed


def _run_rank(executor: RayExecutor, rank: int) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the tasks are the parallelism
    executor._run_for_rank(rank)


# --- Slurm ---


def see_that_slurm_is_here(table: str) -> None:
    """Refuse a machine without Slurm's programs.

    Args:
        table: of the recipe where the executor's settings are, for the message.
    """
    for program in ("sbatch", "squeue"):
        if shutil.which(program) is None:
            raise DataError(
                f"{table}.kind is 'slurm', but there is no `{program}` here",
                "Run the command where Slurm's programs are, or choose another executor.",
            )


def run_on_slurm(step: RunTask, settings: Executor, workers: int | None, folder: Path, progress: Progress) -> None:
    """Submit all tasks of `step` as a Slurm array, or find the array of an earlier command, and wait for the end.

    Raises:
        DataError: no Slurm here, a job that it refuses, tasks that have ended without a result.
        Interrupted: Ctrl-C; the array goes on.
    """
    see_that_slurm_is_here("corpus.executor")
    job = _job_of_earlier_command(step, folder)
    if job is None:
        executor = SlurmExecutor(step, settings, workers, folder)
        try:
            executor.launch_job()
        except subprocess.CalledProcessError as error:
            raise DataError(
                f"sbatch refused the job (exit code {error.returncode}); its reason stands above",
                "Correct corpus.executor (partition, time, memory_gb, sbatch).",
            ) from None
        job = str(executor.job_id)
        write_json(folder / _JOB_FILE, {"id": job, "tasks": [task.name for task in step.tasks]})
    try:
        _wait_for_job(job, step, folder, progress)
    except KeyboardInterrupt:
        raise Interrupted(
            f"{folder}: interrupted; {len(progress.finished)} of {len(step.tasks)} tasks are finished, and Slurm job "
            f"{job} goes on",
            f"Run the same command again to go on from there; `scancel {job}` ends the job.",
        ) from None
    (folder / _JOB_FILE).unlink()


_JOB_FILE = "slurm_job.json"


class SlurmExecutor(QuietTasks, SlurmPipelineExecutor):
    """An array of one task per job; `run` is what a job calls."""

    def __init__(self, step: RunTask, settings: Executor, workers: int | None, folder: Path) -> None:
        programs = f'export PATH="{Path(sys.executable).parent}:$PATH" TOKENIZERS_PARALLELISM=false'
        super().__init__(
            [step],
            tasks=len(step.tasks),
            time=settings.time,
            partition=settings.partition or "",
            workers=workers or -1,
            job_name="unibert",
            qos="",  # the cluster's own default
            env_command=f"{settings.setup}\n{programs}" if settings.setup else programs,
            # In MB, because Slurm takes whole numbers only.
            sbatch_args={"mem-per-cpu": f"{round(settings.memory_gb * 1000)}M", **settings.sbatch},
            job_id_retriever=job_id,
            logging_dir=str(folder.absolute()),
            skip_completed=False,
            with_srun=False,
        )

    def launch_merge_stats(self) -> None:
        """No job for datatrove's statistics: ours come with the results."""


def job_id(answer: str) -> str:
    """`Submitted batch job 17` or, where there are several clusters, `Submitted batch job 17 on cluster x`."""
    number = re.search(r"\d+", answer)
    if number is None:
        raise DataError(f"sbatch did not tell a job number but {answer.strip()!r}")
    return number[0]


def _job_of_earlier_command(step: RunTask, folder: Path) -> str | None:
    """The job that an interrupted command has left, if it still works on these tasks."""
    try:
        found = read_json(folder / _JOB_FILE)
        job, names = str(found["id"]), set(found["tasks"])
    except (DataError, TypeError, KeyError):
        return None
    if job_states(job) is None:
        return None
    if names.issuperset(task.name for task in step.tasks):
        return job
    raise DataError(
        f"{folder}: Slurm job {job} of an earlier command, for other tasks, still works here",
        f"Wait until it has ended, or end it with `scancel {job}`.",
    )


def _wait_for_job(job: str, step: RunTask, folder: Path, progress: Progress) -> None:
    gone_since: float | None = None
    while True:
        states = job_states(job)
        for rank, task in enumerate(step.tasks):
            if rank not in progress.finished and task.finished():
                progress.done(rank)
        progress.show()
        missing = [task.name for rank, task in enumerate(step.tasks) if rank not in progress.finished]
        if not missing:
            return
        if states is None:
            gone_since = gone_since or time.monotonic()
            if time.monotonic() - gone_since > _GRACE:
                shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
                raise DataError(
                    f"Slurm job {job} has ended, but {len(missing)} of {len(step.tasks)} tasks have no result: {shown}",
                    f"Look into {folder / 'slurm_logs'} and {folder / 'logs'} for the reason (time, memory), then run "
                    "the same command again: it goes on with these tasks.",
                )
        else:
            gone_since = None
            progress.bar.set_postfix_str(", ".join(f"{n} {state.lower()}" for state, n in sorted(states.items())))
        time.sleep(_POLL)


def job_states(job: str) -> Counter[str] | None:
    """How many tasks of a job are in each state of the queue; None when Slurm does not know the job any more."""
    asked = subprocess.run(["squeue", "-h", "-r", "-j", job, "-o", "%T"], capture_output=True, text=True)
    if asked.returncode != 0:
        # Anything else, such as a controller that is being restarted, passes.
        return None if "nvalid job id" in asked.stderr else Counter()
    return Counter(asked.stdout.split()) or None
