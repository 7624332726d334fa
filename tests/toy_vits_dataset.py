"""A dataset of the packaged encoder, and a tiny so-vits-svc model to train on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from timbre.config.prepare import PACKAGED_ENCODER
from timbre.config.vits_template import HeardContent, new_config

RATE_HZ, HOP_SAMPLES = 44_100, 441
_MODEL = {
    "inter_channels": 4,
    "hidden_channels": 8,
    "filter_channels": 10,
    "n_layers": 1,
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 3, 5]],
    "upsample_initial_channel": 16,
    "gin_channels": 5,
}
_TRAIN = {"batch_size": 2, "segment_size": 10 * HOP_SAMPLES}


def tiny_config(content_width: int, **changes: Any) -> dict[str, Any]:
    """Return the config.json of a tiny network for the speaker eve; `changes` replace keys in their section."""
    heard = HeardContent(PACKAGED_ENCODER, content_width, RATE_HZ, HOP_SAMPLES, {"eve": 0}, vol_aug=False)
    config = new_config(heard)
    config["model"] |= _MODEL
    config["train"] |= _TRAIN
    for key, value in changes.items():
        next(section for section in config.values() if key in section)[key] = value
    return config


def write_tiny_config(path: Path, content_width: int, **changes: Any) -> Path:
    """Write it as a file."""
    path.write_text(json.dumps(tiny_config(content_width, **changes)), encoding="ascii")
    return path
