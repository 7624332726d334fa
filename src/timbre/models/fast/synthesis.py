"""From filter spectra and pitch to sound: pulses and noise through the drawn filters, whole and in steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbre.models.fast.decoder import FilterSpectra
from timbre.nn.filtering import FrameFilter
from timbre.nn.pulses import PulseState, fresh_pulse_state, pulse_train

LOOKAHEAD_FRAMES = 2
LOG_LIMIT = 6.0
DISPERSION_S = 0.002
DISPERSION_TOP_HZ = 5000.0


def dispersion_phase(n_fft: int, sample_rate_hz: int, dispersion_s: float) -> Tensor:
    """Return the phase [bins] of an all-pass whose delay rises evenly to `dispersion_s` at 5 kHz and then stays."""
    frequency_hz = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * (sample_rate_hz / n_fft)
    delay_s = dispersion_s * (frequency_hz / DISPERSION_TOP_HZ).clamp(max=1.0)
    phase = -2 * torch.pi * torch.cumsum(delay_s, dim=0) * (sample_rate_hz / n_fft)
    return torch.remainder(phase, 2 * torch.pi).float()


@dataclass(frozen=True)
class SynthesisState:
    """What the synthesiser remembers between steps."""

    pulses: PulseState
    source: Tensor  # [B, s] pulses that frames still to come will cut
    tail: Tensor  # [B, n_fft - hop] sound that frames still to come will add to
    skip_samples: int  # finished samples that lie before the first frame's centre


class FastSynthesis(nn.Module):
    """Sound = pulses * harmonic filter + noise * noise filter, frame by frame with overlap-add.

    Frame t draws on pulses up to half a window after its centre, hence on f0 of frames t + 1 and t + 2. A fixed
    all-pass spreads each pulse over `dispersion_s`, as a vocal tract does; without it peaks are 4 dB higher.
    """

    dispersion: Tensor

    def __init__(self, n_fft: int, hop_samples: int, sample_rate_hz: int, dispersion_s: float = DISPERSION_S) -> None:
        super().__init__()
        self.filter = FrameFilter(n_fft, hop_samples)
        self.hop_samples, self.sample_rate_hz = hop_samples, sample_rate_hz
        # White noise of unit variance, windowed, has this deviation in real and imaginary part of each bin.
        self.register_buffer("dispersion", dispersion_phase(n_fft, sample_rate_hz, dispersion_s), persistent=False)
        self.noise_scale = float((0.5 * torch.sum(self.filter.window**2)).sqrt())

    def forward(self, spectra: FilterSpectra, f0_hz: Tensor, noise: Tensor) -> Tensor:
        """Spectra of T frames, f0 [B, T + 2], standard normal noise [B, T, bins, 2] -> sound [B, T * hop].

        The last half window fades, as the frames after it are missing.
        """
        state = self.fresh_state(f0_hz.shape[0], f0_hz)
        sound, state = self.step(spectra, f0_hz, noise, state)
        return torch.cat((sound, self.flush(state)), dim=1)

    def fresh_state(self, batch: int, like: Tensor) -> SynthesisState:
        """Return the state before the first frame."""
        return SynthesisState(
            fresh_pulse_state(batch, like.device),
            like.new_zeros(batch, self.filter.half_window),
            like.new_zeros(batch, self.filter.n_fft - self.hop_samples),
            self.filter.half_window,
        )

    def step(
        self, spectra: FilterSpectra, f0_hz: Tensor, noise: Tensor, state: SynthesisState
    ) -> tuple[Tensor, SynthesisState]:
        """Spectra of n frames, f0 [B, n] of the frames two later (n + 2 in the first step) -> finished sound."""
        pulses, pulse_state = pulse_train(f0_hz, state.pulses, self.hop_samples, self.sample_rate_hz)
        source = torch.cat((state.source, pulses), dim=1)
        n_frames = spectra.log_noise.shape[1]
        if n_frames == 0:
            return source.new_zeros(source.shape[0], 0), SynthesisState(
                pulse_state, source, state.tail, state.skip_samples
            )
        needed = (n_frames - 1) * self.hop_samples + self.filter.n_fft
        mixed = self._filtered(spectra, self.filter.spectra(source[:, :needed]), noise)
        sound, tail = self.filter.add(mixed, state.tail)
        skip = min(state.skip_samples, sound.shape[1])
        following = SynthesisState(
            pulse_state, source[:, n_frames * self.hop_samples :], tail, state.skip_samples - skip
        )
        return sound[:, skip:], following

    def flush(self, state: SynthesisState) -> Tensor:
        """Return the last half window of sound [B, half]."""
        stretches = -(-self.filter.half_window // self.hop_samples)
        tail = functional.pad(state.tail, (0, stretches * self.hop_samples))[:, : stretches * self.hop_samples]
        rest: Tensor = tail.unflatten(1, (stretches, self.hop_samples)) / self.filter.squared_sum
        return rest.flatten(1)[:, : self.filter.half_window]

    def _filtered(self, spectra: FilterSpectra, source: Tensor, noise: Tensor) -> Tensor:
        harmonic = torch.polar(spectra.log_harmonic.clamp(max=LOG_LIMIT).exp(), spectra.phase + self.dispersion)
        return source * harmonic + torch.view_as_complex(noise * self.noise_scale) * (
            spectra.log_noise.clamp(max=LOG_LIMIT).exp()
        )
