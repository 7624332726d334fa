"""Level of a sound per frame, whole or in a stream."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from timbre.audio.sound import Samples

_BLOCK_SAMPLES = 1 << 18


class RmsAccumulator:
    """Measures RMS per frame of a mono sound that arrives in blocks of any size.

    Frame t covers `window_samples` centred on sample t * `hop_samples`; the sound is zero outside.
    """

    def __init__(self, window_samples: int, hop_samples: int) -> None:
        assert 0 < hop_samples <= window_samples
        self._window, self._hop = window_samples, hop_samples
        self._buffer: Samples = np.zeros(window_samples // 2, dtype=np.float32)
        self._tracks: list[Samples] = []
        self.n_samples = 0  # heard so far

    def push(self, block: Samples) -> None:
        """Take the next samples [N]."""
        self.n_samples += len(block)
        for start in range(0, len(block), _BLOCK_SAMPLES):
            self._advance(block[start : start + _BLOCK_SAMPLES])

    def finish(self) -> Samples:
        """End the sound and return the RMS of all frames [T], T = 1 + N // hop for an even window; [0] for N = 0."""
        if self.n_samples == 0:
            return np.zeros(0, dtype=np.float32)
        self._advance(np.zeros(self._window // 2, dtype=np.float32))
        return np.concatenate(self._tracks) if self._tracks else np.zeros(0, dtype=np.float32)

    def _advance(self, block: Samples) -> None:
        self._buffer = np.concatenate([self._buffer, block])
        if len(self._buffer) < self._window:
            return
        # float64 sums of squares of a view: no window is copied, and digital silence stays exactly 0
        power: NDArray[np.float64] = np.square(self._buffer, dtype=np.float64)
        sums = sliding_window_view(power, self._window)[:: self._hop].sum(axis=1)
        self._tracks.append(np.sqrt(sums / self._window).astype(np.float32))
        self._buffer = self._buffer[len(sums) * self._hop :]


def frame_rms(samples: Samples, window_samples: int, hop_samples: int) -> Samples:
    """RMS per frame of a mono sound [N] -> [T]; frames as in `RmsAccumulator`."""
    meter = RmsAccumulator(window_samples, hop_samples)
    meter.push(samples)
    return meter.finish()
