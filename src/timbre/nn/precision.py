"""Exact float32 or reduced precision: what was asked for and what a device is good at."""

from __future__ import annotations

import torch

from timbre.errors import DeviceError, SettingsError

PRECISIONS = ("auto", "exact", "fast")


def reduced_type(precision: str, device: torch.device | str) -> torch.dtype | None:
    """Return the number type of the fast path on `device`, None for float32.

    "auto" is fast where the device has units for it. Raises SettingsError for another word, DeviceError for "fast" on
    a device without such units, where it would be slower than "exact".
    """
    if precision not in PRECISIONS:
        raise SettingsError(f"the precision is {precision!r}; it must be one of: {', '.join(PRECISIONS)}")
    offered = _offered(torch.device(device))
    if precision == "fast" and offered is None:
        raise DeviceError(f"device {str(device)!r} has no units for bfloat16; use precision auto or exact")
    return None if precision == "exact" else offered


def precision_name(number_type: torch.dtype | None) -> str:
    """Return how to tell a user of a number type."""
    return "exact float32" if number_type is None else f"fast {str(number_type).removeprefix('torch.')}"


def _offered(device: torch.device) -> torch.dtype | None:
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device.type == "cpu" and torch.backends.mkldnn.is_available() and _cpu_has_bfloat16():
        return torch.bfloat16
    return None


def _cpu_has_bfloat16() -> bool:
    """Say whether the processor multiplies bfloat16 itself (AMX or AVX512-BF16)."""
    checks = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
    return any(check is not None and check() for check in checks)
