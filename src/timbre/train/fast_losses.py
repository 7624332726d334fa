"""The losses that give the packaged decoder one voice and keep its words and its other voices."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbre.config.fast import HOP_SAMPLES, SAMPLE_RATE_HZ
from timbre.dsp import frontend
from timbre.dsp.sinc_resample import sinc_resample
from timbre.models.fast.decoder import FastDecoder, FilterSpectra
from timbre.models.fast.discriminator import MelDiscriminator
from timbre.speaker.fast import relative_log_mel
from timbre.train.fast_items import CONTEXT_FRAMES, Items
from timbre.train.gradients import frozen
from timbre.train.spectral_loss import spectral_loss
from timbre.voice.base import FastNetworks

WEIGHTS = {"spectral": 1.0, "mel": 0.1, "content": 1.0, "speaker": 1.0, "adversarial": 1.0, "base": 1.0}
SMOOTH = 0.05  # natural log; nearer than this, the base's filters count by the square
EDGE_FRAMES = 4  # at both ends of what is judged, where the resampled sound is not whole


@dataclass(frozen=True)
class MelPatches:
    """Log-mel spectrograms of b recordings, and of m sounds that were made: copies of those, then phrases."""

    recorded: Tensor  # [b, T, 80]
    made: Tensor  # [m, T, 80]

    @property
    def copies(self) -> Tensor:
        """What was made of the recordings [b, T, 80]."""
        return self.made[: len(self.recorded)]

    def adversarial_loss(self, discriminator: MelDiscriminator) -> Tensor:
        """Return how far a discriminator is from taking what was made for recordings."""
        return self._of_made((discriminator(self.made) - 1).square())

    def discriminator_loss(self, discriminator: MelDiscriminator) -> Tensor:
        """Return how far it is from telling both apart; no gradient reaches what was made."""
        judged = discriminator(torch.cat((self.recorded, self.made.detach())))
        recorded, made = judged[: len(self.recorded)], judged[len(self.recorded) :]
        loss: Tensor = (recorded - 1).square().mean() + self._of_made(made.square())
        return loss

    def _of_made(self, losses: Tensor) -> Tensor:
        """Return the mean loss [m, patches], in which copies and phrases weigh alike."""
        parts = losses.split([len(self.recorded), len(losses) - len(self.recorded)])
        return torch.stack([part.mean() for part in parts if len(part)]).mean()


class FastLosses(nn.Module):
    """The decoder that learns, and what judges it; `forward` gives the losses of a batch.

    Only `decoder` has gradients. The networks of the base judge by what they hear in the sound that was made: content
    that differs from what was given, a speaker that is not the reference. `discriminator` judges how much it is like
    the recordings. All of these are kept out of the state of the module.
    """

    def __init__(self, networks: FastNetworks, discriminator: MelDiscriminator) -> None:
        super().__init__()
        self.decoder = copy.deepcopy(networks.decoder).train().requires_grad_(True)
        self._judges = (networks, discriminator)  # a tuple, so that they are no part of this module

    def forward(self, items: Items, step: int) -> tuple[dict[str, Tensor], MelPatches]:
        """Return the mean losses of a batch by name (models: see docs/TRAINING.md), and what was heard for them.

        "total" is what is minimised.
        """
        n_own, n_made = len(items.target), len(items.noise)
        drawn = _drawn(self.decoder, items)
        with torch.autocast(items.target.device.type, enabled=False):
            made = self._sound(_first(drawn, n_made), items)
            target = items.target
            judged = slice(CONTEXT_FRAMES * HOP_SAMPLES, (items.content.shape[1] - 2) * HOP_SAMPLES)
            losses = {"spectral": spectral_loss(made[:n_own, judged], target[:, judged], items.bandwidth_hz, step)}
        heard, patches = self._heard(made, items)
        losses |= heard
        if len(items.content) > n_made:
            with torch.no_grad():
                wanted = _drawn(self._networks.decoder, items, n_made)
            losses["base"] = _distance(_last(drawn, n_made), wanted)
        with frozen(self._discriminator):
            losses["adversarial"] = patches.adversarial_loss(self._discriminator)
        losses["total"] = torch.stack([WEIGHTS[name] * loss.float() for name, loss in losses.items()]).sum()
        return losses, patches

    @property
    def _networks(self) -> FastNetworks:
        return self._judges[0]

    @property
    def _discriminator(self) -> MelDiscriminator:
        return self._judges[1]

    def _sound(self, spectra: FilterSpectra, items: Items) -> Tensor:
        made: Tensor = self._networks.synthesis(spectra, items.f0_hz[: len(items.noise)], items.noise)
        return made / items.gain

    def _heard(self, made: Tensor, items: Items) -> tuple[dict[str, Tensor], MelPatches]:
        """Compare what the base's encoders hear in the sound with what they should hear."""
        networks = self._networks
        with torch.autocast(made.device.type, enabled=False):
            narrow = sinc_resample(made, SAMPLE_RATE_HZ, frontend.SAMPLE_RATE_HZ)
            hearing = networks.content.frontend
            log_mel = hearing.log_mel(hearing.power(narrow))
        judged = slice(CONTEXT_FRAMES + EDGE_FRAMES, log_mel.shape[1] - EDGE_FRAMES)
        content = networks.content(log_mel)[:, judged]
        vector = networks.speaker(relative_log_mel(log_mel[:, CONTEXT_FRAMES:]))
        wanted_content = items.wanted_content[:, judged]
        patches = MelPatches(items.true_mel[:, judged], log_mel[:, judged])
        losses = {
            "mel": functional.l1_loss(patches.copies, patches.recorded),
            "content": 1 - functional.cosine_similarity(content, wanted_content, dim=-1).mean(),
            "speaker": 1 - (vector * items.speaker[: len(made)]).sum(dim=-1).mean(),
        }
        return losses, patches


def _drawn(decoder: FastDecoder, items: Items, first: int = 0) -> FilterSpectra:
    """Return what a decoder draws for the items from `first` on."""
    timbre = decoder.timbre(
        items.speaker[first:], items.bank_content[first:], items.bank_f0_hz[first:], items.bank_mel[first:]
    )
    n = items.content.shape[1]
    drawn: FilterSpectra = decoder(items.content[first:], items.f0_hz[first:, :n], items.loudness[first:], timbre)
    return drawn


def _first(spectra: FilterSpectra, count: int) -> FilterSpectra:
    return FilterSpectra(*(part[:count] for part in vars(spectra).values()))


def _last(spectra: FilterSpectra, first: int) -> FilterSpectra:
    return FilterSpectra(*(part[first:] for part in vars(spectra).values()))


def _distance(made: FilterSpectra, wanted: FilterSpectra) -> Tensor:
    """Return how far drawn filters are from those of the base: logarithms by smooth L1, phases by 1 - cos.

    It is smooth because both are equal at first, where the slope of L1 would be that of rounding.
    """
    judged = slice(CONTEXT_FRAMES, None)
    harmonic = functional.smooth_l1_loss(made.log_harmonic[:, judged], wanted.log_harmonic[:, judged], beta=SMOOTH)
    noise = functional.smooth_l1_loss(made.log_noise[:, judged], wanted.log_noise[:, judged], beta=SMOOTH)
    phase = (1 - torch.cos(made.phase[:, judged] - wanted.phase[:, judged])).mean()
    return harmonic + noise + 0.5 * phase
