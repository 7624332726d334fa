"""The content that the decoder is given: of an encoder that stands still, or of one that learns beside it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from recipes.base.corpus import FRAME_16K, Recordings, frames, moved, waves
from recipes.base.decoder_batches import Batch
from recipes.base.perturb import Perturbation
from recipes.base.recentring import without_mean_of_change
from recipes.base.resampling import stretch_time
from timbre.content.fast import FastContentEncoder

ENCODER_AHEAD_FRAMES = 8
STRENGTH = 0.75  # of the perturbation
POWER_FLOOR = 1e-9


class Content(Protocol):
    """Makes content [B, n_frames, C] (float32) of a batch."""

    def of_source(self, batch: Batch, log_mel: Tensor, echo: Tensor | None) -> Tensor:
        """Return the content of what is to be rendered, whose log-mel is [B, n_frames, 80].

        `echo` [b, N] (16 kHz) is how the first items sounded in strangers' voices.
        """
        ...

    def of_reference(self, batch: Batch, log_mel: Tensor) -> Tensor:
        """Return the content of the voices' references, whose log-mel is [B, n_frames, 80]."""
        ...


class StoredContent:
    """Content of an encoder that stands still, stored for all recordings; only what is warped is heard anew."""

    def __init__(self, encoder: FastContentEncoder, stored: np.ndarray, converted: np.ndarray | None) -> None:
        self.encoder, self.stored, self.converted = encoder, stored, converted

    def of_source(self, batch: Batch, log_mel: Tensor, echo: Tensor | None) -> Tensor:
        """Return the recordings' content, some of it as heard in a converted copy."""
        if batch.warp != 1:
            return self._heard(log_mel)
        n_frames, device = log_mel.shape[1], log_mel.device
        content = frames(self.stored, batch.starts, n_frames, device)
        if self.converted is not None and batch.converted is not None:
            copies = frames(self.converted, batch.starts, n_frames, device)
            content = torch.where(moved(batch.converted, device).view(-1, 1, 1), copies, content)
        return content.float()

    def of_reference(self, batch: Batch, log_mel: Tensor) -> Tensor:
        """Return the references' content."""
        if batch.warp != 1:
            return self._heard(log_mel)
        return frames(self.stored, batch.reference_starts, log_mel.shape[1], log_mel.device).float()

    @torch.no_grad()
    def _heard(self, log_mel: Tensor) -> Tensor:
        with torch.autocast(log_mel.device.type, torch.bfloat16):
            content: Tensor = self.encoder(log_mel)
        return content.float()


class LearnedContent:
    """Content of an encoder that learns: it hears sources that keep their voice perturbed or as echoes, all else plain.

    So it can pass on to the decoder whatever helps except the voice.
    """

    def __init__(
        self, encoder: FastContentEncoder, recordings: Recordings, generator: torch.Generator, *, recentred: bool
    ) -> None:
        self.encoder, self.recordings, self.generator, self.recentred = encoder, recordings, generator, recentred
        # Mostly other formants and pitch: noise on the way in would only teach the decoder to blur.
        self.perturbation = Perturbation(generator.device, noise_share=0.1, low_pass_share=0.05)

    def of_source(self, batch: Batch, log_mel: Tensor, echo: Tensor | None) -> Tensor:
        """Return content with a gradient: of copies, heard perturbed or as echoes, and of conversions, heard plain."""
        n_copies, n_frames = batch.n_copies, log_mel.shape[1]
        wave = self._waves(batch.starts, n_frames, batch.warp)
        power = self._power(wave)
        plain = torch.log(power[:n_copies] + POWER_FLOOR)
        perturbed = self.perturbation(plain, self.generator, STRENGTH).exp()
        if echo is not None:
            heard = torch.cat((echo, wave[: len(echo), echo.shape[1] :]), dim=1)
            perturbed = torch.cat((self._power(heard), perturbed[len(echo) :]))
        content = self._heard(torch.cat((perturbed, power[n_copies:])))
        if self.recentred:
            with torch.no_grad():
                plain_content = self._heard(plain.exp())
            changed = without_mean_of_change(content[:n_copies], plain_content)
            content = torch.cat((changed, content[n_copies:]))
        return content[:, :n_frames].float()

    @torch.no_grad()
    def of_reference(self, batch: Batch, log_mel: Tensor) -> Tensor:
        """Return the references' content."""
        n_frames = log_mel.shape[1]
        wave = self._waves(batch.reference_starts, n_frames, batch.warp)
        return self._heard(self._power(wave))[:, :n_frames].float()

    def _waves(self, starts: np.ndarray, n_frames: int, warp: float) -> Tensor:
        """Return 16 kHz sound [B, N] from frames `starts` [B] on, with what the encoder looks ahead."""
        n_heard = n_frames + ENCODER_AHEAD_FRAMES
        wave = waves(self.recordings.wave_16k, starts, round(n_heard * warp), FRAME_16K, self.generator.device)
        return stretch_time(wave, n_heard * FRAME_16K)

    def _power(self, wave: Tensor) -> Tensor:
        power: Tensor = self.encoder.frontend.power(wave)
        return power

    def _heard(self, power: Tensor) -> Tensor:
        with torch.autocast(power.device.type, torch.bfloat16):
            content: Tensor = self.encoder(self.encoder.frontend.log_mel(power))
        return content
