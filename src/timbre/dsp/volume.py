"""Loudness per frame: the root mean square of each hop."""

from __future__ import annotations

from torch import Tensor

from timbre.dsp.stft import reflect_pad
from timbre.errors import SettingsError


def frame_volume(wave: Tensor, hop_samples: int, *, centred: bool = True) -> Tensor:
    """Return the linear RMS of each frame of `wave` [..., N]: [..., N // hop_samples] (pipeline spec 4.4).

    Frame t is centred on sample t * hop_samples and the sound is mirrored at its ends, or with `centred` off it begins
    there (the 4.1-Latest branch, models spec 8.4). A wave shorter than one hop has no frame. Raises SettingsError for
    a hop below 1.
    """
    if hop_samples < 1:
        raise SettingsError(f"the hop is {hop_samples} samples; it must be at least 1")
    n_frames = wave.shape[-1] // hop_samples
    if n_frames == 0:
        return wave.new_zeros(*wave.shape[:-1], 0)
    if wave.shape[-1] == 1:  # hop 1, one sample: nothing to mirror
        return wave.abs()
    power = wave.square()
    padded = reflect_pad(power, hop_samples // 2, (hop_samples + 1) // 2) if centred else power
    frames = padded[..., : n_frames * hop_samples].reshape(*wave.shape[:-1], n_frames, hop_samples)
    return frames.mean(dim=-1).sqrt()
