"""One process or many: the little that the loop has to know about it.

`torchrun --nproc-per-node N -m unibert pretrain RECIPE` sets the environment that `join` reads. Gloo on CPUs, NCCL on
GPUs.
"""

from __future__ import annotations

import atexit
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from unibert.errors import UniBertError
from unibert.models.precision import best_device

# Gloo raises a plain RuntimeError, with the path of its source in the message.
_LOST = re.compile(r"gloo|nccl|connection (closed|reset|refused)|broken pipe|timed out", re.IGNORECASE)


@dataclass(frozen=True)
class Team:
    """This process among its fellows."""

    rank: int
    size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Only the first process writes files and shows progress."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Add a tensor over all processes, in place."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def gather_in_first(self, values: Tensor) -> Tensor:
        """The sum over all processes on the first one, zeros on the others: nothing is counted twice later."""
        self.sum(values)
        return values if self.is_first else torch.zeros_like(values)

    def totals(self, *numbers: int) -> list[int]:
        """Add whole numbers over all processes."""
        if self.size == 1:
            return list(numbers)
        return [int(value) for value in self.sum(torch.tensor(numbers, dtype=torch.int64, device=self.device)).tolist()]

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any process; all agree on the answer."""
        return self.totals(int(flag))[0] > 0

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            distributed.barrier()

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module with its gradients averaged over the processes after each backward pass."""
        if self.size == 1:
            return module
        device_ids = [self.device] if self.device.type == "cuda" else None
        # The buffers are constants (positions, token types).
        return DistributedDataParallel(module, device_ids=device_ids, forward_sync_buffers=False)


def without_synchronisation(module: nn.Module, skip: bool) -> nn.Module:
    """The module to run: the inner one, whose gradients add up here, where another micro-batch of the step follows.

    Not DDP's `no_sync`: its forward may talk to the other processes all the same. These may have another number of
    micro-batches, and with several students everyone would wait for another message, for ever. So each member's DDP is
    run once per step, in the same order everywhere.
    """
    return module.module if skip and isinstance(module, DistributedDataParallel) else module


def join() -> Team:
    """Join the processes that `torchrun` started, once per process; alone without it.

    The group stays until the process ends: under plain `torchrun` a second group could not find its fellows, and a
    recipe may train a teacher and a student in one go.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    device = best_device()
    if size == 1 and not distributed.is_initialized():
        return Team(0, 1, device)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    if not distributed.is_initialized():
        # Who hangs is given up after this; NCCL's own 10 minutes are short for a save to a slow disk.
        patience = timedelta(minutes=30)
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=patience)
        atexit.register(distributed.destroy_process_group)
    return Team(distributed.get_rank(), distributed.get_world_size(), device)


def spread(values: Sequence[float], team: Team) -> list[float]:
    """Add floats over all processes."""
    return [float(value) for value in team.sum(torch.tensor(values, dtype=torch.float64, device=team.device)).tolist()]


@contextmanager
def telling_of_lost_fellows(team: Team) -> Iterator[None]:
    """What fails in this block because another process of the team is gone, or hangs, is told as that.

    Raises:
        UniBertError: instead of what Gloo and NCCL raise.
    """
    try:
        yield
    except RuntimeError as error:
        if team.size == 1 or not (isinstance(error, distributed.DistError) or _LOST.search(str(error))):
            raise
        reason = re.sub(r"^\[[^]]*\]\s*", "", str(error)).splitlines()[0].partition(". ")[0]
        raise UniBertError(
            f"process {team.rank} of {team.size}, counted from 0: another one has ended or does not answer ({reason})",
            "What the first one that ended said is the reason. Start all of them again with the same command: they go "
            "on from the newest checkpoint.",
        ) from error
