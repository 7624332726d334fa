"""The one way from a 16 kHz wave and its pitch to Frames, in steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from timbre.content.fast import ContentState, FastContentEncoder
from timbre.dsp.frontend import HOP_SAMPLES, N_MELS, SAMPLE_RATE_HZ
from timbre.features.frames import Frames


@dataclass(frozen=True)
class ExtractorState:
    """What the extractor remembers between steps."""

    wave: Tensor  # [1, n] samples that windows still to come will cut
    content: ContentState
    waiting: tuple[Tensor, Tensor]  # loudness [p] and log-mel [p, 80] of frames whose content waits for its look-ahead


@dataclass(frozen=True)
class Heard:
    """What was heard of T frames, without their pitch."""

    content: Tensor  # [T, C]
    loudness: Tensor  # [T] log power
    log_mel: Tensor  # [T, 80]

    def frames(self, f0_hz: Tensor) -> Frames:
        """Return them with their pitch [T] (Hz, 0 where unvoiced)."""
        return Frames(self.content, f0_hz, f0_hz > 0, self.loudness, HOP_SAMPLES, SAMPLE_RATE_HZ, self.log_mel)


class FrameExtractor:
    """Content and loudness of a mono 16 kHz wave, 100 frames a second; frame t is centred on sample 160 t."""

    def __init__(self, encoder: FastContentEncoder) -> None:
        self.encoder = encoder

    def fresh_state(self) -> ExtractorState:
        """Return the state before the first sample."""
        like = next(self.encoder.parameters())
        waiting = like.new_zeros(0), like.new_zeros(0, N_MELS)
        return ExtractorState(self.encoder.frontend.fresh_state(1, like), self.encoder.fresh_state(1, like), waiting)

    @torch.inference_mode()
    def step(self, wave: Tensor, state: ExtractorState, *, last: bool = False) -> tuple[Heard, ExtractorState]:
        """Hear n more samples [n]; returns the m frames that are finished and the next state.

        With `last` the frames that waited for their look-ahead come out too; in all there are N // 160 frames.
        """
        frontend = self.encoder.frontend
        power, wave_state = frontend.step(wave.unsqueeze(0), state.wave, last=last)
        new_log_mel = frontend.log_mel(power)
        content, content_state = self.encoder.step(new_log_mel, state.content, last=last)
        loudness = torch.cat((state.waiting[0], frontend.loudness(power)[0]))
        log_mel = torch.cat((state.waiting[1], new_log_mel[0]))
        m = content.shape[1]
        heard = Heard(content[0], loudness[:m], log_mel[:m])
        return heard, ExtractorState(wave_state, content_state, (loudness[m:], log_mel[m:]))

    def content(self, wave: Tensor) -> Tensor:
        """Hear the content of a whole wave [N] alone: [N // 160, C]."""
        heard, _ = self.step(wave, self.fresh_state(), last=True)
        return heard.content

    def whole(self, wave: Tensor, f0_hz: Tensor) -> Frames:
        """Hear a whole wave [N] with its pitch [N // 160] (Hz, 0 where unvoiced)."""
        heard, _ = self.step(wave, self.fresh_state(), last=True)
        return heard.frames(f0_hz)
