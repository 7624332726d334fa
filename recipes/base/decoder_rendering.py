"""What the decoder makes of a batch: stretches of recordings, rendered in their own or in other voices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from recipes.base.corpus import FRAME_16K, FRAME_44K, Recordings, frames, moved, waves
from recipes.base.decoder_batches import CONTEXT_FRAMES, CROP_FRAMES, ECHOES, Batch
from recipes.base.decoder_content import Content
from recipes.base.recentring import ContentMeans
from recipes.base.resampling import stretch_time
from timbre.config.fast import HOP_SAMPLES, N_FFT, SAMPLE_RATE_HZ, DecoderShape, SpeakerShape
from timbre.dsp.frontend import SpectralFrontend
from timbre.models.fast.decoder import FastDecoder
from timbre.models.fast.synthesis import LOOKAHEAD_FRAMES, FastSynthesis
from timbre.speaker.fast import FastSpeakerEncoder, relative_log_mel

REFERENCE_FRAMES = 320
RENDERED_FRAMES = CROP_FRAMES - LOOKAHEAD_FRAMES
FADING_FRAMES = 2  # at the end, where the frames that would add to them are missing


class VoiceNetworks(nn.Module):
    """What turns content into the sound of a voice."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = FastDecoder(**vars(DecoderShape()))
        self.speaker = FastSpeakerEncoder(**vars(SpeakerShape()))


@dataclass(frozen=True)
class Stretch:
    """Stretches of sound as the networks hear them, without their content."""

    f0_hz: Tensor  # [B, T]
    loudness: Tensor  # [B, T]
    log_mel: Tensor  # [B, T, 80]


@dataclass(frozen=True)
class Attempt:
    """What the networks made of a batch."""

    batch: Batch
    made: Tensor  # [B, N] at 44.1 kHz
    target: Tensor  # [B, N] the recordings
    bandwidth_hz: Tensor  # [B] of what is known about recording and voice
    vector: Tensor  # [B, D] of the voices
    voices_log_mel: Tensor  # [B, REFERENCE_FRAMES, 80] what is heard of the voices
    speakers: Tensor  # [B] of the voices
    content: Tensor  # [B, T, C] of the recordings


class Renderer:
    """Hears the stretches of a batch and renders them.

    With `echoes` some of what takes a stranger's voice is heard in that voice when it comes again.
    """

    def __init__(
        self,
        recordings: Recordings,
        networks: VoiceNetworks,
        content: Content,
        means: ContentMeans | None,
        *,
        echoes: bool,
    ) -> None:
        self.recordings, self.networks, self.content, self.means = recordings, networks, content, means
        self.echoes = echoes
        self.echo: Tensor | None = None  # [ECHOES, N] at 16 kHz, of the last batch without warp
        self.device = next(networks.parameters()).device
        self.frontend = SpectralFrontend().to(self.device)
        self.synthesis = FastSynthesis(N_FFT, HOP_SAMPLES, SAMPLE_RATE_HZ).to(self.device)
        self.bandwidth_hz = np.array([entry["bandwidth_hz"] for entry in recordings.index])

    def attempt(self, batch: Batch) -> Attempt:
        """Render a batch in its voices."""
        recordings, warp = self.recordings, batch.warp
        source = self.listen(batch.starts, CROP_FRAMES, warp)
        content = self.content.of_source(batch, source.log_mel, self.echo if batch.n_again else None)
        reference = self.listen(batch.reference_starts, REFERENCE_FRAMES, warp)
        vector, made = self._render(batch, source, reference, content)
        if self.echoes and warp == 1:
            whole = made[batch.n_copies :][:ECHOES, : FADING_FRAMES * -HOP_SAMPLES].detach()
            self.echo = stretch_time(whole, (RENDERED_FRAMES - FADING_FRAMES) * FRAME_16K)
        wave = waves(recordings.wave_44k, batch.starts, round(CROP_FRAMES * warp), FRAME_44K, self.device)
        target = stretch_time(wave, CROP_FRAMES * FRAME_44K)
        bandwidth_hz = np.minimum(self.bandwidth_hz[batch.files], self.bandwidth_hz[batch.voices])
        judged = slice(CONTEXT_FRAMES * HOP_SAMPLES, (RENDERED_FRAMES - FADING_FRAMES) * HOP_SAMPLES)
        return Attempt(
            batch=batch,
            made=made[:, judged],
            target=target[:, judged],
            bandwidth_hz=moved(bandwidth_hz, self.device).float() * min(1.0, warp),
            vector=vector,
            voices_log_mel=reference.log_mel,
            speakers=moved(recordings.speaker_of[batch.voices], self.device),
            content=content,
        )

    def listen(self, starts: np.ndarray, n_frames: int, warp: float) -> Stretch:
        """Hear stretches that begin at frames `starts` [B], sped up by `warp`."""
        n_taken = round(n_frames * warp)
        wave = waves(self.recordings.wave_16k, starts, n_taken, FRAME_16K, self.device)
        power = self.frontend.power(stretch_time(wave, n_frames * FRAME_16K))
        f0 = frames(self.recordings.f0, starts, n_taken, self.device)
        if warp != 1:
            nearest = (torch.arange(n_frames, device=self.device) * (n_taken / n_frames)).long()
            f0 = f0[:, nearest] * warp
        return Stretch(f0, self.frontend.loudness(power), self.frontend.log_mel(power))

    def _render(self, batch: Batch, source: Stretch, reference: Stretch, content: Tensor) -> tuple[Tensor, Tensor]:
        """Return the voices' speaker vectors [B, D] and the sound [B, N] of the source in these voices."""
        n = RENDERED_FRAMES
        reference_content = self.content.of_reference(batch, reference.log_mel)
        if self.means is not None and batch.move_shares is not None:
            content = content + self.means.moves(batch.files, batch.voices, batch.move_shares)
        f0_hz = source.f0_hz * moved(batch.pitch_ratios, self.device).float()
        gain = torch.exp(moved(batch.log_gains, self.device).float())
        loudness = source.loudness + 2 * torch.log(gain)
        relative = relative_log_mel(reference.log_mel)
        with torch.autocast(self.device.type, torch.bfloat16):
            vector = self.networks.speaker(relative)
            timbre = self.networks.decoder.timbre(vector, reference_content, reference.f0_hz, relative)
            spectra = self.networks.decoder(content[:, :n], f0_hz[:, :n], loudness[:, :n], timbre)
        noise = torch.randn(len(f0_hz), n, N_FFT // 2 + 1, 2, device=self.device)
        return vector, self.synthesis(spectra, f0_hz, noise) / gain
