"""The second pass: the sound is rendered in chunks, levelled, and muted or left alone where it was silent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from timbre.audio.envelope import EnvelopeFollower
from timbre.audio.limiter import StreamLimiter
from timbre.audio.resample import resampled_length
from timbre.audio.rumble import blocks_without_rumble
from timbre.audio.slicing import Piece
from timbre.audio.source import SoundSource, mono_blocks
from timbre.config.convert import ConvertSettings
from timbre.convert.clips import render_clips, render_compatible
from timbre.convert.scan import Scan
from timbre.dsp.frontend import HOP_SAMPLES, SAMPLE_RATE_HZ
from timbre.voice.catalog import Voice
from timbre.voice.fast import FastVoice

Wave = NDArray[np.float32]
# Of voices that carry their state on: longer chunks leave the processor's caches, and each one has a fixed cost.
STREAMED_CHUNK_S = 8.0


@dataclass(frozen=True)
class Chunk:
    """A stretch of finished sound and how far the source has been heard."""

    samples: Wave  # [N] at the voice's rate
    done_s: float
    limited_db: float  # the most that a peak was turned down so far


def render_chunks(
    voice: Voice, source: SoundSource, scanned: Scan, shift_semitones: float, settings: ConvertSettings
) -> Iterator[Chunk]:
    """Yield the converted sound; in all exactly as many samples as the source lasts at the voice's rate.

    Voices of the fast family carry the state of all networks from chunk to chunk, so `max_chunk_s` changes the memory,
    not the sound; others fade from stretch to stretch. Peaks beyond -0.1 dB full scale are turned down by a look-ahead
    limiter.
    """
    rate = voice.sample_rate_hz
    total = resampled_length(source.n_samples, source.sample_rate_hz, rate)
    if isinstance(voice, FastVoice):
        heard_rate, pairs = SAMPLE_RATE_HZ, _stream(voice, source, scanned, shift_semitones, settings)
    elif settings.compatible:
        yield _whole_chunk(render_compatible(voice, source, scanned, shift_semitones, settings), total, rate)
        return
    else:
        heard_rate, pairs = rate, render_clips(voice, source, scanned, shift_semitones, settings, total)
    gate = SilenceGate(scanned.pieces, rate, settings)
    ambience = _Ambience(mono_blocks(source, scanned.weights, rate)) if settings.silence == "keep" else None
    envelope = EnvelopeFollower(heard_rate, rate, 1 - settings.loudness_envelope)
    limiter = StreamLimiter(rate)
    n_heard = n_gated = n_levelled = 0

    def finish(levelled: Wave) -> Wave:
        if ambience is not None:
            levelled = levelled + (1 - gate.gains(n_levelled, len(levelled))) * ambience.read(len(levelled))
        limited: Wave = limiter.push(levelled[None])[0]
        return limited

    for wave, sound in pairs:
        gated = sound * gate.gains(n_gated, len(sound))
        n_heard, n_gated = n_heard + len(wave), n_gated + len(sound)
        levelled = envelope.push(wave, gated)[: total - n_levelled]
        finished = finish(levelled)
        n_levelled += len(levelled)
        yield Chunk(finished, n_heard / heard_rate, limiter.reduction_db)
    rest = envelope.flush()[: total - n_levelled]
    rest = np.pad(rest, (0, total - n_levelled - len(rest)))
    end = np.concatenate((finish(rest), limiter.flush()[0]))
    yield Chunk(end, source.n_samples / source.sample_rate_hz, limiter.reduction_db)


def _whole_chunk(sound: Wave, total: int, sample_rate_hz: int) -> Chunk:
    """Return a whole sound as one chunk of `total` samples; beyond full scale it is clipped, as it always was."""
    fitted = np.pad(sound[:total], (0, max(0, total - len(sound))))
    return Chunk(np.clip(fitted, -1, 1), total / sample_rate_hz, 0.0)


def _stream(
    voice: FastVoice, source: SoundSource, scanned: Scan, shift_semitones: float, settings: ConvertSettings
) -> Iterator[tuple[Wave, Wave]]:
    """Yield what was heard (16 kHz) and what came out (voice's rate) of each chunk."""
    device = voice.base.device
    assert scanned.f0_hz is not None
    f0_hz = torch.from_numpy(scanned.f0_hz * np.float32(2 ** (shift_semitones / 12))).to(device)
    extractor, renderer = voice.extractor(settings), voice.renderer(settings)
    state, n_frames = extractor.fresh_state(), 0
    chunk_s = settings.max_chunk_s or STREAMED_CHUNK_S
    chunk_samples = max(1, round(chunk_s * SAMPLE_RATE_HZ / HOP_SAMPLES)) * HOP_SAMPLES
    blocks = blocks_without_rumble(mono_blocks(source, scanned.weights, SAMPLE_RATE_HZ), SAMPLE_RATE_HZ)
    for wave, last in _cut(blocks, chunk_samples):
        heard, state = extractor.step(torch.from_numpy(wave).to(device), state, last=last)
        frames = heard.frames(f0_hz[n_frames : n_frames + len(heard.content)])
        n_frames += len(heard.content)
        yield wave, renderer.push(frames, last=last).cpu().numpy()


def _cut(blocks: Iterator[Wave], size: int) -> Iterator[tuple[Wave, bool]]:
    """Cut a sound that comes in blocks into chunks of `size` and a last one padded to whole frames."""
    held: list[Wave] = []
    n_held = 0
    for block in blocks:
        held.append(block)
        n_held += len(block)
        while n_held > size:
            joined = np.concatenate(held)
            yield joined[:size], False
            held, n_held = [joined[size:]], n_held - size
    rest = np.concatenate(held) if held else np.zeros(0, dtype=np.float32)
    yield np.pad(rest, (0, -len(rest) % HOP_SAMPLES)), True


class SilenceGate:
    """Tells where the source was silent, with short fades inside the voiced stretches."""

    def __init__(self, pieces: list[Piece], sample_rate_hz: int, settings: ConvertSettings) -> None:
        scale = sample_rate_hz / SAMPLE_RATE_HZ
        self._fade = max(1, round(settings.crossfade_s * sample_rate_hz))
        voiced = [piece for piece in pieces if settings.silence == "convert" or not piece.silent]
        end = max((piece.end for piece in pieces), default=0)
        # Times of the corners and gains there; sound at the very ends of the file is not faded.
        self._times: list[float] = []
        self._gains: list[float] = []
        for piece in _joined(voiced):
            start, stop = piece.start * scale, piece.end * scale
            fade = min(self._fade, (stop - start) / 2)
            if piece.start > 0:
                self._add((start, 0.0), (start + fade, 1.0))
            else:
                self._add((0.0, 1.0))
            if piece.end < end:
                self._add((stop - fade, 1.0), (stop, 0.0))
            else:
                self._add((stop, 1.0))

    def gains(self, start: int, n_samples: int) -> Wave:
        """Return by how much to multiply `n_samples` samples from `start` on, 0 to 1 [N]."""
        if not self._times:
            return np.zeros(n_samples, dtype=np.float32)
        return np.interp(np.arange(start, start + n_samples), self._times, self._gains).astype(np.float32)

    def _add(self, *corners: tuple[float, float]) -> None:
        for time, gain in corners:
            self._times.append(time)
            self._gains.append(gain)


class _Ambience:
    """The source itself, read on demand."""

    def __init__(self, blocks: Iterator[Wave]) -> None:
        self._blocks = blocks
        self._held: Wave = np.zeros(0, dtype=np.float32)

    def read(self, n_samples: int) -> Wave:
        """Return the next samples [N], zeros beyond the end."""
        while len(self._held) < n_samples and (block := next(self._blocks, None)) is not None:
            self._held = np.concatenate((self._held, block))
        taken, self._held = self._held[:n_samples], self._held[n_samples:]
        return np.pad(taken, (0, n_samples - len(taken)))


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Join pieces that touch."""
    joined: list[Piece] = []
    for piece in pieces:
        if joined and joined[-1].end == piece.start:
            joined[-1] = Piece(False, joined[-1].start, piece.end)
        else:
            joined.append(piece)
    return joined
