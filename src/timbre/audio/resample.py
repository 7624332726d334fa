"""Changes the sample rate, with exact lengths, whole or in a stream."""

from __future__ import annotations

import numpy as np
import soxr

from timbre.audio.sound import Samples, check_rate
from timbre.errors import AudioError

_QUALITY = "HQ"  # soxr's 20-bit quality: images and passband errors below 16-bit noise
_BLOCK_SAMPLES = 1 << 20


def resampled_length(n_samples: int, from_hz: int, to_hz: int) -> int:
    """Number of samples after resampling: ceil(n_samples * to_hz / from_hz)."""
    return -(-n_samples * to_hz // from_hz)


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """Resample [N] or [C, N] from one rate to another with soxr HQ.

    Returns exactly ceil(N * to_hz / from_hz) samples, time-aligned with the input; the input itself when the rates
    are equal. Peaks may pass those of the input. Raises AudioError for a rate below 1 Hz.
    """
    check_rate(from_hz)
    check_rate(to_hz)
    if from_hz == to_hz:
        return samples
    channels = np.atleast_2d(samples)
    stream = StreamResampler(from_hz, to_hz, len(channels))
    starts = range(0, channels.shape[1], _BLOCK_SAMPLES)
    parts = [stream.push(channels[:, start : start + _BLOCK_SAMPLES]) for start in starts]
    whole = np.concatenate([*parts, stream.flush()], axis=1)
    return whole[0] if samples.ndim == 1 else whole


class StreamResampler:
    """Resamples blocks of one sound; the concatenated result equals `resample` of the whole."""

    def __init__(self, from_hz: int, to_hz: int, n_channels: int) -> None:
        check_rate(from_hz)
        check_rate(to_hz)
        self._from_hz, self._to_hz, self._n_channels = from_hz, to_hz, n_channels
        self._n_in = self._n_out = 0
        self._stream = (
            None
            if from_hz == to_hz
            else soxr.ResampleStream(from_hz, to_hz, n_channels, dtype="float32", quality=_QUALITY)
        )

    def push(self, block: Samples) -> Samples:
        """Take the next block [C, N], N from 0; return what is ready, [C, M]. Raises AudioError for other channels."""
        if block.ndim != 2 or len(block) != self._n_channels:
            raise AudioError(f"a block of shape {block.shape} was given; it must be [{self._n_channels}, samples]")
        self._n_in += block.shape[1]
        return self._counted(self._run(block, last=False))

    def flush(self) -> Samples:
        """End the sound and return the rest [C, M]; the object is then used up."""
        missing = resampled_length(self._n_in, self._from_hz, self._to_hz) - self._n_out
        # One output sample more than needed: zeros after the end are what the filter assumes there anyway.
        n_extra = 1 + self._from_hz // self._to_hz
        rest = self._run(np.zeros((self._n_channels, n_extra), dtype=np.float32), last=True)
        return self._counted(rest[:, : max(0, missing)])

    def _run(self, block: Samples, last: bool) -> Samples:
        if self._stream is None:
            return block[:, :0] if last else block
        return np.ascontiguousarray(self._stream.resample_chunk(np.ascontiguousarray(block.T), last=last).T)

    def _counted(self, ready: Samples) -> Samples:
        self._n_out += ready.shape[1]
        return ready
