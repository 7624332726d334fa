"""Make a voice from reference recordings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from timbre.audio.rumble import without_rumble
from timbre.dsp.frontend import HOP_SAMPLES, SAMPLE_RATE_HZ
from timbre.errors import VoiceError
from timbre.models.fast.decoder import FilterSpectra, Timbre
from timbre.models.fast.synthesis import LOOKAHEAD_FRAMES
from timbre.pitch.contract import PitchTracker
from timbre.speaker.fast import relative_log_mel
from timbre.voice.bands import drawn_power, make_bands
from timbre.voice.base import Base
from timbre.voice.equaliser import make_equaliser, measure_corrections
from timbre.voice.fast import Reference
from timbre.voice.mean_spectra import measure_mean_spectra
from timbre.voice.render import NoiseSource, quiet_below_pitch

MAX_REFERENCE_S = 30 * 60
MIN_VOICED_S = 1.0
SEGMENT_S = 6.0
BANK_FRAMES = 1200
QUIET_SHARE = 0.15
N_VECTORS = 40
BANK_SEGMENTS = 15


@dataclass(frozen=True)
class Heard:
    """What the recordings of one person gave."""

    reference: Reference
    median_f0_hz: float
    seconds: float


@dataclass(frozen=True)
class _Segment:
    content: Tensor  # [T, C]
    f0_hz: Tensor  # [T]
    log_mel: Tensor  # [T, 80]
    relative_mel: Tensor  # [T, 80]
    loudness: Tensor  # [T]
    speaker: Tensor  # [D]


@dataclass(frozen=True)
class Recordings:
    """What is heard in the recordings of one person, whatever decoder will say it."""

    speaker: Tensor  # [D]
    median_f0_hz: float
    seconds: float
    stretches: tuple[_Segment, ...]  # for the bank

    def reference(self, base: Base) -> Reference:
        """Return the reference for the decoder of a base with the networks that heard them."""
        with torch.inference_mode():
            return _gather(base, self.speaker, self.stretches)


def hear(base: Base, waves: Iterable[NDArray[np.float32]], tracker: PitchTracker) -> Heard:
    """Listen to mono 16 kHz recordings of one person and keep what a voice needs.

    The speaker vector is the mean over stretches of six seconds; the bank holds the louder frames of up to 15 of them,
    evenly thinned out to 1200. At most the first 30 minutes are heard. Raises VoiceError where less than one second of
    it is voiced.
    """
    recordings = listen(base, waves, tracker)
    return Heard(recordings.reference(base), recordings.median_f0_hz, recordings.seconds)


def listen(base: Base, waves: Iterable[NDArray[np.float32]], tracker: PitchTracker) -> Recordings:
    """Do the part of `hear` that does not depend on the decoder, which may then change; raises VoiceError like it."""
    segments: list[_Segment] = []
    n_left = MAX_REFERENCE_S * SAMPLE_RATE_HZ
    for wave in waves:
        wave = wave[:n_left]
        n_left -= len(wave)
        segments += _segments(base, without_rumble(wave, SAMPLE_RATE_HZ), tracker)
    n_voiced = sum(int((segment.f0_hz > 0).sum()) for segment in segments)
    if n_voiced < MIN_VOICED_S * SAMPLE_RATE_HZ / HOP_SAMPLES:
        raise VoiceError(
            f"the reference holds {n_voiced * HOP_SAMPLES / SAMPLE_RATE_HZ:.1f} s of voice; "
            "give at least 5 s of clear speech or singing of one person"
        )
    f0_hz = torch.cat([segment.f0_hz for segment in segments])
    return Recordings(
        speaker=_speaker(segments),
        median_f0_hz=float(f0_hz[f0_hz > 0].median()),
        seconds=len(f0_hz) * HOP_SAMPLES / SAMPLE_RATE_HZ,
        stretches=tuple(segments[:: -(-len(segments) // BANK_SEGMENTS)]),
    )


def _segments(base: Base, wave: NDArray[np.float32], tracker: PitchTracker) -> list[_Segment]:
    """Cut one recording into equal stretches of about six seconds and listen to each."""
    count = max(1, round(len(wave) / (SEGMENT_S * SAMPLE_RATE_HZ)))
    size = len(wave) // count // HOP_SAMPLES * HOP_SAMPLES
    if size < 10 * HOP_SAMPLES:
        return []
    return [_listen(base, wave[number * size : (number + 1) * size], tracker) for number in range(count)]


@torch.inference_mode()
def _listen(base: Base, wave: NDArray[np.float32], tracker: PitchTracker) -> _Segment:
    networks = base.networks
    frontend = networks.content.frontend
    n_frames = len(wave) // HOP_SAMPLES
    f0_hz = torch.from_numpy(tracker.track(wave, SAMPLE_RATE_HZ, HOP_SAMPLES, n_frames).f0_hz).to(base.device)
    power = frontend.power(torch.from_numpy(wave).to(base.device).unsqueeze(0))
    log_mel = frontend.log_mel(power)
    relative = relative_log_mel(log_mel)
    return _Segment(
        networks.content(log_mel)[0],
        f0_hz,
        log_mel[0],
        relative[0],
        frontend.loudness(power)[0],
        networks.speaker(relative)[0],
    )


@torch.inference_mode()
def _speaker(segments: list[_Segment]) -> Tensor:
    """Return the mean vector [D] of the best voiced stretches."""
    best = sorted(segments, key=lambda segment: -int((segment.f0_hz > 0).sum()))[:N_VECTORS]
    return functional.normalize(torch.stack([segment.speaker for segment in best]).mean(dim=0), dim=-1)


def _gather(base: Base, speaker: Tensor, segments: Sequence[_Segment]) -> Reference:
    """Join stretches to a bank of at most 1200 louder frames, with what the decoder gets wrong at each."""
    loudness = torch.cat([segment.loudness for segment in segments])
    loud = torch.nonzero(loudness >= torch.quantile(loudness, QUIET_SHARE)).squeeze(1)
    if len(loud) > BANK_FRAMES:
        loud = loud[torch.linspace(0, len(loud) - 1, BANK_FRAMES, device=loud.device).long()]
    content, f0_hz, log_mel, relative_mel = (
        torch.cat([getattr(segment, name) for segment in segments])
        for name in ("content", "f0_hz", "log_mel", "relative_mel")
    )
    kept = content[loud], f0_hz[loud], relative_mel[loud]
    timbre = base.networks.decoder.timbre(*(part.unsqueeze(0) for part in (speaker, *kept)))
    drawn, rebuilt = _rebuild(base, timbre, content, f0_hz, loudness)
    bands = make_bands(base.networks.content.frontend)
    correction = measure_corrections(base.networks.content.frontend, log_mel, rebuilt)[loud]
    equaliser = make_equaliser(content[loud], correction, bands)
    louder = loud[loudness[loud] >= loudness.mean()]  # as a conversion counts only those
    corrected = equaliser.apply(drawn.frames(louder), content[louder].unsqueeze(0))
    log_powers = bands.log_powers(drawn_power(corrected, f0_hz[louder].unsqueeze(0)))
    classes = measure_mean_spectra(content[louder], log_powers)
    return Reference(speaker, *kept, correction, classes.directions, classes.log_powers, classes.n_frames)


def _rebuild(
    base: Base, timbre: Timbre, content: Tensor, f0_hz: Tensor, loudness: Tensor
) -> tuple[FilterSpectra, Tensor]:
    """Let the decoder say frames [T] of the voice itself, uncorrected: what it draws, and the sound [T * hop]."""
    networks = base.networks
    spectra = networks.decoder(content.unsqueeze(0), f0_hz.unsqueeze(0), loudness.unsqueeze(0), timbre)
    spectra = quiet_below_pitch(spectra, f0_hz.unsqueeze(0))
    noise = NoiseSource(0).frames(0, len(f0_hz)).to(base.device)
    known_f0_hz = torch.cat((f0_hz, f0_hz[-1:].expand(LOOKAHEAD_FRAMES)))
    return spectra, networks.synthesis(spectra, known_f0_hz.unsqueeze(0), noise.unsqueeze(0))[0]
