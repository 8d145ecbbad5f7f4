"""Checkpoints: whole or not there, verified by checksum, a few kept, nothing unpickled.

A checkpoint is a folder `step-NNNNNNNNN`: one `NAME.safetensors` per module, one `NAME.optimizer.pt` per optimizer, and
`state.json` with the progress and the checksums of the others, sealed by a checksum of its own.
"""

from __future__ import annotations

import contextlib
import errno
import json
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from torch.optim import Optimizer

from unibert.errors import DataError, UniBertError
from unibert.files import (
    atomic_folder,
    fingerprint,
    read_json,
    remove_folder,
    remove_leftovers,
    sha256_of_file,
    telling_of_full_disk,
)
from unibert.runs import RUN_FILE

SCHEMA = 2
_STATE = "state.json"
_SEAL = "fingerprint"
_NAME = re.compile(r"step-\d{9,}")
_ANOTHER_RUN = "Give this run another folder, or delete that one to start again."


@dataclass(frozen=True)
class Progress:
    """How far a run has come; with the weights and the optimizers, all that a resumed run needs.

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
    unlogged_measures: dict[str, list[float]] = field(default_factory=dict)
    """By name of the student, sums of `MEASURES` over these steps."""


def save_checkpoint(
    folder: Path,
    progress: Progress,
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, Optimizer],
    keep: int,
    run: str | None = None,
) -> Path:
    """Write `folder/step-...` atomically, then remove all but the newest `keep`, and damaged ones that were set aside.

    Args:
        folder: the run's checkpoints.
        progress: where the run stands.
        modules: have the weights.
        optimizers: have their states.
        keep: at least 1.
        run: the run's fingerprint, for `checkpoints_of`.

    Raises:
        UniBertError: no room, or another failure to write, or weights that are not finite; nothing has been removed.
    """
    target = folder / _folder_name(progress.step)
    _check_finite(target, modules)
    remove_leftovers(folder)  # what a killed process was writing
    try:
        with telling_of_full_disk(target), atomic_folder(target) as scratch:
            for name, module in modules.items():
                save_model(module, str(_weights(scratch, name)))
            for name, optimizer in optimizers.items():
                _save_optimizer(_optimizer(scratch, name), optimizer)
            checksums = {path.name: sha256_of_file(path) for path in sorted(scratch.iterdir())}
            state = {"schema": SCHEMA, "run": run, "progress": asdict(progress), "sha256": checksums}
            (scratch / _STATE).write_text(json.dumps({**state, _SEAL: fingerprint(state)}, indent=2), encoding="utf-8")
    except (SafetensorError, OSError) as error:
        raise UniBertError(
            f"{target}: cannot be written ({error}); the checkpoints before it are whole",
            "See to the disk and its permissions and run the same command again: it goes on from the newest one.",
        ) from error
    for old in list_checkpoints(folder)[:-keep]:
        with contextlib.suppress(OSError):  # the next save tries again
            remove_folder(old)
    for damaged in folder.glob("damaged-step-*"):
        shutil.rmtree(damaged, ignore_errors=True)
    return target


def _save_optimizer(path: Path, optimizer: Optimizer) -> None:
    try:
        with path.open("wb") as stream:
            torch.save(optimizer.state_dict(), stream)
    except RuntimeError as error:
        # torch tells of a full disk as "unexpected pos"; the stream has said what it was.
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    found = [path for path in folder.glob("step-*") if _NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def checkpoints_of(folder: Path) -> set[str]:
    """The fingerprints of the runs that saved the checkpoints, as far as they can be read."""
    found: set[str] = set()
    for path in list_checkpoints(folder):
        with contextlib.suppress(_Damaged, OSError):
            run = _read_state(path / _STATE).get("run")
            found |= {run} if run is not None else set()
    return found


def load_newest(
    folder: Path,
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, Optimizer],
    set_aside: bool = True,
    tell: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
    steps: int | None = None,
) -> Progress | None:
    """Restore the newest checkpoint that is whole; None where there has never been one.

    Args:
        folder: the run's checkpoints.
        modules: get the weights.
        optimizers: get their states.
        set_aside: rename damaged checkpoints to `damaged-step-...`; of many processes only one may. They are kept for
            whoever wants to know what happened, until the next checkpoint is saved.
        tell: is told of each damaged checkpoint.
        steps: the length of the run.

    Raises:
        DataError: there are checkpoints, and all of them are damaged; or the newest is whole, but it is not this run's:
            of another version, of other modules or shapes, or beyond the last step.
    """
    for path in reversed(list_checkpoints(folder)):
        try:
            progress, names = _verify(path)
        except _Damaged as damage:
            if set_aside:
                aside = path.with_name(f"damaged-{path.name}")
                shutil.rmtree(aside, ignore_errors=True)
                path.rename(aside)
                tell(f"checkpoint {path} is damaged ({damage}); set aside as {aside.name}, taking the one before it")
            continue
        # Whatever fails from here on (no memory, another run's shapes) is not damage: the checkpoint stays.
        if steps is not None and progress.step > steps:
            raise DataError(f"{path}: is beyond this run's {steps:,} steps", _ANOTHER_RUN)
        _restore(path, names, modules, optimizers)
        return progress
    if any(folder.glob("damaged-step-*")):
        raise DataError(
            f"{folder}: every checkpoint is damaged",
            f"Put back a copy of a checkpoint, or delete {folder.parent} and start again.",
        )
    return None


class _Damaged(Exception):
    """What is wrong with a checkpoint that was whole once."""


def _verify(path: Path) -> tuple[Progress, set[str]]:
    """The progress and the names of the files of a checkpoint that is whole.

    Raises:
        _Damaged: a file is missing, or something else is in it than was written.
        DataError: it is whole, but of another version.
    """
    try:
        state = _read_state(path / _STATE)
        if state["schema"] != SCHEMA:
            raise DataError(
                f"{path}: schema {state['schema']}, but this version reads schema {SCHEMA}",
                f"Go on with the version of UniBERT that began the run; {path.parent.parent / RUN_FILE} names it.",
            )
        progress = Progress(**state["progress"])
        if path.name != _folder_name(progress.step):
            raise _Damaged(f"{_STATE} is that of step {progress.step}")
        for name, expected in state["sha256"].items():
            if not (path / name).is_file():
                raise _Damaged(f"{name} is missing")
            if (actual := sha256_of_file(path / name)) != expected:
                raise _Damaged(f"{name}: checksum {actual[:12]}, expected {expected[:12]}")
    except OSError as error:
        # A bad block of the disk, or another process has just set it aside.
        if error.errno not in (errno.EIO, errno.ENOENT):
            raise
        raise _Damaged(f"it cannot be read: {error}") from None
    return progress, set(state["sha256"])


def _read_state(path: Path) -> dict[str, Any]:
    """A state whose seal holds, or one of the first schema, which had none."""
    try:
        state = read_json(path)
    except DataError as error:
        raise _Damaged(error.message) from None
    if isinstance(state, dict):
        seal = state.pop(_SEAL, None)
        if seal == fingerprint(state) or (seal is None and state.get("schema") == 1):
            return state
    raise _Damaged(f"{path.name} is not what was written")


def _restore(
    path: Path, names: set[str], modules: Mapping[str, nn.Module], optimizers: Mapping[str, Optimizer]
) -> None:
    """Load all files into modules and optimizers; nothing is loaded where one does not fit.

    Raises:
        DataError: the checkpoint is of other modules, or of other shapes.
    """
    wanted = {_weights(path, name).name for name in modules} | {_optimizer(path, name).name for name in optimizers}
    if wanted != names:
        differing = [f"lacks {name}" for name in sorted(wanted - names)] + [
            f"has {name}" for name in sorted(names - wanted)
        ]
        raise DataError(f"{path}: is of another run; it {', '.join(differing)}", _ANOTHER_RUN)
    states = {}
    for name, module in modules.items():
        _check_weights(_weights(path, name), module)
    for name, optimizer in optimizers.items():
        file = _optimizer(path, name)
        states[name] = torch.load(file, map_location="cpu", weights_only=True)
        _check_optimizer(file, states[name], optimizer)
    for name, module in modules.items():
        load_model(module, _weights(path, name))
    for name, optimizer in optimizers.items():
        optimizer.load_state_dict(states.pop(name))


def _check_weights(path: Path, module: nn.Module) -> None:
    with safe_open(path, "pt") as stored:
        found = {key: tuple(stored.get_slice(key).get_shape()) for key in stored.keys()}  # noqa: SIM118
        aliases = set(stored.metadata() or ())  # tied weights are stored once
    wanted = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    for key in sorted(wanted.keys() | found.keys()):
        if wanted.get(key) != found.get(key, wanted.get(key) if key in aliases else None):
            raise DataError(
                f"{path}: is of another run; {key} is {_shape(found.get(key))}, here it is {_shape(wanted.get(key))}",
                _ANOTHER_RUN,
            )


def _check_optimizer(path: Path, state: dict[str, Any], optimizer: Optimizer) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    found = [len(group["params"]) for group in state["param_groups"]]
    wanted = [len(group["params"]) for group in optimizer.param_groups]
    if found != wanted:
        raise DataError(
            f"{path}: is of another run; its groups hold {found} tensors, here they hold {wanted}", _ANOTHER_RUN
        )
    for number, moments in state["state"].items():
        for name, tensor in moments.items():
            shape = tuple(parameters[number].shape)
            if isinstance(tensor, Tensor) and name.startswith("exp_avg") and tuple(tensor.shape) != shape:
                raise DataError(
                    f"{path}: is of another run; {name} of tensor {number} is {_shape(tuple(tensor.shape))}, "
                    f"here it is {_shape(shape)}",
                    _ANOTHER_RUN,
                )


def _check_finite(target: Path, modules: Mapping[str, nn.Module]) -> None:
    for name, module in modules.items():
        for key, parameter in module.named_parameters():
            if not bool(torch.isfinite(parameter).all()):
                good = list_checkpoints(target.parent)
                raise UniBertError(
                    f"{target}: not saved, because {key} of {name} is not a number somewhere; "
                    f"last good checkpoint: {good[-1] if good else 'none yet'}",
                    "Lower the learning rate or lengthen the warm-up; the same command goes on from the newest one.",
                )


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else "x".join(map(str, shape)) or "a single number"


def _folder_name(step: int) -> str:
    return f"step-{step:09d}"


def _weights(folder: Path, name: str) -> Path:
    return folder / f"{name}.safetensors"


def _optimizer(folder: Path, name: str) -> Path:
    return folder / f"{name}.optimizer.pt"
