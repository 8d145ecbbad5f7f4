"""A run folder: what was asked for, with which software, whether it is the same run; one process at a time."""

from __future__ import annotations

import contextlib
import errno
import importlib.metadata
import os
import platform
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unibert.errors import DataError, RunMismatch, UniBertError
from unibert.files import fingerprint, make_folder, read_json, remove_leftovers, telling_of_full_disk, write_json

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

RUN_FILE = "run.json"
LOCK_FILE = ".lock"
_PACKAGES = ("unibert", "torch", "transformers", "tokenizers", "numpy", "pyarrow", "datatrove", "seqeval")


def provenance() -> dict[str, Any]:
    """Versions, git commit (of the source tree that runs, if it is one) and hardware."""
    return {"versions": versions(), "commit": git_commit(), "hardware": hardware()}


def versions(packages: Sequence[str] = _PACKAGES) -> dict[str, str]:
    """The version of Python, and of those of the packages that are installed."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """The commit of the checkout this package runs from, with `+changes` if it was edited; None outside one."""
    here = Path(__file__).resolve().parent
    try:
        commit = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, timeout=10
        )
        if commit.returncode != 0:
            return None
        changed = subprocess.run(
            ["git", "-C", str(here), "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return commit.stdout.strip() + ("+changes" if changed.stdout.strip() else "")


def hardware() -> dict[str, Any]:
    """Processor name and the number of cores this process may use."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    return {"processor": name, "cores": usable_cores(), "system": platform.system()}


def usable_cores() -> int:
    """The cores this process may run on (a container's share, not the machine's)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def run_fingerprint(stage: str, identity: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that stand for a run; its results carry them, so that they are known without `run.json`."""
    return fingerprint({"stage": stage, "identity": identity})


def open_run(
    folder: Path, stage: str, identity: Mapping[str, Any], recipe: Mapping[str, Any], results_of: Iterable[str] = ()
) -> str:
    """Claim `folder` for one run of `stage`, or recognise that it already holds this very run.

    Where another run has claimed it and nothing came of that, the claim passes on.

    Args:
        folder: the stage's folder; made if it is not there.
        stage: its name.
        identity: everything that decides the result (settings, seeds, fingerprints of inputs), JSON-like.
            What only concerns logging, threads or paths of output stays out of it.
        recipe: the whole resolved recipe, saved for the reader.
        results_of: fingerprints of the runs that results in the folder are of. Where `run.json` was lost, nothing else
            tells that they are another recipe's.

    Returns:
        The run's fingerprint, 16 hexadecimal digits.

    Raises:
        RunMismatch: the folder holds a run with another identity; the message lists the differences.
        DataError: `run.json` is not one; the disk is full.
    """
    mark = run_fingerprint(stage, identity)
    path = folder / RUN_FILE
    if path.exists():
        found = read_json(path)
        if not isinstance(found, dict) or "fingerprint" not in found:
            raise DataError(f"{path}: not a run file", "Delete the folder or name another one.")
        if found["fingerprint"] == mark:
            return mark
        # Settings that were refused after the claim have left nothing else: who corrects them is to go on here.
        if any(child.name not in (RUN_FILE, LOCK_FILE) for child in folder.iterdir()):
            shown = "\n".join(f"    {line}" for line in list(differences(found.get("identity", {}), identity))[:12])
            raise RunMismatch(
                f"{folder}: holds the {found.get('stage', '?')} run of another recipe; "
                f"what differs (there -> here):\n{shown}",
                "Give the recipe another folder (--set folder=...), or delete this one to start again.",
            )
    strangers = sorted(set(results_of) - {mark})
    if strangers:
        raise RunMismatch(
            f"{folder}: {RUN_FILE} is missing, and the results are those of run {strangers[0]}, while this is {mark}",
            "Correct the recipe, give it another folder (--set folder=...), or delete this one to start again.",
        )
    content = {
        "stage": stage,
        "fingerprint": mark,
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "identity": identity,
        "recipe": recipe,
        **provenance(),
    }
    with telling_of_full_disk(path):
        write_json(path, content)
    return mark


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Be the only process that works in a run's folder, for as long as the block lasts.

    The lock is the kernel's (flock on `.lock`): it is gone with the process, however that ends. What killed processes
    left half written is removed first. Where the file system has no locks, that is told, and the block runs without.

    Args:
        folder: is made if it is not there. Where nothing can be written, there is nothing to lock.

    Raises:
        UniBertError: another process is at work there; names it and its host.
    """
    with telling_of_full_disk(folder):
        make_folder(folder)
        descriptor = _open_lock(folder / LOCK_FILE)
    if descriptor is None:
        yield
        return
    locked = False
    try:
        locked = _lock(descriptor, folder)
        if locked:
            remove_leftovers(folder)
        yield
    finally:
        if locked:
            # An empty file stays. Were it removed, another process might hold a lock on it that nobody can see.
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)
        os.close(descriptor)


def _open_lock(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
    except OSError as error:
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            return None
        raise


def _lock(descriptor: int, folder: Path) -> bool:
    """Take the lock; False where the file system has none."""
    try:
        return _take(descriptor, folder)
    except BlockingIOError:
        holder = os.pread(descriptor, 1000, 0).decode(errors="replace").strip() or "another process"
        raise UniBertError(
            f"{folder}: {holder} is at work here",
            "Wait until it has finished, or stop it: `kill` and its number make it save and leave. The same command "
            "then goes on from there.",
        ) from None


def _take(descriptor: int, place: Path) -> bool:
    """Take the lock and write down whose it is; False where the file system has none.

    Raises:
        BlockingIOError: another process has it.
    """
    try:
        if fcntl is None:
            raise OSError(errno.ENOSYS, "no locks on this system")
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        print(
            f"warning: {place}: cannot be locked ({error.strerror}); see to it that no second process works there",
            file=sys.stderr,
        )
        return False
    with contextlib.suppress(OSError):  # a full disk; the lock holds all the same
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
    return True


@contextmanager
def claim(path: Path) -> Iterator[bool]:
    """Whether this process alone may do what `path` stands for, for as long as the block lasts.

    As `run_lock`, for one of many pieces of work in a folder that several processes share: who comes second is told so
    and may do another piece. Where the file system has no locks, everybody may.

    Args:
        path: the lock's file; it stays, because one that is removed might still be held by a process that nobody sees.
    """
    make_folder(path.parent)
    descriptor = _open_lock(path)
    if descriptor is None:
        yield True
        return
    mine = False
    try:
        with contextlib.suppress(BlockingIOError):
            _take(descriptor, path)
            mine = True
        yield mine
    finally:
        if mine:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)
        os.close(descriptor)


@contextmanager
def shared_work(folder: Path) -> Iterator[None]:
    """Work in a folder where other processes work too, each on what it has claimed.

    Who is alone there first removes what killed processes have left half written.
    """
    make_folder(folder)
    descriptor = _open_lock(folder / LOCK_FILE)
    if descriptor is None or fcntl is None:
        yield
        return
    try:
        with contextlib.suppress(OSError):  # no locks there: nothing is removed
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            else:
                remove_leftovers(folder)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Yield one line per leaf in which two JSON-like trees differ, as `a.b: old -> new`."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(set(old) | set(new), key=str):
            yield from differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
    elif fingerprint(old) != fingerprint(new):
        yield f"{path or 'value'}: {_short(old)} -> {_short(new)}"


def _short(value: Any, width: int = 60) -> str:
    text = "(none)" if value is None else str(value)
    return text if len(text) <= width else text[: width - 3] + "..."
