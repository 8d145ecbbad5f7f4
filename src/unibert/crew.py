"""Processes of this machine that do one item after the other, any of which may be killed."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import pickle
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from unibert.errors import UniBertError
from unibert.processes import interrupts_held, work_for_parent

Item = TypeVar("Item")
Do = Callable[[Any, Callable[[int], None]], object]
"""Does an item; may tell how much of it is done since it last told."""


class Crew(Generic[Item]):
    """So many processes, each of which takes the next item when it is done with one.

    A pool of the standard library waits for ever for the item of a process that is killed.

    Args:
        workers: how many.
        prepare: called once in each process, with its number and `arguments`; gives what does an item. A function of
            a module, as the processes are spawned.
        arguments: can be pickled.
        cannot_start: what to raise where a process ends before its first item, by its exit code.
    """

    def __init__(
        self,
        workers: int,
        prepare: Callable[..., Do],
        arguments: tuple[Any, ...],
        cannot_start: Callable[[int | None], UniBertError],
    ) -> None:
        self._workers, self._prepare, self._arguments = workers, prepare, arguments
        self._cannot_start = cannot_start

    def run(
        self,
        items: Sequence[Item],
        done: Callable[[Item], object],
        show: Callable[[int], object],
        begun: Callable[[Item], object] = lambda item: None,
    ) -> list[Item]:
        """Do every item, in this order; returns those whose process was killed.

        Args:
            items: none of them None; can be pickled.
            done: told of each item that has come to its end.
            show: told a few times a second how much of the items under way is done.
            begun: told of each item that is handed out.

        Raises:
            Exception: what an item raised, with the traceback of its process as a note.
            UniBertError: from `cannot_start`.
        """
        waiting, killed = deque(items), []
        crew = [self._worker(number) for number in range(min(self._workers, len(items)))]
        try:
            while any(worker.busy for worker in crew):
                ready = multiprocessing.connection.wait([w.connection for w in crew if w.busy], timeout=0.3)
                for worker in [w for w in crew if w.connection in ready]:
                    alive, item = worker.collect(), worker.item
                    if not alive and item is not None:
                        killed.append(item)
                        crew.remove(worker)
                        if waiting:
                            crew.append(self._worker(worker.number))
                        continue
                    if item is not None:
                        done(item)
                    if waiting:
                        begun(waiting[0])
                    worker.give(waiting.popleft() if waiting else None)
                show(sum(worker.done.value for worker in crew))
        except BaseException:
            for worker in crew:
                worker.process.terminate()
            raise
        finally:
            for worker in crew:
                worker.process.join()
        return killed

    def _worker(self, number: int) -> _Worker[Item]:
        return _Worker(number, self._prepare, self._arguments, self._cannot_start)


class _Worker(Generic[Item]):
    """One process."""

    def __init__(
        self,
        number: int,
        prepare: Callable[..., Do],
        arguments: tuple[Any, ...],
        cannot_start: Callable[[int | None], UniBertError],
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self.number = number
        self._cannot_start = cannot_start
        self.connection, theirs = context.Pipe()
        # Without a lock, which a process that is killed would hold for ever: only one side writes at a time.
        self.done = context.RawValue("q", 0)
        """How much of its item it has done."""
        self.item: Item | None = None
        """What it was given; None before it has said that it is ready."""
        self.busy = True
        self.process = context.Process(target=_work, args=(number, prepare, arguments, theirs, self.done), daemon=True)
        with interrupts_held():
            self.process.start()
        theirs.close()  # so that the end of the process is the end of the connection

    def give(self, item: Item | None) -> None:
        """The next item; None if there is none."""
        self.item, self.busy, self.done.value = item, item is not None, 0
        with contextlib.suppress(OSError):  # it was killed just now, which shows when it is collected
            self.connection.send(item)

    def collect(self) -> bool:
        """Take its report; False if it was killed in the middle of an item.

        Raises:
            UniBertError: it has ended before its first item.
            Exception: what its item raised.
        """
        try:
            error = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            if self.item is None:
                raise self._cannot_start(self.process.exitcode) from None
            return False
        if error is not None:
            raise error
        return True


def _work(number: int, prepare: Callable[..., Do], arguments: tuple[Any, ...], connection: Any, done: Any) -> None:
    work_for_parent()
    do = prepare(number, *arguments)

    def advance(amount: int) -> None:
        done.value += amount  # nobody else adds to it

    connection.send(None)
    while (item := connection.recv()) is not None:
        try:
            do(item, advance)
        except Exception as error:
            connection.send(_that_travels(error))
        else:
            connection.send(None)


def _that_travels(error: Exception) -> Exception:
    """The exception with its traceback as a note; another one that tells the same if it cannot be sent."""
    told = "".join(traceback.format_exception(error))
    try:
        error.add_note(f"in a worker process:\n{told}")
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(told)
    return error
