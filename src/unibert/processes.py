"""A pool of processes that work beside this one, leave Ctrl-C to it, and never outlive it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def process_pool(
    workers: int, initializer: Callable[..., None] | None = None, arguments: tuple[Any, ...] = ()
) -> Iterator[ProcessPoolExecutor]:
    """A pool of fresh (spawned) processes; when the block ends badly they are terminated at once.

    Args:
        workers: how many.
        initializer: called in each process before its first task.
        arguments: for the initializer.
    """
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(workers, context, initializer=_start, initargs=(initializer, arguments))
    try:
        yield executor
        executor.shutdown()
    except BaseException:
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()
        executor.shutdown(cancel_futures=True)
        raise


def in_order(
    executor: ProcessPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """The results in the order of the items; at most `ahead` of them are begun and not yet taken."""
    begun: deque[Future[Result]] = deque()
    for item in items:
        with interrupts_held():  # this may start a process
            begun.append(executor.submit(function, item))
        if len(begun) >= ahead:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Ctrl-C waits while a process is started, which inherits that until `work_for_parent`.

    Without this a worker that is still importing would answer Ctrl-C with a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def work_for_parent() -> None:
    """Make this process a worker: it leaves Ctrl-C to its parent, and ends when the parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes are the parallelism
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _start(initializer: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    work_for_parent()
    if initializer is not None:
        initializer(*arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
