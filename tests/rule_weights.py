"""Weights of networks too large to record: every array follows from its key, its shape and a seed."""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


def rule_tensor(key: str, shape: list[int], seed: int) -> Tensor:
    """Draw the array of one state-dict key; what kind of parameter it is shows in the key's last part."""
    normal = np.random.default_rng([seed, zlib.crc32(key.encode())]).standard_normal(tuple(shape))
    name, is_matrix = key.rsplit(".", 1)[-1], len(shape) > 1
    if name in {"running_var", "weight_g", "original0"}:
        values = 1 + 0.1 * np.abs(normal)
    elif is_matrix:
        values = normal / math.sqrt(max(1, math.prod(shape[1:])))
    elif name in {"weight", "scale", "gamma"}:
        values = 1 + 0.1 * normal
    else:
        values = 0.1 * normal
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def rmvpe_rule_state(manifest: Path, seed: int) -> dict[str, Tensor]:
    """Build the full-size RMVPE state dict of the manifest, with the norms before the sums halved."""
    state = {}
    for key, (shape, dtype) in json.loads(manifest.read_text())["all_keys"].items():
        if "int" in dtype:
            state[key] = torch.zeros(shape, dtype=torch.int64)
            continue
        halved = key.endswith("conv.4.weight") or (key.startswith("unet") and key.endswith("conv.1.weight"))
        state[key] = rule_tensor(key, shape, seed) * (0.5 if halved else 1.0)
    return state


def hashed_tensor(key: str, shape: list[int]) -> Tensor:
    """Compute the weight of a discriminator from its legacy key, as recorded cases have it, by splitmix64."""
    first = zlib.crc32(key.encode()) << 32
    mixed = (np.arange(1, math.prod(shape) + 1, dtype=np.uint64) + np.uint64(first)) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    even = (mixed >> np.uint64(11)) * 2.0**-52 - 1
    scaled = {"weight_g": 1.5 * (1 + 0.3 * even), "bias": 0.1 * even}.get(key.rsplit(".", 1)[-1], even)
    return torch.from_numpy(scaled.astype(np.float32)).reshape(shape)
