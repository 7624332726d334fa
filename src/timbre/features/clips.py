"""The way from a stretch of sound at a model's rate to its Frames, for models that hear whole stretches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from timbre.content.contract import ContentEncoder
from timbre.dsp.sinc_resample import sinc_resample
from timbre.dsp.stretch import stretch
from timbre.dsp.volume import frame_volume
from timbre.features.frames import Frames
from timbre.pitch.contract import PitchTrack


@dataclass(frozen=True)
class ClipExtractor:
    """Content, pitch and loudness of a stretch of sound on the frames of a model (pipeline spec 6.3)."""

    encoder: ContentEncoder
    sample_rate_hz: int
    hop_samples: int
    stretch_mode: str
    centred_volume: bool

    @torch.inference_mode()
    def content(self, wave: Tensor, n_frames: int) -> Tensor:
        """Encode `wave` [N] at the model's rate: [n_frames, D]."""
        units = self.encoder.encode(sinc_resample(wave, self.sample_rate_hz, self.encoder.sample_rate_hz))
        return stretch(units.T, n_frames, self.stretch_mode).T

    def volume(self, wave: Tensor) -> Tensor:
        """Return the linear RMS of each frame of `wave` [N]: [N // hop_samples]."""
        return frame_volume(wave, self.hop_samples, centred=self.centred_volume)

    def frames(self, wave: Tensor, track: PitchTrack, pitch_ratio: float) -> Frames:
        """Describe `wave` [N] with its pitch track of N // hop_samples frames, moved by `pitch_ratio`."""
        f0_hz = torch.from_numpy(track.f0_hz * np.float32(pitch_ratio)).to(wave.device)
        voiced = torch.from_numpy(track.voiced).to(wave.device)
        content = self.content(wave, len(f0_hz))
        loudness = 2 * torch.log(self.volume(wave))
        return Frames(content, f0_hz, voiced, loudness, self.hop_samples, self.sample_rate_hz)
