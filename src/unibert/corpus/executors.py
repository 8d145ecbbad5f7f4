"""Running tasks side by side, by datatrove's executors: here, on a Ray cluster, or as a Slurm array.

What is datatrove's: the executors' settings, a log file and a mark of completion per task, the Slurm script. What is
ours: which tasks there are to run (those whose result is missing, whatever marks are left), the progress bar, Ctrl-C,
and what happens when a process is killed. datatrove's local executor waits for ever in that case, and so does a task
of its Ray executor, because both run their tasks in a `multiprocess.Pool`, which replaces a dead process but not the
task that died with it.
"""

from __future__ import annotations

import contextlib
import os
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from datatrove.executor.base import PipelineExecutor
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from loguru import logger

from unibert.crew import Crew
from unibert.errors import DataError
from unibert.files import telling_of_full_disk
from unibert.progress import progress_bar
from unibert.recipe import Executor
from unibert.runs import usable_cores

_VISIBLE_WITHIN = 60.0
"""Seconds that a network file system may take to show a file that another machine has written."""


class Task(Protocol):
    """A piece of work that can be shipped to another process (picklable) and leaves its result in a file."""

    @property
    def name(self) -> str:
        """For logs and messages; no two tasks of a run have the same."""

    @property
    def size(self) -> int:
        """How much work it is, in the unit of the progress bar."""

    def finished(self) -> bool:
        """Whether its result is there and is what this very task would make."""

    def run(self, advance: Callable[[int], None]) -> None:
        """Do the work.

        Args:
            advance: may be told how much of `size` has been done since the last call.
        """


def run_tasks(
    tasks: Sequence[Task], settings: Executor, workers: int | None, folder: Path, label: str, unit: str = "B"
) -> list[Task]:
    """Run the tasks that are not finished.

    A task whose process is killed is run once more after all the others, with nothing beside it; if it is killed
    again, it is given up and the others stand. An exception in a task ends the whole run. With one worker here, which
    is this process, nobody is left to see that it is killed; on Slurm both are tasks without a result, which end the
    run when the job has ended.

    Args:
        tasks: in any order; the largest are started first.
        settings: which executor, and its options.
        workers: tasks side by side; when None, one per usable core (local) or as many as there is room for.
        folder: gets datatrove's logs.
        label: what is being done, for the progress bar.
        unit: of the tasks' sizes.

    Returns:
        The tasks that were given up.

    Raises:
        DataError: the executor cannot be used (no Ray, no Slurm), or a Slurm job has ended without its results.
        Interrupted: Ctrl-C while Slurm works; its job goes on.
    """
    pending = sorted((task for task in tasks if not task.finished()), key=lambda task: -task.size)
    total = sum(task.size for task in tasks)
    with progress_bar(total, label, unit, unit_scale=True) as bar:
        bar.update(total - sum(task.size for task in pending))
        if not pending:
            return []
        folder.mkdir(parents=True, exist_ok=True)
        step, progress = RunTask(pending), Progress(bar, [task.size for task in pending])
        given_up: list[int] = []
        logger.remove()  # datatrove tells the terminal too
        if settings.kind == "local":
            with telling_of_full_disk(folder):  # datatrove's logs may be what finds no room
                given_up = LocalExecutor(step, workers or usable_cores(), folder).run_all(progress)
        elif settings.kind == "ray":
            from unibert.corpus.clusters import run_on_ray

            given_up = run_on_ray(step, settings, workers, folder, progress)
        else:
            from unibert.corpus.clusters import run_on_slurm

            run_on_slurm(step, settings, workers, folder, progress)
        if settings.kind != "local":
            _wait_until_visible([task for rank, task in enumerate(pending) if rank not in given_up])
    return [pending[rank] for rank in given_up]


