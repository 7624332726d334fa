"""Moving pitch between frame grids, and bridging its unvoiced gaps as existing voices expect (pipeline spec 2)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from timbre.pitch.contract import PitchTrack

_UNVOICED_BELOW_HZ = 0.001


def fill_gaps(track: PitchTrack) -> NDArray[np.float32]:
    """Return f0 [T] in Hz with a value in every frame, as so-vits-svc models are fed (pipeline spec 2.1, 2.2).

    Gaps are bridged by straight lines in Hz between voiced frames, the ends hold the nearest voiced value, and
    one voiced frame alone gives a constant. Without any voiced frame the result is 0.
    """
    return bridge(np.where(track.voiced, track.f0_hz, 0)).astype(np.float32)


def bridge(f0_hz: NDArray[Any]) -> NDArray[np.float64]:
    """Fill the frames that are 0 by straight lines between the others [T] -> [T]; see `fill_gaps`."""
    known = np.flatnonzero(f0_hz > 0)
    if len(known) == 0:
        return np.zeros(len(f0_hz))
    return np.interp(np.arange(len(f0_hz)), known, f0_hz[known].astype(np.float64))


def resize(f0_hz: NDArray[Any], n_frames: int) -> NDArray[np.float64]:
    """Read f0 [S] (0 where unvoiced) at `n_frames` even steps by straight lines (pipeline spec 2.6).

    A result that touches an unvoiced neighbour is unvoiced, 0.
    """
    n_source = len(f0_hz)
    if n_source == 0 or n_frames == 0:
        return np.zeros(n_frames)
    values = np.where(f0_hz < _UNVOICED_BELOW_HZ, np.nan, f0_hz).astype(np.float64)
    positions = np.arange(n_frames) * n_source / n_frames
    return np.nan_to_num(np.interp(positions, np.arange(n_source), values))


def nearest_stretch(values: NDArray[Any], n_frames: int) -> NDArray[Any]:
    """Repeat or skip values [S] so that `n_frames` remain: out[i] = values[i * S // n_frames] (pipeline spec 2.7).

    The product is rounded to float32 as torch's "nearest" does, so that existing tracks come out the same; where
    it should be whole the frame before may be taken.
    """
    if len(values) == 0 or n_frames == 0:
        return np.zeros(n_frames, dtype=values.dtype)
    step = np.float32(len(values) / n_frames)
    source = (np.arange(n_frames, dtype=np.float32) * step).astype(np.int64)
    stretched: NDArray[Any] = values[np.minimum(source, len(values) - 1)]
    return stretched
