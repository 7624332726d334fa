"""What every pitch tracker promises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PitchTrack:
    """The melody of a stretch of sound on one frame grid; frame t is centred on sample t * hop_samples."""

    f0_hz: NDArray[np.float32]  # [T], 0 where unvoiced
    voiced: NDArray[np.bool_]  # [T]
    hop_samples: int  # at sample_rate_hz
    sample_rate_hz: int

    @property
    def times_s(self) -> NDArray[np.float64]:
        """Centre of each frame in seconds [T]."""
        return np.arange(len(self.f0_hz)) * (self.hop_samples / self.sample_rate_hz)


class PitchTracker(Protocol):
    """Follows the sung or spoken pitch of a mono wave."""

    def track(
        self, wave: NDArray[np.float32], sample_rate_hz: int, hop_samples: int, n_frames: int | None = None
    ) -> PitchTrack:
        """Return the pitch of `wave` [N], one frame each `hop_samples`.

        T = `n_frames`, or N // hop_samples when it is None. A wave too short to hold a pitch period is unvoiced.
        """
        ...
