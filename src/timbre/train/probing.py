"""What voices in training are judged by: probes, and the packaged base as a listener."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from timbre.audio.resample import resample
from timbre.config.convert import ConvertSettings
from timbre.config.fast import SAMPLE_RATE_HZ
from timbre.dsp import frontend
from timbre.evaluate.waves import MonoWave, read_mono_wave
from timbre.features.extract import FrameExtractor
from timbre.features.frames import Frames
from timbre.pitch.trackers import load_tracker
from timbre.speaker.fast import relative_log_mel
from timbre.train.listening import Judge, Probe, independent_embed, words_of
from timbre.voice import shelf
from timbre.voice.base import Base
from timbre.voice.card import CARD_FILE
from timbre.voice.fast import FastVoice, read_voice

N_PROBES, N_TARGETS, PROBE_S = 4, 10, 8.0
EXACT = ConvertSettings(precision="exact")  # so that a training hears the same on every processor


def other_voices(base: Base) -> list[FastVoice]:
    """Return the packaged voices, in the order of their names."""
    folders = sorted(path.parent for path in (shelf.ASSETS / "voices").glob(f"*/{CARD_FILE}"))
    return [read_voice(folder, base) for folder in folders]


def packaged_phrases(base: Base) -> Frames | None:
    """Return what the base hears in the packaged phrases; None where the package has none."""
    file = shelf.ASSETS / shelf.PHRASES_FILE
    return hear_frames(base, read_mono_wave(file)) if file.is_file() else None


def said_by(voice: FastVoice, frames: Frames) -> Tensor:
    """Return frames in a voice [T * 441], moved to its pitch."""
    voiced = frames.f0_hz[frames.f0_hz > 0]
    factor = voice.card.median_f0_hz / float(voiced.median()) if len(voiced) else 1.0
    return voice.render(replace(frames, f0_hz=frames.f0_hz * factor), EXACT)


def hear_frames(base: Base, wave: MonoWave) -> Frames:
    """Return what the base hears in a sound."""
    wave_16k = wave.at(frontend.SAMPLE_RATE_HZ).samples
    n_frames = len(wave_16k) // frontend.HOP_SAMPLES
    track = load_tracker("pm").track(wave_16k, frontend.SAMPLE_RATE_HZ, frontend.HOP_SAMPLES, n_frames)
    samples, f0_hz = (torch.from_numpy(values).to(base.device) for values in (wave_16k, track.f0_hz))
    return FrameExtractor(base.networks.content).whole(samples, f0_hz)


def heard_again(base: Base, wave: Tensor) -> Tensor:
    """Return the content [T, C] that the base hears in sound at 44.1 kHz [T * 441]."""
    return hear_content(base, at_16k(wave))


def hear_content(base: Base, wave_16k: NDArray[np.float32]) -> Tensor:
    """Return the content [T, C] that the base hears in sound at 16 kHz [T * 160]."""
    content = FrameExtractor(base.networks.content).content(torch.from_numpy(wave_16k).to(base.device))
    return content.cpu().clone()  # which gradients may pass, other than what the extractor returns


@torch.no_grad()
def hear_log_mel(base: Base, wave_16k: NDArray[np.float32]) -> Tensor:
    """Return what the front end of the base hears in sound at 16 kHz [N]: natural log of mel band powers [T, 80]."""
    hearing = base.networks.content.frontend
    samples = torch.from_numpy(wave_16k).to(base.device)
    return hearing.log_mel(hearing.power(samples.unsqueeze(0)))[0]


def at_16k(wave: Tensor) -> NDArray[np.float32]:
    """Return sound at 44.1 kHz [T * 441] at 16 kHz [T * 160]."""
    return resample(wave.cpu().numpy(), SAMPLE_RATE_HZ, frontend.SAMPLE_RATE_HZ)


def make_judge(base: Base, voices: Sequence[FastVoice], clips: Sequence[MonoWave], given: Sequence[Probe]) -> Judge:
    """Return who listens: to the `given` probes, or else to the first of `clips`, said by other voices.

    `clips` are recordings of the speaker, those first that are not learned from; likeness to the first ones is judged.
    Without the independent speaker encoder the one of the base compares voices.
    """
    clips = [_short(clip) for clip in clips[: max(N_PROBES, N_TARGETS)]]
    probes = list(given) or [_said(base, voices, number, clip) for number, clip in enumerate(clips[:N_PROBES])]
    embed = independent_embed() or (lambda wave: _voice_vector(base, wave))
    return Judge(probes, clips[:N_TARGETS], embed, lambda wave_16k: hear_content(base, wave_16k).numpy())


def given_probe(name: str, wave: MonoWave) -> Probe:
    """Return a probe of a recording, no more than its first seconds, with the words that are heard in it."""
    short = _short(wave)
    return Probe(name, short, words_of(short))


def _said(base: Base, voices: Sequence[FastVoice], number: int, clip: MonoWave) -> Probe:
    if not voices:
        return Probe(f"{number + 1}", clip)
    voice = voices[number % len(voices)]
    said = said_by(voice, hear_frames(base, clip)).cpu().numpy()
    return Probe(f"{number + 1} by {voice.card.name}", MonoWave(said, SAMPLE_RATE_HZ))


def _short(wave: MonoWave) -> MonoWave:
    return MonoWave(wave.samples[: round(PROBE_S * wave.sample_rate_hz)], wave.sample_rate_hz)


@torch.no_grad()
def _voice_vector(base: Base, wave: MonoWave) -> NDArray[np.float32]:
    log_mel = hear_log_mel(base, wave.at(frontend.SAMPLE_RATE_HZ).samples)
    vector: NDArray[np.float32] = base.networks.speaker(relative_log_mel(log_mel.unsqueeze(0)))[0].cpu().numpy()
    return vector
