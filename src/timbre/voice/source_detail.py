"""Keep a share of the source's own spectral detail.

Frame by frame, a spectrum differs from the mean of its class of sounds: that is how this speaker says this sound here.
The encoder and the decoder pass on part of it. What they lost of it is put back by a share that the user chooses:
words get clearer, and more of the source's voice stays. The means are running ones, so it is causal and adds no delay.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from timbre.models.fast.decoder import FilterSpectra
from timbre.voice.bands import Bands, band_centres_hz, drawn_power, smoothed
from timbre.voice.sound_classes import ClassBlock, ClassMeans, raised_evenly, shape_of

TRUST_FRAMES = 5  # of a class, after which half of what is lost is known
HARMONICS_HZ = 250.0  # over which the source is smoothed: its harmonics are no detail
MAX_CORRECTION = 1.5  # natural log of amplitude, about 13 dB
SMOOTHING_BANDS = 3


class SourceDetail:
    """A running correction: each frame is moved by `share` (up to 1) of what it lost against its source."""

    def __init__(self, share: float, directions: Tensor, mel_basis: Tensor, bands: Bands) -> None:
        self.share, self.bands = share, bands
        self._smooth = _smoothing(mel_basis)
        self._means = ClassMeans(directions, mel_basis.shape[1])

    def __call__(
        self, spectra: FilterSpectra, f0_hz: Tensor, content: Tensor, loud: Tensor, log_mel: Tensor
    ) -> FilterSpectra:
        """Correct the next filters [1, n, bins], drawn for f0 [n] and content [n, C] of a source with log-mel [n, 80].

        Its frames are `loud` [n] (1 or 0).
        """
        if len(content) == 0:
            return spectra
        power = drawn_power(spectra, f0_hz.unsqueeze(0))
        lost = shape_of(torch.log(log_mel.exp() @ self._smooth)) - shape_of(self.bands.log_powers(power))
        blocks = self._means.push(functional.normalize(content, dim=-1), loud, lost)
        return raised_evenly(spectra, power, torch.cat([self._correction(block) for block in blocks]), self.bands)

    def _correction(self, block: ClassBlock) -> Tensor:
        trust = block.shares * block.counts / (block.counts + TRUST_FRAMES)
        detail = torch.einsum("nk,nkb->nb", trust, block.heard.unsqueeze(1) - block.means)
        # Half, as log of power becomes log of amplitude.
        return smoothed(0.5 * self.share * detail, SMOOTHING_BANDS).clamp(-MAX_CORRECTION, MAX_CORRECTION)


def _smoothing(mel_basis: Tensor) -> Tensor:
    """Return the matrix [80, 80] from band powers (from the right) to mean powers over 250 Hz around each band."""
    width, centre_hz = mel_basis.sum(dim=0), band_centres_hz(mel_basis)
    near = (centre_hz.unsqueeze(1) - centre_hz).abs() <= HARMONICS_HZ / 2  # [from, to]
    return near / (near * width.unsqueeze(1)).sum(dim=0)
