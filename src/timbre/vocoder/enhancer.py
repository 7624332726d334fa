"""The enhancer: sound once more through a vocoder, which takes away faults of the first pass (models spec 10.4)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from timbre.dsp.sinc_resample import sinc_resample
from timbre.errors import AudioError
from timbre.nn.draws import Draws
from timbre.vocoder.nsf_hifigan import NsfHifigan

_ZERO_CROSSINGS = 128
_RATE_STEP_HZ = 100


class Enhancer:
    """Makes sound anew from its own mel spectrogram and pitch."""

    def __init__(self, vocoder: NsfHifigan) -> None:
        self._vocoder = vocoder

    @torch.no_grad()
    def enhance(
        self,
        audio: Tensor,
        sample_rate_hz: int,
        f0_hz: Tensor,
        hop_samples: int,
        adaptive_key: float,
        silence_front_s: float,
        draws: Draws,
        *,
        start_cycles: Tensor | None = None,
    ) -> tuple[Tensor, int]:
        """Audio [1, L], f0 [1, n] in Hz each `hop_samples` -> audio [L'] and its rate, that of the vocoder.

        With an `adaptive_key` above 0 the vocoder hears and makes everything so many semitones deeper, which helps
        with voices higher than those it was trained on. The whole frames within the first `silence_front_s` are not
        computed but silent. Draws and `start_cycles` as in `NsfHifigan.synthesize`. Raises AudioError when nothing
        follows this silence.
        """
        vocoder_rate_hz, vocoder_hop = self._vocoder.shape.sample_rate_hz, self._vocoder.shape.hop_samples
        start = int(silence_front_s * sample_rate_hz / hop_samples)
        audio, f0_hz = audio[:, start * hop_samples :], f0_hz[:, start:]
        if audio.shape[1] == 0 or f0_hz.shape[1] == 0:
            raise AudioError(f"the sound ends within {silence_front_s:g} s of silence in front; give a longer one")
        factor = 2 ** (-adaptive_key / 12)
        work_rate_hz = _RATE_STEP_HZ * round(vocoder_rate_hz / factor / _RATE_STEP_HZ)
        slowing = vocoder_rate_hz / work_rate_hz
        audio = sinc_resample(audio, sample_rate_hz, work_rate_hz, _ZERO_CROSSINGS)
        f0_hz = _retimed(
            f0_hz * slowing,
            hop_samples / sample_rate_hz / slowing,
            vocoder_hop / vocoder_rate_hz,
            audio.shape[1] // vocoder_hop + 1,
        )
        wave = self._vocoder.synthesize(self._vocoder.mel(audio), f0_hz, draws, start_cycles=start_cycles)[0, 0]
        wave = sinc_resample(wave, work_rate_hz, vocoder_rate_hz, _ZERO_CROSSINGS)
        n_silent = round(vocoder_rate_hz * start * hop_samples / sample_rate_hz)
        return functional.pad(wave, (n_silent, 0)), vocoder_rate_hz


def _retimed(f0_hz: Tensor, from_step_s: float, to_step_s: float, n_frames: int) -> Tensor:
    """Interpolate f0 [1, n] on frames of another distance: [1, n_frames]; the values at the ends are held."""
    given = f0_hz[0].cpu().numpy()
    times_s = to_step_s * np.arange(n_frames)
    retimed = np.interp(times_s, from_step_s * np.arange(len(given)), given)
    return torch.from_numpy(retimed).to(f0_hz)[None]
