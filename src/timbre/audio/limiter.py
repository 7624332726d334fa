"""Keeps the peaks of a sound of any length below full scale, in a stream."""

from __future__ import annotations

import numpy as np

from timbre.audio.peaks import smooth_gain
from timbre.audio.sound import Samples, check_rate

CEILING_DB = -0.1
_LOOK_AHEAD_S = 0.02  # more than half a period of the lowest voice, so that the gain does not follow its periods
_SEGMENT_SAMPLES = 1 << 14


class StreamLimiter:
    """Turns a sound down around each sample beyond `ceiling_db`, smoothly, and leaves all else bit for bit as it is.

    The gain, one for all channels, falls and rises within 40 ms on each side of a peak. It is decided in segments on a
    fixed grid, so the result does not depend on the size of the pushed blocks. Peaks are those of the samples; a lossy
    format may still move them by a little. Raises AudioError for a rate below 1 Hz.
    """

    def __init__(self, sample_rate_hz: int, n_channels: int = 1, ceiling_db: float = CEILING_DB) -> None:
        check_rate(sample_rate_hz)
        self._half_window = max(1, round(_LOOK_AHEAD_S * sample_rate_hz))
        self._reach = 2 * self._half_window  # samples on each side that a gain depends on
        self._ceiling = 10 ** (ceiling_db / 20)
        self._held: Samples = np.zeros((n_channels, self._reach), dtype=np.float32)
        self.reduction_db = 0.0  # the most that a sample was turned down so far

    def push(self, block: Samples) -> Samples:
        """Take the next block [C, N], N from 0; return what is ready [C, M]."""
        self._held = np.concatenate((self._held, block), axis=1)
        return self._take(_SEGMENT_SAMPLES)

    def flush(self) -> Samples:
        """End the sound and return the rest [C, M]; in all as many samples as were pushed. The object is used up."""
        self._held = np.pad(self._held, ((0, 0), (0, self._reach)))
        return self._take(1)

    def _take(self, least: int) -> Samples:
        """Limit and remove segments from what is held while at least `least` samples are ready."""
        ready = [self._held[:, :0]]
        while (n_ready := self._held.shape[1] - 2 * self._reach) >= least:
            n_samples = min(_SEGMENT_SAMPLES, n_ready)
            ready.append(self._limited(self._held[:, : n_samples + 2 * self._reach]))
            self._held = self._held[:, n_samples:]
        return np.concatenate(ready, axis=1)

    def _limited(self, heard: Samples) -> Samples:
        """Limit [C, N + 2 * reach], of which the outer samples are only listened to; returns [C, N]."""
        inner = slice(self._reach, -self._reach)
        peaks = np.abs(heard).max(axis=0).astype(np.float64)
        if peaks.max() <= self._ceiling:
            return heard[:, inner]
        gain = smooth_gain(self._ceiling / np.maximum(peaks, self._ceiling), self._half_window)[inner]
        self.reduction_db = max(self.reduction_db, -20 * float(np.log10(gain.min())))
        return (heard[:, inner] * gain).astype(np.float32)
