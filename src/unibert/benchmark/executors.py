"""Where runs are done: in this process, in processes beside it, on a Ray cluster, as a Slurm array.

Each executor only sees to it that every run is attempted; what came out stands in the files (`worker.perform`).
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unibert.benchmark.run import Run, finished, write_work
from unibert.benchmark.worker import perform, perform_work, read_failure, short_collections, write_failure
from unibert.errors import UniBertError
from unibert.processes import interrupts_held, work_for_parent
from unibert.runs import usable_cores
from unibert.task_settings import GridExecutor

KILLED = "its process was killed, twice; perhaps for want of memory"


class Progress:
    """Shows how much of the runs is done.

    Args:
        bar: its total is the samples of all runs.
        folder: of the benchmark.
        runs: all that are to be done.
    """

    def __init__(self, bar: Any, folder: Path, runs: Sequence[Run]) -> None:
        self._bar, self._folder, self._count = bar, folder, len(runs)
        self._ended: set[str] = set()
        self._begun: set[str] = set()
        self._done = self._under_way = 0

    def begin(self, run: Run) -> None:
        """A run is about to be done."""
        self._under_way = 0
        self._begun.add(run.address)
        self._bar.set_description(f"benchmark {len(self._begun)}/{self._count}: {run}")

    def end(self, run: Run) -> bool:
        """A run was attempted; whether it is finished, or has failed, and is not at work in another process."""
        if run.address in self._ended:
            return True
        if finished(run, self._folder):
            self._done += run.samples
        elif (reason := read_failure(self._folder, run.address)) is not None:
            self._bar.write(f"failed: {run}: {reason}", file=sys.stderr)
            self._bar.total -= run.samples
        else:
            return False
        self._ended.add(run.address)
        self.show()
        return True

    def advance(self, samples: int) -> None:
        """So many more samples of the run that was begun last, which is the only one under way."""
        self._under_way += samples
        self.show(self._under_way)

    def show(self, under_way: int = 0) -> None:
        """Move the bar to the finished runs and so many samples of those under way."""
        self._bar.update(self._done + under_way - self._bar.n)

    def tell(self, text: str) -> None:
        """Show what is being waited for."""
        self._bar.set_postfix_str(text)


def run_all(runs: Sequence[Run], settings: GridExecutor, folder: Path, progress: Progress) -> None:
    """Attempt every run; none depends on another.

    Args:
        runs: without result, with their data.
        settings: which executor, and its options.
        folder: of the benchmark.
        progress: is told of everything.

    Raises:
        DataError: the executor cannot be used.
        Interrupted: Ctrl-C while Slurm works; its job goes on.
    """
    if settings.kind == "local" and (settings.workers == 1 or len(runs) == 1):
        _here(runs, folder, progress)
        return
    for run in runs:
        write_work(run, folder)
    if settings.kind == "local":
        _Pool(runs, settings.workers, folder, progress).run()
    elif settings.kind == "ray":
        from unibert.benchmark.clusters import run_on_ray

        run_on_ray(runs, settings, folder, progress)
    else:
        from unibert.benchmark.clusters import run_on_slurm

        run_on_slurm(runs, settings, folder, progress)


def _here(runs: Sequence[Run], folder: Path, progress: Progress) -> None:
    with short_collections():
        for run in runs:
            progress.begin(run)
            perform(run, folder, progress.advance)
            progress.end(run)


class _Pool:
    """Processes of this machine, each of which does one run after the other.

    A run whose process is killed is done once more after all others, with nothing beside it.
    """

    def __init__(self, runs: Sequence[Run], workers: int, folder: Path, progress: Progress) -> None:
        self._runs, self._folder, self._progress = runs, folder, progress
        self._workers = workers

    def run(self) -> None:
        """Attempt every run."""
        # The longest first, so that no process is left with a long one at the end.
        ordered = sorted(self._runs, key=lambda run: -run.samples)
        killed = self._side_by_side(ordered, self._workers)
        for run in killed:
            if self._side_by_side([run], 1):
                write_failure(self._folder, run.address, str(run), KILLED)
            self._progress.end(run)

    def _side_by_side(self, runs: Sequence[Run], workers: int) -> list[Run]:
        """Attempt some runs; returns those whose process was killed."""
        waiting, killed = deque(runs), []
        crew = [_Worker(self._folder, number, workers) for number in range(min(workers, len(runs)))]
        try:
            while any(worker.busy for worker in crew):
                ready = multiprocessing.connection.wait([w.connection for w in crew if w.busy], timeout=0.3)
                for worker in [w for w in crew if w.connection in ready]:
                    alive, done = worker.collect(), worker.run
                    if not alive and done is not None:
                        killed.append(done)
                        crew.remove(worker)
                        if waiting:
                            crew.append(_Worker(self._folder, worker.number, workers))
                        continue
                    if done is not None:
                        self._progress.end(done)
                    if waiting:
                        self._progress.begin(waiting[0])
                    worker.give(waiting.popleft() if waiting else None)
                self._progress.show(sum(worker.samples.value for worker in crew))
        except BaseException:
            for worker in crew:
                worker.process.terminate()
            raise
        finally:
            for worker in crew:
                worker.process.join()
        return killed


class _Worker:
    """A process that does one run after the other."""

    def __init__(self, folder: Path, number: int, workers: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.number = number
        self.connection, theirs = context.Pipe()
        # Without a lock, which a process that is killed would hold for ever: only one side writes at a time.
        self.samples = context.RawValue("q", 0)
        """How much of its run it has done."""
        self.run: Run | None = None
        """What it was given; None before it has said that it is ready."""
        self.busy = True
        arguments = (folder, theirs, self.samples, number, max(1, usable_cores() // workers))
        self.process = context.Process(target=_work, args=arguments, daemon=True)
        with interrupts_held():
            self.process.start()
        theirs.close()  # so that the end of the process is the end of the connection

    def give(self, run: Run | None) -> None:
        """The next run; None if there is none."""
        self.run, self.busy, self.samples.value = run, run is not None, 0
        with contextlib.suppress(OSError):  # it was killed just now, which shows when it is collected
            self.connection.send(run and run.address)

    def collect(self) -> bool:
        """Take its report; False if it was killed in the middle of a run.

        Raises:
            UniBertError: it has ended before its first run, or cannot write into the benchmark's folder.
        """
        try:
            problem = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            if self.run is None:
                raise UniBertError(
                    f"a process for fine-tunings could not be started (exit code {self.process.exitcode})",
                    "Set benchmark.executor.workers to a smaller number; a script of your own needs its "
                    '`if __name__ == "__main__":`.',
                ) from None
            return False
        if problem is not None:
            raise UniBertError(f"a run could not be written down: {problem}", "Check the folder and the disk.")
        return True


def _work(folder: Path, connection: Any, samples: Any, number: int, threads: int) -> None:
    work_for_parent()
    os.environ["OMP_NUM_THREADS"] = str(threads)
    _use_gpu(number)
    import torch

    torch.set_num_threads(threads)

    def advance(done: int) -> None:
        samples.value += done  # nobody else adds to it

    connection.send(None)
    with short_collections():
        while (address := connection.recv()) is not None:
            try:
                perform_work(folder, address, advance)
            except Exception as error:  # not even the failure could be written
                connection.send(f"{type(error).__name__}: {error}")
            else:
                connection.send(None)


def _use_gpu(number: int) -> None:
    """Where there are several GPUs, see only one of them: with each process its own, as far as they go."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = visible.split(",") if visible else [str(gpu) for gpu in range(torch.cuda.device_count())]
    if len(gpus) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
