"""Stretching features in time onto the frames of the pitch (pipeline spec 1.8)."""

from __future__ import annotations

import logging

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from timbre.errors import AudioError, SettingsError

STRETCH_MODES = ("left", "nearest", "nearest-exact", "linear", "area")

_log = logging.getLogger(__name__)


def stretch(features: Tensor, n_frames: int, mode: str = "left") -> Tensor:
    """Stretch `features` [D, S] (or [B, D, S]) in time to [D, n_frames].

    "left" repeats source frames as so-vits-svc 4.0 did and is the default of configs without the key; it cannot
    skip, so that for n_frames < S it returns the first n_frames source frames (a historic quirk, logged).
    "nearest" is the choice of the 4.1 template; the other modes are those of torch's interpolate.
    Raises SettingsError for an unknown mode and AudioError when there are no source frames.
    """
    if mode not in STRETCH_MODES:
        raise SettingsError(f"the stretch mode is {mode!r}; it must be one of: {', '.join(STRETCH_MODES)}")
    n_source = features.shape[-1]
    if n_source == 0:
        raise AudioError("there are no feature frames to stretch; use a longer sound")
    if n_frames == 0:
        return features[..., :0]
    if mode == "left":
        if n_frames < n_source:
            _log.warning("stretch mode 'left' cannot shrink %d frames to %d; the end is cut off", n_source, n_frames)
        index = torch.from_numpy(left_source_frames(n_source, n_frames)).to(features.device)
        return features.index_select(-1, index)
    batched = features if features.dim() == 3 else features[None]
    stretched = functional.interpolate(batched, size=n_frames, mode=mode)
    return stretched if features.dim() == 3 else stretched[0]


def left_source_frames(n_source: int, n_frames: int) -> NDArray[np.int64]:
    """Return the source frame of each output frame in mode "left" [n_frames].

    Source frame k starts at t(k) = k * n_frames / n_source, computed in float32 as the original did; a pointer
    walks the output frames and moves on by at most one source frame each.
    """
    source = np.arange(1, n_source)
    starts = (source * n_frames).astype(np.float32) / np.float32(n_source)
    # Moving at most one per frame: start(k) = max(ceil t(k), start(k-1) + 1), a running maximum of start(k) - k.
    late = np.maximum.accumulate(np.ceil(starts).astype(np.int64) - source) if n_source > 1 else source
    reached = source + np.maximum(late, 0)
    return np.searchsorted(reached, np.arange(n_frames), side="right").astype(np.int64)
