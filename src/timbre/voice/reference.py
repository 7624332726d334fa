"""Make a voice from reference recordings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from timbre.dsp.frontend import HOP_SAMPLES, SAMPLE_RATE_HZ
from timbre.errors import VoiceError
from timbre.features.frames import Frames
from timbre.pitch.contract import PitchTracker
from timbre.speaker.fast import relative_log_mel
from timbre.voice.base import Base
from timbre.voice.equaliser import Equaliser, measure_equaliser
from timbre.voice.fast import Reference
from timbre.voice.render import FastRenderer

MAX_REFERENCE_S = 30 * 60
MIN_VOICED_S = 1.0
SEGMENT_S = 6.0
BANK_FRAMES = 1200
QUIET_SHARE = 0.15
N_VECTORS = 40
EQUALISER_SEGMENTS = 5


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


def hear(base: Base, waves: Iterable[NDArray[np.float32]], tracker: PitchTracker) -> Heard:
    """Listen to mono 16 kHz recordings of one person and keep what a voice needs.

    The speaker vector is the mean over stretches of six seconds; the bank holds the louder frames, evenly thinned out
    to 1200. At most the first 30 minutes are heard. Raises VoiceError where less than one second of it is voiced.
    """
    segments: list[_Segment] = []
    n_left = MAX_REFERENCE_S * SAMPLE_RATE_HZ
    for wave in waves:
        wave = wave[:n_left]
        n_left -= len(wave)
        segments += _segments(base, wave, tracker)
    n_voiced = sum(int((segment.f0_hz > 0).sum()) for segment in segments)
    if n_voiced < MIN_VOICED_S * SAMPLE_RATE_HZ / HOP_SAMPLES:
        raise VoiceError(
            f"the reference holds {n_voiced * HOP_SAMPLES / SAMPLE_RATE_HZ:.1f} s of voice; "
            "give at least 5 s of clear speech or singing of one person"
        )
    f0_hz = torch.cat([segment.f0_hz for segment in segments])
    median_f0_hz = float(f0_hz[f0_hz > 0].median())
    reference = _equalised(base, _gather(segments, f0_hz), segments)
    return Heard(reference, median_f0_hz, len(f0_hz) * HOP_SAMPLES / SAMPLE_RATE_HZ)


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


def _gather(segments: list[_Segment], f0_hz: Tensor) -> Reference:
    """Join the stretches: the mean vector of the best voiced ones, and a bank of at most 1200 louder frames."""
    best = sorted(segments, key=lambda segment: -int((segment.f0_hz > 0).sum()))[:N_VECTORS]
    speaker = torch.nn.functional.normalize(torch.stack([segment.speaker for segment in best]).mean(dim=0), dim=-1)
    loudness = torch.cat([segment.loudness for segment in segments])
    loud = torch.nonzero(loudness >= torch.quantile(loudness[: 10**7].float(), QUIET_SHARE)).squeeze(1)
    if len(loud) > BANK_FRAMES:
        loud = loud[torch.linspace(0, len(loud) - 1, BANK_FRAMES, device=loud.device).long()]
    content = torch.cat([segment.content for segment in segments])[loud]
    relative_mel = torch.cat([segment.relative_mel for segment in segments])[loud]
    nothing = relative_mel.new_zeros(relative_mel.shape[1])
    return Reference(speaker, content, f0_hz[loud], relative_mel, nothing, nothing)


@torch.inference_mode()
def _equalised(base: Base, reference: Reference, segments: list[_Segment]) -> Reference:
    """Let the decoder rebuild up to 30 s of the recordings and keep the correction that they ask for."""
    chosen = segments[:: -(-len(segments) // EQUALISER_SEGMENTS)]
    content = torch.cat([segment.content for segment in chosen])
    f0_hz = torch.cat([segment.f0_hz for segment in chosen])
    loudness = torch.cat([segment.loudness for segment in chosen])
    frames = Frames(content, f0_hz, f0_hz > 0, loudness, HOP_SAMPLES, SAMPLE_RATE_HZ)
    none = Equaliser(f0_hz.new_zeros(()), f0_hz.new_zeros(()))
    renderer = FastRenderer(base.networks, reference.timbre(base.networks.decoder), none, reference.content, 0.0, 0)
    rebuilt = renderer.push(frames, last=True)
    log_mel = torch.cat([segment.log_mel for segment in chosen])
    found = measure_equaliser(base.networks.content.frontend, log_mel, f0_hz > 0, rebuilt)
    return replace(reference, harmonic_correction=found.harmonic, noise_correction=found.noise)
