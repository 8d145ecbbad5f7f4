"""Checkpoints: whole or not there, verified by checksum, a few kept, nothing unpickled."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from torch import nn

from unibert.errors import DataError, UniBertError
from unibert.files import atomic_folder, read_json, sha256_of_file, write_json

_STATE = "state.json"
_OPTIMIZER = "optimizer.pt"


@dataclass(frozen=True)
class Progress:
    """How far a run has come; with the weights and the optimizer, all that a resumed run needs.

    Samples, masks, learning rate and dropout are functions of the step, so none of them has to be saved.
    """

    step: int
    """Steps done."""
    tokens: int
    """Real tokens seen (padding left out)."""
    seconds: float
    """Training time, evaluation and saving left out."""
    language_samples: list[int]
    """Samples seen per language, in the store's order."""
    unlogged_steps: int = 0
    """Steps done since the last line of the log."""
    unlogged_measures: list[float] = field(default_factory=list)
    """Sums of `MEASURES` over these steps."""


def save_checkpoint(
    folder: Path, progress: Progress, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer, keep: int
) -> Path:
    """Write `folder/step-...` atomically, then remove all but the newest `keep`."""
    target = folder / f"step-{progress.step:09d}"
    for scratch in folder.glob(".step-*"):
        shutil.rmtree(scratch, ignore_errors=True)  # what a killed process was writing
    with atomic_folder(target) as scratch:
        try:
            for name, module in modules.items():
                save_model(module, str(scratch / f"{name}.safetensors"))
            torch.save(optimizer.state_dict(), scratch / _OPTIMIZER)
        except (SafetensorError, OSError, RuntimeError) as error:
            raise UniBertError(
                f"{target}: cannot be written ({error}); the checkpoints before it are whole",
                "Make room on the disk and run the same command again: it goes on from the newest one.",
            ) from None
        checksums = {path.name: sha256_of_file(path) for path in sorted(scratch.iterdir())}
        write_json(scratch / _STATE, {"schema": 1, "progress": asdict(progress), "sha256": checksums})
    for old in list_checkpoints(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    return sorted(path for path in folder.glob("step-*") if path.is_dir())


def load_newest(
    folder: Path,
    modules: dict[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    set_aside: bool = True,
    tell: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
) -> Progress | None:
    """Restore the newest checkpoint that is whole; None where there has never been one.

    Args:
        folder: the run's checkpoints.
        modules: get the weights.
        optimizer: gets its state.
        set_aside: rename damaged checkpoints to `damaged-step-...`; of many processes only one may.
        tell: is told of each damaged checkpoint.

    Raises:
        DataError: there are checkpoints, and all of them are damaged.
    """
    for path in reversed(list_checkpoints(folder)):
        try:
            progress = _verify(path)
        except DataError as error:
            if set_aside:
                aside = path.with_name(f"damaged-{path.name}")
                shutil.rmtree(aside, ignore_errors=True)
                path.rename(aside)
                tell(f"checkpoint {path} is damaged ({error.message}); set aside, taking the one before it")
            continue
        # Whatever fails from here on (no memory, say) is not damage: the checkpoint stays where it is.
        optimizer_state = torch.load(path / _OPTIMIZER, map_location="cpu", weights_only=True)
        for name, module in modules.items():
            load_model(module, str(path / f"{name}.safetensors"))
        optimizer.load_state_dict(optimizer_state)
        return progress
    if any(folder.glob("damaged-step-*")):
        raise DataError(f"{folder}: every checkpoint is damaged", "Delete the run's folder and start it again.")
    return None


def _verify(path: Path) -> Progress:
    """The progress of a checkpoint whose files are all there and whole; a DataError says what is wrong with another."""
    state = read_json(path / _STATE)
    try:
        progress, checksums = Progress(**state["progress"]), dict(state["sha256"])
    except (KeyError, TypeError, ValueError):
        raise DataError(f"{_STATE} is not the state of a checkpoint") from None
    for name, expected in checksums.items():
        if not (path / name).is_file():
            raise DataError(f"{name} is missing")
        if (actual := sha256_of_file(path / name)) != expected:
            raise DataError(f"{name}: checksum {actual[:12]}, expected {expected[:12]}")
    return progress
