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
