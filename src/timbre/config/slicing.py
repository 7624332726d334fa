"""How a recording is cut at its silences."""

from __future__ import annotations

from dataclasses import dataclass

from timbre.config.options import Settings, option
from timbre.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class SliceSettings(Settings):
    """How a recording is cut at its silences (pipeline spec 3.1).

    Times are milliseconds because the published settings of this field are; a cut lies on a multiple of `hop_ms`.
    Raises SettingsError unless min_length_ms >= min_interval_ms >= hop_ms and max_silence_kept_ms >= hop_ms.
    """

    threshold_db: float = option(-40.0, "a frame below this RMS level (dB full scale) is silent", low=-120, high=0)
    min_length_ms: float = option(5000.0, "a piece is not cut again before it is this long", low=1)
    min_interval_ms: float = option(300.0, "a shorter silence is never a place to cut", low=1)
    hop_ms: float = option(20.0, "distance of the level measurements, and the grid of all cuts", low=1)
    max_silence_kept_ms: float = option(5000.0, "how much silence may stay at the ends of a voiced piece", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.min_length_ms >= self.min_interval_ms >= self.hop_ms:
            raise SettingsError(
                f"min_length_ms {self.min_length_ms:g}, min_interval_ms {self.min_interval_ms:g} and hop_ms "
                f"{self.hop_ms:g} are out of order; each must be at least the next"
            )
        if self.max_silence_kept_ms < self.hop_ms:
            raise SettingsError(
                f"max_silence_kept_ms is {self.max_silence_kept_ms:g}; it must be at least hop_ms, {self.hop_ms:g}"
            )
