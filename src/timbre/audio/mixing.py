"""The one rule by which several channels become one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from timbre.audio.sound import Samples
from timbre.errors import AudioError

CANCELLATION_DB = 30.0  # loss of the mean against its channels that counts as cancellation


class MixMeter:
    """Listens to all blocks of a sound and then says how its channels mix to mono.

    The rule: the mean of the channels. Only where the channels cancel each other, so that the mean is more than
    30 dB below them (a voice recorded with one side inverted), the loudest channel is taken alone, the first of
    equally loud ones. It is decided once for a whole sound, never in the middle.
    """

    def __init__(self) -> None:
        self._channel_energy: NDArray[np.float64] | None = None
        self._mean_energy = 0.0

    def push(self, samples: Samples) -> None:
        """Take the next block [C, N]. Raises AudioError when the channel count changes."""
        energy = np.einsum("cn,cn->c", samples, samples, dtype=np.float64)
        if self._channel_energy is None:
            self._channel_energy = np.zeros(len(samples))
        if len(energy) != len(self._channel_energy):
            raise AudioError(f"a block has {len(energy)} channels after blocks of {len(self._channel_energy)}")
        self._channel_energy += energy
        mean = samples.mean(axis=0, dtype=np.float64)
        self._mean_energy += float(np.dot(mean, mean))

    def weights(self) -> NDArray[np.float32]:
        """Weight of each channel [C], sum 1, for `to_mono`."""
        if self._channel_energy is None:
            raise AudioError("there is no sound to mix; push at least one block")
        n_channels = len(self._channel_energy)
        floor = self._channel_energy.mean() * 10 ** (-CANCELLATION_DB / 10)
        if self._mean_energy < floor:
            weights: NDArray[np.float32] = np.zeros(n_channels, dtype=np.float32)
            weights[int(np.argmax(self._channel_energy))] = 1.0
            return weights
        return even_weights(n_channels)


def even_weights(n_channels: int) -> NDArray[np.float32]:
    """Return the weights of the plain mean [C], also where the channels cancel each other."""
    return np.full(n_channels, 1.0 / n_channels, dtype=np.float32)


def to_mono(samples: Samples, weights: NDArray[np.float32] | None = None) -> Samples:
    """Mix [C, N] to [N] by the rule of `MixMeter`; a mono array [N] is returned as it is.

    `weights` [C] fixes the mix, for blocks of one long sound; None listens to `samples` first.
    """
    if samples.ndim == 1:
        return samples
    if len(samples) == 1:
        return samples.reshape(-1)
    if weights is None:
        meter = MixMeter()
        meter.push(samples)
        weights = meter.weights()
    return np.asarray(weights @ samples, dtype=np.float32)
