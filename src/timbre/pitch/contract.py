"""What every pitch tracker promises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PitchTrack:
    """The melody of a stretch of sound on one frame grid; frame t is centred on sample t * hop_samples.

    Every tracker keeps to this grid within one hop, and the neural ones within one of their own 10 ms frames:
    existing voices were trained on tracks with just these offsets (pipeline spec 2), so they stay.
    """

    f0_hz: NDArray[np.float32]  # [T], 0 where unvoiced
    voiced: NDArray[np.bool_]  # [T]
    hop_samples: int  # at sample_rate_hz
    sample_rate_hz: int

    @property
    def times_s(self) -> NDArray[np.float64]:
        """Centre of each frame in seconds [T]."""
        return np.arange(len(self.f0_hz), dtype=np.float64) * (self.hop_samples / self.sample_rate_hz)


class PitchTracker(Protocol):
    """Follows the sung or spoken pitch of a mono wave."""

    def track(
        self, wave: NDArray[np.float32], sample_rate_hz: int, hop_samples: int, n_frames: int | None = None
    ) -> PitchTrack:
        """Return the pitch of `wave` [N], one frame each `hop_samples`.

        T = `n_frames`, or N // hop_samples when it is None. A wave too short to hold a pitch period, or silent,
        is unvoiced. No value is ever NaN. Raises AudioError when the wave is not mono or holds NaN or infinity,
        or when `n_frames` differs from N // hop_samples by 4 or more, and SettingsError for a hop or rate below 1.
        """
        ...
