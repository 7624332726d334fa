"""What the networks of so-vits-svc compute in while they learn."""

from __future__ import annotations

import torch

from timbre.nn.precision import reduced_type


def choose_number_type(
    wanted: torch.dtype | None, wanted_by: str, precision: str, device: torch.device
) -> tuple[torch.dtype, list[str]]:
    """Return what to compute in, and notes for the user.

    "auto" is what a user's settings file, `wanted_by`, asks for, where there is one; any other `precision` counts more.
    float16 gives way where the device is not CUDA, and that is noted. Raises DeviceError for "fast" on a device without
    units for it.
    """
    asked_for = wanted if precision == "auto" else None
    if asked_for is not None and (asked_for != torch.float16 or device.type == "cuda"):
        return asked_for, []
    number_type = reduced_type(precision, device) or torch.float32
    if asked_for is None:
        return number_type, []
    name = str(number_type).removeprefix("torch.")
    return number_type, [f"{wanted_by} asks for float16, which only CUDA has; it is {name} instead"]
