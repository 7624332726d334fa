"""Make a sound follow the loudness of another one, in a stream."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from timbre.audio.sound import Samples

HOP_S = 0.5
RMS_FLOOR = 1e-6


class _HalfSeconds:
    """RMS at points half a second apart, each over the second around it; zero outside the sound."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._hop = round(HOP_S * sample_rate_hz)
        self._held: Samples = np.zeros(0, dtype=np.float32)
        self._power: list[float] = [0.0]  # of each half second; one silent one before the sound

    def push(self, samples: Samples) -> None:
        held = np.concatenate((self._held, samples))
        whole = len(held) // self._hop
        blocks = held[: whole * self._hop].reshape(whole, self._hop)
        self._power += [float(np.mean(np.square(block, dtype=np.float64))) for block in blocks]
        self._held = held[whole * self._hop :]

    def end(self) -> None:
        self.push(np.zeros(-len(self._held) % self._hop + self._hop, dtype=np.float32))

    def points(self) -> NDArray[np.float64]:
        power = np.asarray(self._power)
        return np.asarray(np.sqrt(0.5 * (power[:-1] + power[1:])))


class EnvelopeFollower:
    """Moves the loudness of an output towards that of its source by `ratio` (0: unchanged, 1: the same envelope).

    gain = (rms of source / rms of output) ^ ratio at points half a second apart, in a line between them; the output's
    RMS is floored at 1e-6 (pipeline spec 6.6, here by true time and in a stream).
    """

    def __init__(self, source_rate_hz: int, output_rate_hz: int, ratio: float) -> None:
        self._ratio = ratio
        self._source, self._output = _HalfSeconds(source_rate_hz), _HalfSeconds(output_rate_hz)
        self._hop = round(HOP_S * output_rate_hz)
        self._waiting: Samples = np.zeros(0, dtype=np.float32)
        self._n_sent = 0

    def push(self, source: Samples, output: Samples) -> Samples:
        """Take what was heard [N] and what came out [M], each at its rate; return what is ready [K]."""
        if self._ratio == 0:
            return output
        self._source.push(source)
        self._output.push(output)
        self._waiting = np.concatenate((self._waiting, output))
        return self._ready()

    def flush(self) -> Samples:
        """End both sounds and return the rest [K]."""
        if self._ratio == 0:
            return self._waiting
        self._source.end()
        self._output.end()
        return self._ready()

    def _ready(self) -> Samples:
        source, output = self._source.points(), self._output.points()
        n_points = min(len(source), len(output))
        n_ready = min(len(self._waiting), max(0, (n_points - 1) * self._hop - self._n_sent))
        if n_ready == 0:  # the first half second is not yet complete
            return self._waiting[:0]
        gains = (np.maximum(source[:n_points], RMS_FLOOR) / np.maximum(output[:n_points], RMS_FLOOR)) ** self._ratio
        position = np.arange(self._n_sent, self._n_sent + n_ready)
        gain = np.interp(position, np.arange(n_points) * self._hop, gains).astype(np.float32)
        ready, self._waiting = self._waiting[:n_ready] * gain, self._waiting[n_ready:]
        self._n_sent += n_ready
        return ready
