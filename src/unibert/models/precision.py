"""bfloat16 where the hardware computes in it, float32 elsewhere: probed, never assumed."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch


def best_device() -> torch.device:
    """The GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16 matrices natively (CUDA >= 8.0; AMX or AVX512-BF16 on x86)."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return False
    flags = next((line for line in cpuinfo.read_text(errors="replace").splitlines() if line.startswith("flags")), "")
    return bool({"amx_bf16", "avx512_bf16"} & set(flags.split()))


def resolve_precision(name: str, device: torch.device | None = None) -> torch.dtype:
    """The number format that `auto`, `float32` or `bfloat16` stands for on this device."""
    if name == "auto":
        return torch.bfloat16 if has_fast_bfloat16(device or best_device()) else torch.float32
    return torch.bfloat16 if name == "bfloat16" else torch.float32


def autocast(dtype: torch.dtype, device: torch.device | None = None) -> AbstractContextManager[object]:
    """Matrix products in `dtype`, weights and sums in float32; nothing at all for float32."""
    if dtype == torch.float32:
        return nullcontext()
    return torch.autocast((device or best_device()).type, dtype=dtype)
