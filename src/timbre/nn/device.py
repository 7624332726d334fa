"""The devices of this machine."""

from __future__ import annotations

import torch

from timbre.errors import DeviceError


def check_device(name: str) -> torch.device:
    """Return the device called `name` (cpu, cuda, cuda:N or mps); raises DeviceError where there is none such here."""
    kind, _, index = name.partition(":")
    counts = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if kind not in counts or (index and not index.isdigit()):
        raise DeviceError(f"the device is {name!r}; it must be cpu, cuda, cuda:N or mps")
    if int(index or 0) >= counts[kind]:
        have = ", ".join(each for each, count in counts.items() if count)
        raise DeviceError(f"the device {name!r} is not available; this machine has: {have}")
    return torch.device(name)
