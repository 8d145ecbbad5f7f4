"""How fast this machine multiplies matrices: measured, because data sheets tell neither threads nor power limits."""

from __future__ import annotations

import math
import time
from functools import cache

import torch

_SMALLEST, _LARGEST = 512, 8192
"""Sides of the square matrices; three of the largest take 400 MB in bfloat16."""
_REPEATS = 5
_ENOUGH = 0.02
"""Seconds: products that take this long are large enough that starting them costs nothing."""


def matrix_peak(device: torch.device | str, dtype: torch.dtype) -> float:
    """The best rate at which PyTorch multiplies square matrices here, in floating point operations per second.

    With as many threads as the process has now, in under a second, once per process and setting. The caller's random
    state is left alone.

    Args:
        device: of the run.
        dtype: number format of the run's matrix products.

    Returns:
        The rate; NaN where nothing could be measured (no such device, no memory).
    """
    return _measured(str(device), dtype, torch.get_num_threads())


@cache
def _measured(device: str, dtype: torch.dtype, threads: int) -> float:
    """`threads` only tells measurements apart."""
    best = math.nan
    try:
        with torch.inference_mode(), torch.autocast(torch.device(device).type, enabled=False):
            side = _SMALLEST
            while side <= _LARGEST:
                seconds = _fastest_product(side, torch.device(device), dtype)
                rate = 2 * side**3 / max(seconds, 1e-9)
                best = rate if math.isnan(best) else max(best, rate)
                if seconds > _ENOUGH:
                    break
                side *= 2
    # No such device or no memory for the larger matrices: what was measured before stands.
    except (RuntimeError, AssertionError, ValueError):
        pass
    return best


def _fastest_product(side: int, device: torch.device, dtype: torch.dtype) -> float:
    """Seconds of the fastest of some products; the rest were disturbed by something else."""
    # Random numbers, because hardware is faster on zeros; from a generator of their own.
    generator = torch.Generator(device).manual_seed(0)
    left, right = (torch.randn(side, side, generator=generator, device=device).to(dtype) for _ in range(2))
    result = torch.mm(left, right)  # libraries choose and load their code in the first call
    fastest = math.inf
    for _ in range(_REPEATS):
        _wait(device)
        began = time.perf_counter()
        torch.mm(left, right, out=result)
        _wait(device)
        fastest = min(fastest, time.perf_counter() - began)
        if fastest > 2 * _ENOUGH:
            break  # a slow machine: once is enough
    return fastest


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
