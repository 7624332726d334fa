"""How so-vits-svc cut a whole file into chunks and put the converted ones together again."""

from __future__ import annotations

from dataclasses import dataclass

from timbre.config.options import Settings, option
from timbre.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class AssemblySettings(Settings):
    """How so-vits-svc cut a whole file into chunks and put the converted ones together again (pipeline spec 6.4).

    Raises SettingsError when the overlap is not shorter than the clip.
    """

    clip_s: float = option(0.0, "longest stretch converted at once; 0 converts each voiced piece whole", low=0)
    crossfade_s: float = option(0.0, "overlap of neighbouring clips", low=0)
    crossfade_retain: float = option(0.75, "middle share of the overlap in which the fade happens", low=0, high=1)
    pad_s: float = option(0.5, "sound given to the converter on both sides of a clip, then cut off", low=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.clip_s > 0 and self.crossfade_s >= self.clip_s:
            raise SettingsError(
                f"crossfade_s is {self.crossfade_s:g} and clip_s {self.clip_s:g}; "
                "the overlap must be shorter than the clip: lower crossfade_s or raise clip_s"
            )
