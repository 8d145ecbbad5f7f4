"""A run folder: what was asked for, with which software, and whether it is the same run as before."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from unibert.errors import DataError, RunMismatch
from unibert.files import fingerprint, read_json, write_json

RUN_FILE = "run.json"
_PACKAGES = ("unibert", "torch", "transformers", "tokenizers", "numpy", "pyarrow", "datatrove", "seqeval")


def provenance() -> dict[str, Any]:
    """Versions, git commit (of the source tree that runs, if it is one) and hardware."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {"versions": versions, "commit": git_commit(), "hardware": hardware()}


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


def open_run(folder: Path, stage: str, identity: Mapping[str, Any], recipe: Mapping[str, Any]) -> str:
    """Claim `folder` for one run of `stage`, or recognise that it already holds this very run.

    Args:
        folder: the stage's folder; made if it is not there.
        stage: its name.
        identity: everything that decides the result (settings, seeds, fingerprints of inputs), JSON-like.
            What only concerns logging, threads or paths of output stays out of it.
        recipe: the whole resolved recipe, saved for the reader.

    Returns:
        The run's fingerprint, 16 hexadecimal digits.

    Raises:
        RunMismatch: the folder holds a run with another identity; the message lists the differences.
    """
    mark = fingerprint({"stage": stage, "identity": identity})
    path = folder / RUN_FILE
    if path.exists():
        found = read_json(path)
        if not isinstance(found, dict) or "fingerprint" not in found:
            raise DataError(f"{path}: not a run file", "Delete the folder or name another one.")
        if found["fingerprint"] != mark:
            shown = "\n".join(f"    {line}" for line in list(differences(found.get("identity", {}), identity))[:12])
            raise RunMismatch(
                f"{folder}: holds the {found.get('stage', '?')} run of another recipe; "
                f"what differs (there -> here):\n{shown}",
                "Give the recipe another folder (--set folder=...), or delete this one to start again.",
            )
        return mark
    write_json(
        path,
        {
            "stage": stage,
            "fingerprint": mark,
            "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "identity": identity,
            "recipe": recipe,
            **provenance(),
        },
    )
    return mark


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
