"""Turn Frames into the sound of a voice, whole or chunk by chunk with the same result."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from timbre.config.fast import N_FFT, SAMPLE_RATE_HZ
from timbre.dsp.frontend import N_MELS
from timbre.features.frames import Frames
from timbre.models.fast.decoder import FilterSpectra, Timbre
from timbre.models.fast.synthesis import LOOKAHEAD_FRAMES, SynthesisState
from timbre.nn.residual import BlockState
from timbre.retrieval.nearest import mix_content
from timbre.voice.base import FastNetworks
from timbre.voice.equaliser import Equaliser
from timbre.voice.mean_spectra import SpectralRecentring
from timbre.voice.recentre import LoudFrames, Recentring
from timbre.voice.source_detail import SourceDetail

NOISE_BLOCK_FRAMES = 64
HIGH_PITCH_HZ = 400.0
NOISE_DROP = 4.0  # natural log of amplitude, 35 dB


@dataclass(frozen=True)
class _Waiting:
    """Frames that wait for the pitch of the frames after them."""

    content: Tensor  # [p, C]
    f0_hz: Tensor  # [p]
    loudness: Tensor  # [p]
    loud: Tensor  # [p] 1 where it is loud, else 0
    log_mel: Tensor  # [p, 80]; [p, 0] where nobody needs it

    def split(self, n: int) -> tuple[_Waiting, _Waiting]:
        """Return the first n frames and the rest."""
        parts = tuple(vars(self).values())
        return _Waiting(*(part[:n] for part in parts)), _Waiting(*(part[n:] for part in parts))


class NoiseSource:
    """Standard normal noise that depends on seed and frame number only, not on how the frames are cut into chunks."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._last: tuple[int, Tensor] = (-1, torch.zeros(0))  # short steps ask for the same block again and again

    def frames(self, first: int, count: int) -> Tensor:
        """Return the noise of `count` frames from frame `first` on [count, bins, 2]."""
        if count == 0:
            return torch.zeros(0, N_FFT // 2 + 1, 2)
        start, end = first // NOISE_BLOCK_FRAMES, (first + count - 1) // NOISE_BLOCK_FRAMES + 1
        blocks = torch.cat([self._block(number) for number in range(start, end)])
        offset = first - start * NOISE_BLOCK_FRAMES
        return blocks[offset : offset + count]

    def _block(self, number: int) -> Tensor:
        if self._last[0] != number:
            generator = torch.Generator().manual_seed((self.seed * 1_000_003 + number) % 2**63)
            self._last = (number, torch.randn(NOISE_BLOCK_FRAMES, N_FFT // 2 + 1, 2, generator=generator))
        return self._last[1]


def quiet_below_pitch(spectra: FilterSpectra, f0_hz: Tensor) -> FilterSpectra:
    """Lower the noise of high frames below four fifths of their pitch f0_hz [B, T], as no voice sounds there.

    Above the pitches of speech the decoder fills the gaps between harmonics with noise; under the lowest harmonic it
    would be heard as a lower note.
    """
    bin_hz = torch.arange(spectra.log_noise.shape[-1], device=f0_hz.device) * (SAMPLE_RATE_HZ / N_FFT)
    pitch_hz = f0_hz.unsqueeze(-1)
    below = (pitch_hz > HIGH_PITCH_HZ) & (bin_hz < 0.8 * pitch_hz)
    return replace(spectra, log_noise=spectra.log_noise - NOISE_DROP * below)


class FastRenderer:
    """One rendering in progress: push Frames, get sound; the state is carried from push to push.

    The sound of the pushes, put one after the other, does not depend on where the frames were cut.
    """

    def __init__(
        self,
        networks: FastNetworks,
        timbre: Timbre,
        equaliser: Equaliser,
        recentring: SpectralRecentring,
        detail: SourceDetail | None,
        bank_content: Tensor,
        retrieval_ratio: float,
        seed: int,
    ) -> None:
        like = bank_content
        self.networks, self.timbre, self.equaliser, self.bank_content = networks, timbre, equaliser, bank_content
        self.retrieval_ratio = retrieval_ratio
        self._content_recentring, self._spectral_recentring, self._detail = Recentring(bank_content), recentring, detail
        self._loud_frames = LoudFrames(like)
        self._noise = NoiseSource(seed)
        self._decoder: tuple[BlockState, ...] = networks.decoder.fresh_state(1, like)
        self._synthesis: SynthesisState = networks.synthesis.fresh_state(1, like)
        nothing = like.new_zeros(0)
        self._waiting = _Waiting(
            like.new_zeros(0, like.shape[1]), nothing, nothing, nothing, like.new_zeros(0, N_MELS if detail else 0)
        )
        self._n_rendered = 0

    @torch.inference_mode()
    def push(self, frames: Frames, *, f0_ahead_hz: Tensor | None = None, last: bool = False) -> Tensor:
        """Render more frames; returns the sound that is finished [n] at the voice's rate.

        Frame t needs the pitch of the two frames after it. Where that is already known, `f0_ahead_hz` [2] gives it and
        nothing waits; otherwise the last two frames wait for the next push. With `last` nothing follows: the last
        pitch is held, and in all as many hops of sound have come out as frames were pushed.
        """
        held = self._held(frames)
        n = len(held.content)
        if last and n:
            f0_ahead_hz = held.f0_hz[-1:].expand(LOOKAHEAD_FRAMES)
        if f0_ahead_hz is None:
            n = max(0, n - LOOKAHEAD_FRAMES)
            known = held.f0_hz
        else:
            known = torch.cat((held.f0_hz, f0_ahead_hz))
        ready, self._waiting = held.split(n)
        sound = self._render(ready, known[: n + LOOKAHEAD_FRAMES]) if n else known.new_zeros(0)
        if last and self._n_rendered:
            sound = torch.cat((sound, self.networks.synthesis.flush(self._synthesis)[0]))
        return sound

    def _held(self, frames: Frames) -> _Waiting:
        """Return the frames that waited and the new ones, whose content is moved towards the voice."""
        loud = self._loud_frames(frames.loudness)
        centred = self._content_recentring(frames.content, loud)
        content = mix_content(centred, self.bank_content, self.retrieval_ratio)
        log_mel = frames.log_mel if self._detail is not None else content.new_zeros(len(content), 0)
        if log_mel is None:
            raise ValueError("these frames have no log-mel, which source_detail needs")
        new = (content, frames.f0_hz, frames.loudness, loud, log_mel)
        return _Waiting(*(torch.cat(pair) for pair in zip(vars(self._waiting).values(), new, strict=True)))

    def _render(self, ready: _Waiting, f0_hz: Tensor) -> Tensor:
        n, content = len(ready.content), ready.content
        spectra: FilterSpectra
        spectra, self._decoder = self.networks.decoder.step(
            content.unsqueeze(0), ready.f0_hz.unsqueeze(0), ready.loudness.unsqueeze(0), self.timbre, self._decoder
        )
        noise = self._noise.frames(self._n_rendered, n).to(content.device).unsqueeze(0)
        new_f0_hz = f0_hz if self._n_rendered == 0 else f0_hz[LOOKAHEAD_FRAMES:]
        spectra = quiet_below_pitch(spectra, ready.f0_hz.unsqueeze(0))
        spectra = self.equaliser.apply(spectra, content.unsqueeze(0))
        spectra = self._spectral_recentring(spectra, ready.f0_hz, content, ready.loud)
        if self._detail is not None:
            spectra = self._detail(spectra, ready.f0_hz, content, ready.loud, ready.log_mel)
        sound, self._synthesis = self.networks.synthesis.step(spectra, new_f0_hz.unsqueeze(0), noise, self._synthesis)
        self._n_rendered += n
        return sound[0]
