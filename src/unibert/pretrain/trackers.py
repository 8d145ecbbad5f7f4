"""Experiment trackers (Weights & Biases, Trackio) behind one small face: start, log, finish.

Neither is a dependency. Both know a run again by what `tracker.json` in the run's folder holds, so that a resumed run
goes on in the same curves.
"""

from __future__ import annotations

import contextvars
import importlib
import os
import secrets
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from unibert.errors import DataError, first_line
from unibert.files import read_json, telling_of_full_disk, write_json

TRACKER_FILE = "tracker.json"
_TITLES = {"wandb": "Weights & Biases", "trackio": "Trackio"}


def require_tracker(kind: str | None) -> Any:
    """The tracker's module, or None for no tracker; to be asked before anything that takes long.

    Raises:
        DataError: it is not installed.
    """
    if kind is None:
        return None
    try:
        module = importlib.import_module(kind)
    except ImportError as error:
        if (error.name or kind).partition(".")[0] != kind:
            raise DataError(
                f"tracker {kind}: it is installed, but cannot be imported ({error})", f"pip install --upgrade {kind}"
            ) from error
        module = None
    # A folder called `wandb` in the current one is imported as an empty package where the real one is missing.
    if not hasattr(module, "init"):
        raise DataError(
            f"tracker {kind}: the package {kind} is not installed",
            f"pip install {kind}, or leave the setting `tracker` out; log.jsonl is written in any case.",
        )
    return module


class Tracker:
    """One run in a tracker; more than one may be open at a time.

    Args:
        kind: `wandb` or `trackio`.
        folder: the run's; `tracker.json` is kept there, and wandb's own files.
        name: of the model that is trained.
        config: the whole recipe, shown by the tracker; its `name` groups the runs that belong together.

    Raises:
        DataError: the package is not installed, or the run cannot be started. Where it had been started before, the
            latter is an ordinary exception, since training can go on without.
    """

    def __init__(self, kind: str, folder: Path, name: str, config: Mapping[str, Any] | None = None) -> None:
        module = require_tracker(kind)
        stored = _stored(folder)
        self.resumed = kind in stored
        """Whether the tracker has seen this run before."""
        group = str((config or {}).get("name", "unibert"))
        identifier = secrets.token_hex(4)
        entry = stored.get(kind) or {
            "project": os.environ.get("WANDB_PROJECT", "unibert") if kind == "wandb" else "unibert",
            "name": f"{group}-{name}" if kind == "wandb" else f"{group}-{name}-{identifier}",
            "id": identifier,
        }
        start = _start_wandb if kind == "wandb" else _start_trackio
        try:
            with redirect_stdout(sys.stderr):  # what a command prints is for programs to read
                self._run = start(module, entry, group, dict(config or {}), folder)
        except Exception as error:
            if self.resumed:
                raise
            raise DataError(
                f"tracker {kind}: {_TITLES[kind]} cannot start a run ({first_line(error)})",
                "Log in (`wandb login`), or set WANDB_MODE=offline, or leave the setting `tracker` out."
                if kind == "wandb"
                else "Check what TRACKIO_SPACE_ID or TRACKIO_SERVER_URL name, or leave the setting `tracker` out.",
            ) from error
        if not self.resumed:
            with telling_of_full_disk(folder / TRACKER_FILE):
                write_json(folder / TRACKER_FILE, {**stored, kind: entry})

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Numbers by name at a step; fails as the tracker fails."""
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        """Send what is left and end the run."""
        with redirect_stdout(sys.stderr):
            self._run.finish()


def _start_wandb(module: Any, entry: Mapping[str, str], group: str, config: dict[str, Any], folder: Path) -> Any:
    return module.init(
        project=entry["project"],
        name=entry["name"],
        id=entry["id"],
        resume="allow",
        group=group,
        config=config,
        dir=str(folder),
        reinit="create_new",  # the members of a family are runs of their own, side by side
        settings={"console": "off"},  # progress bars are no log
    )


def _start_trackio(module: Any, entry: Mapping[str, str], group: str, config: dict[str, Any], _: Path) -> Any:
    def start() -> Any:
        return module.init(
            project=entry["project"],
            name=entry["name"],  # is also what it knows a run by
            resume="allow",
            group=group,
            config=config,
            embed=False,
        )

    # It ends the run before in the same context; in an empty one it knows of none, and a family's stay open.
    return contextvars.Context().run(start)


def _stored(folder: Path) -> dict[str, dict[str, str]]:
    path = folder / TRACKER_FILE
    if not path.exists():
        return {}
    found = read_json(path)
    whole = isinstance(found, dict) and all(
        isinstance(entry, dict) and {"project", "name", "id"} <= set(entry) for entry in found.values()
    )
    if not whole:
        raise DataError(f"{path}: not a tracker's file", "Delete it; the tracker starts a new run.")
    return dict(found)
