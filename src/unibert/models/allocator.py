"""Memory that was given back stays with the process: a training step asks for the same amounts again and again."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # from malloc.h


def keep_freed_memory() -> bool:
    """Tell the C library not to return large blocks to the system; False where it is not glibc.

    By default every tensor beyond 32 MB is mapped anew and its pages are cleared at the first touch, in every step: 10
    to 28 % of the time of an encoder on a CPU (2,400 tokens through BERT base, bfloat16: 0.80 s and 0.68 s). The
    process keeps its peak memory until it ends.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, 2**31 - 1))
