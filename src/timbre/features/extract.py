"""The one way from a 16 kHz wave and its pitch to Frames, in steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from timbre.content.fast import ContentState, FastContentEncoder
from timbre.dsp.frontend import HOP_SAMPLES, SAMPLE_RATE_HZ
from timbre.features.frames import Frames


@dataclass(frozen=True)
class ExtractorState:
    """What the extractor remembers between steps."""

    wave: Tensor  # [1, n] samples that windows still to come will cut
    content: ContentState
    loudness: Tensor  # [p] frames whose content still waits for its look-ahead


class FrameExtractor:
    """Content and loudness of a mono 16 kHz wave, 100 frames a second; frame t is centred on sample 160 t."""

    def __init__(self, encoder: FastContentEncoder) -> None:
        self.encoder = encoder

    def fresh_state(self) -> ExtractorState:
        """Return the state before the first sample."""
        like = next(self.encoder.parameters())
        return ExtractorState(
            self.encoder.frontend.fresh_state(1, like), self.encoder.fresh_state(1, like), like.new_zeros(0)
        )

    @torch.inference_mode()
    def step(self, wave: Tensor, state: ExtractorState, *, last: bool = False) -> tuple[Tensor, Tensor, ExtractorState]:
        """Hear n more samples [n]; returns content [m, C], loudness [m] (log power) and the next state.

        With `last` the frames that waited for their look-ahead come out too; in all there are N // 160 frames.
        """
        frontend = self.encoder.frontend
        power, wave_state = frontend.step(wave.unsqueeze(0), state.wave, last=last)
        content, content_state = self.encoder.step(frontend.log_mel(power), state.content, last=last)
        loudness = torch.cat((state.loudness, frontend.loudness(power)[0]))
        m = content.shape[1]
        return content[0], loudness[:m], ExtractorState(wave_state, content_state, loudness[m:])

    def content(self, wave: Tensor) -> Tensor:
        """Hear the content of a whole wave [N] alone: [N // 160, C]."""
        content, _, _ = self.step(wave, self.fresh_state(), last=True)
        return content

    def whole(self, wave: Tensor, f0_hz: Tensor) -> Frames:
        """Hear a whole wave [N] with its pitch [N // 160] (Hz, 0 where unvoiced)."""
        content, loudness, _ = self.step(wave, self.fresh_state(), last=True)
        return Frames(content, f0_hz, f0_hz > 0, loudness, HOP_SAMPLES, SAMPLE_RATE_HZ)
