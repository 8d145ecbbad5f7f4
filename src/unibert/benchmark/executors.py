"""Where runs are done: in this process, in processes beside it, on a Ray cluster, as a Slurm array.

Each executor only sees to it that every run is attempted; what came out stands in the files (`worker.perform`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from unibert.benchmark.run import Run, finished, write_work
from unibert.benchmark.worker import (
    freeze_what_is_loaded,
    perform,
    perform_work,
    read_failure,
    short_collections,
    write_failure,
)
from unibert.crew import Crew
from unibert.errors import UniBertError
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
        _side_by_side(runs, settings.workers, folder, progress)
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


def _side_by_side(runs: Sequence[Run], workers: int, folder: Path, progress: Progress) -> None:
    """Attempt every run in processes of this machine, each of which does one run after the other.

    A run whose process is killed is done once more after all others, with nothing beside it.
    """
    by_address = {run.address: run for run in runs}

    def attempt(addresses: Sequence[str], side_by_side: int) -> list[str]:
        threads = max(1, usable_cores() // side_by_side)
        crew: Crew[str] = Crew(side_by_side, _prepare, (folder, threads), _cannot_start)
        return crew.run(
            addresses,
            done=lambda address: progress.end(by_address[address]),
            show=progress.show,
            begun=lambda address: progress.begin(by_address[address]),
        )

    # The longest first, so that no process is left with a long one at the end.
    for address in attempt(sorted(by_address, key=lambda address: -by_address[address].samples), workers):
        if attempt([address], 1):
            write_failure(folder, address, str(by_address[address]), KILLED)
        progress.end(by_address[address])


def _prepare(number: int, folder: Path, threads: int) -> Callable[[str, Callable[[int], None]], object]:
    os.environ["OMP_NUM_THREADS"] = str(threads)
    _use_gpu(number)
    import torch

    torch.set_num_threads(threads)
    freeze_what_is_loaded()

    def run(address: str, advance: Callable[[int], None]) -> None:
        try:
            perform_work(folder, address, advance)
        except Exception as error:  # not even the failure could be written
            raise UniBertError(
                f"a run could not be written down: {type(error).__name__}: {error}", "Check the folder and the disk."
            ) from error

    return run


def _cannot_start(code: int | None) -> UniBertError:
    return UniBertError(
        f"a process for fine-tunings could not be started (exit code {code})",
        "Set benchmark.executor.workers to a smaller number; a script of your own needs its "
        '`if __name__ == "__main__":`.',
    )


def _use_gpu(number: int) -> None:
    """Where there are several GPUs, see only one of them: with each process its own, as far as they go."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = visible.split(",") if visible else [str(gpu) for gpu in range(torch.cuda.device_count())]
    if len(gpus) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