class RunTask(PipelineStep):
    """datatrove's view of the work: a pipeline of one step, which runs the task of its rank."""

    type = "UniBERT"
    name = "one task"

    def __init__(self, tasks: Sequence[Task]) -> None:
        super().__init__()
        self.tasks = list(tasks)
        self.advance: Callable[[int], None] = _ignore

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> None:
        """Run the task of this rank; there are no documents to pass on."""
        logger.info(f"task {self.tasks[rank].name}")
        self.tasks[rank].run(self.advance)


class Progress:
    """Shows how much of the pending tasks is done."""

    def __init__(self, bar: Any, sizes: Sequence[int]) -> None:
        self.bar = bar
        self._sizes, self._start, self._done = sizes, bar.n, 0
        self.finished: set[int] = set()

    def done(self, rank: int) -> None:
        """A task has ended well."""
        if rank not in self.finished:
            self.finished.add(rank)
            self._done += self._sizes[rank]

    def show(self, under_way: int = 0) -> None:
        """Move the bar to the finished tasks and so much of those under way; back, if one of them was killed."""
        self.bar.update(self._start + self._done + under_way - self.bar.n)


class QuietTasks(PipelineExecutor):
    """An executor that writes its log into its folder only, and runs every rank that it is told to.

    datatrove's also goes to the terminal, traceback included, and its Ray executor keeps logs in a folder of /tmp that
    belongs to whoever was first.
    """

    def _run_for_rank(self, rank: int, local_rank: int = 0, node_rank: int = -1) -> Any:
        # datatrove adds sys.stderr as it is at that moment to its logger.
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
            try:
                return PipelineExecutor._run_for_rank(self, rank, local_rank, node_rank)
            finally:
                logger.remove()


class WatchedTasks(QuietTasks):
    """An executor that sees when the process of a task is killed."""

    def run_all(self, progress: Progress) -> list[int]:
        """Run every rank; returns those that were given up."""
        killed = self._side_by_side(list(range(self.world_size)), progress)
        return [rank for rank in killed if self._side_by_side([rank], progress)]

    @abstractmethod
    def _side_by_side(self, ranks: list[int], progress: Progress) -> list[int]:
        """Run some ranks; returns those whose process was killed."""


class LocalExecutor(WatchedTasks, LocalPipelineExecutor):
    """Processes of this machine; this very process, if there is to be only one worker."""

    def __init__(self, step: RunTask, workers: int, folder: Path) -> None:
        tasks = len(step.tasks)
        super().__init__([step], tasks, min(workers, tasks), str(folder.absolute()), skip_completed=False)
        self._step, self._here = step, workers == 1

    def _side_by_side(self, ranks: list[int], progress: Progress) -> list[int]:
        if self._here:
            for rank in ranks:
                self._step.advance = progress.bar.update
                self._run_for_rank(rank)
                progress.done(rank)
                progress.show()
            return []
        crew: Crew[int] = Crew(self.workers, _prepare, (self,), _cannot_start)
        return crew.run(ranks, progress.done, progress.show)


def _prepare(number: int, executor: LocalExecutor) -> Callable[[int, Callable[[int], None]], object]:
    def run(rank: int, advance: Callable[[int], None]) -> None:
        executor._step.advance = advance
        executor._run_for_rank(rank)

    return run


def _cannot_start(code: int | None) -> DataError:
    return DataError(
        f"a process that reads files could not be started (exit code {code})",
        'Set corpus.workers to a smaller number; a script of your own needs its `if __name__ == "__main__":`.',
    )


def _ignore(size: int) -> None:
    pass


def _wait_until_visible(tasks: Sequence[Task]) -> None:
    """Another machine says that these are finished; wait until their results can be seen here."""
    end = time.monotonic() + _VISIBLE_WITHIN
    for task in tasks:
        while not task.finished():
            if time.monotonic() > end:
                raise DataError(
                    f"{task.name}: finished on another machine, but its result cannot be seen here",
                    "The recipe's folder and the input must be on a file system that all machines share.",
                )
            time.sleep(0.5)
