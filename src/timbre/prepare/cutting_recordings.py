"""From a recording to its clips: mixed, cut, resampled, trimmed, levelled and written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from timbre.audio.cutting import CutMeter
from timbre.audio.labels import Label, check_labels, overlapping, read_labels
from timbre.audio.loudness import integrated_loudness
from timbre.audio.peaks import limit_peak, limit_true_peak, normalize_peak
from timbre.audio.source import FileSource, mix_weights, mono_blocks
from timbre.audio.trimming import trim_bounds
from timbre.config.cutting import CutSettings
from timbre.config.prepare import PrepareSettings
from timbre.dataset.places import clip_file, write_clip
from timbre.prepare.cut_records import CutClip, CutRecord, levelling_of, short_hash

SAMPLE_RATE_HZ = 44_100
TRUE_PEAK_DB = -1.0
LEAST_CLIP_S = 0.1
"""A shorter clip has no frames to speak of, whatever the settings say."""

Wave = NDArray[np.float32]


@dataclass(frozen=True)
class Place:
    """Where a clip is looked for: samples at the dataset's rate, and what its label says."""

    start: int
    end: int
    label: Label | None = None


def cut_recording(
    path: Path, source_sha256: str, labels: Path | None, settings: PrepareSettings, cutting: CutSettings, folder: Path
) -> CutRecord:
    """Write the clips of a recording into the folder of a dataset; those that are there are only measured.

    Raises AudioError where the recording cannot be read, DatasetError where its labels cannot or are those of another
    recording, and OutputError where a clip cannot be written.
    """
    source = FileSource(path)
    weights = mix_weights(source)
    notes: list[str] = []
    left_out: list[tuple[float | None, str]] = []
    if labels is None:
        meter = CutMeter(source.sample_rate_hz, cutting)
        for block in mono_blocks(source, weights, source.sample_rate_hz):
            meter.push(block)
        cuts = meter.finish()
        ratio = SAMPLE_RATE_HZ / source.sample_rate_hz
        places = [Place(round(clip.start * ratio), round(clip.end * ratio)) for clip in cuts.clips]
        left_out += [(round(stretch.start / source.sample_rate_hz, 6), reason) for stretch, reason in cuts.left_out]
    else:
        found = read_labels(labels)
        check_labels(found, labels, path.name, source.seconds)
        places = [Place(round(at.start_s * SAMPLE_RATE_HZ), round(at.end_s * SAMPLE_RATE_HZ), at) for at in found]
        pairs = overlapping(found)
        notes += [f"{len(pairs)} labels overlap, such as {pairs[0][1].name!r}"] if pairs else []
    clips = []
    for place, wave in stretches_of(mono_blocks(source, weights, SAMPLE_RATE_HZ), places):
        made = _make_clip(place, wave, source, source_sha256, settings, cutting, folder)
        if isinstance(made, CutClip):
            clips.append(made)
        else:
            left_out.append((round(place.start / SAMPLE_RATE_HZ, 6), made))
    if source.is_cut_off:
        notes.append("it ends before its header says so and was used as far as it goes")
    return CutRecord(tuple(clips), tuple(left_out), tuple(notes))


def stretches_of(blocks: Iterable[Wave], places: Iterable[Place]) -> Iterator[tuple[Place, Wave]]:
    """Yield each place, in the order of their starts, with its samples out of a sound that comes in blocks [N].

    No more of the sound is held than open places need. A place that passes the end has fewer samples, or none.
    """
    waiting = sorted(places, key=lambda place: (place.start, place.end))
    held: Wave = np.zeros(0, dtype=np.float32)
    first = 0  # sample that is held first
    for block in blocks:
        held = np.concatenate((held, block))
        while waiting and waiting[0].end <= first + len(held):
            place = waiting.pop(0)
            yield place, held[place.start - first : place.end - first]
        needed = min((place.start for place in waiting), default=first + len(held))
        n_done = min(max(0, needed - first), len(held))
        held, first = held[n_done:], first + n_done
    for place in waiting:
        yield place, held[max(0, place.start - first) : max(0, place.end - first)]


def _make_clip(
    place: Place,
    wave: Wave,
    source: FileSource,
    source_sha256: str,
    settings: PrepareSettings,
    cutting: CutSettings,
    folder: Path,
) -> CutClip | str:
    """Trim, level and write one clip; returns why it was left out where it was."""
    is_trimmed = settings.trim and place.label is None
    start, end = trim_bounds(wave) if is_trimmed else (0, len(wave))
    wave = wave[start:end]
    seconds = len(wave) / SAMPLE_RATE_HZ
    least_s = LEAST_CLIP_S if place.label is not None else max(LEAST_CLIP_S, cutting.least_s)
    if seconds < least_s:
        return f"{seconds:.2f} s of sound are less than {least_s:g} s"
    loudness = integrated_loudness(wave, SAMPLE_RATE_HZ)
    if loudness == -np.inf:
        return f"its {seconds:.2f} s are silent"
    clip_id = short_hash(
        {
            "source": source_sha256,
            "rate": SAMPLE_RATE_HZ,
            "start": place.start + start,
            "end": place.start + end,
            **levelling_of(settings),
        },
        16,
    )
    levelled, gain_db = _levelled(wave, loudness, settings)
    if not clip_file(folder, clip_id).is_file():
        write_clip(folder, clip_id, levelled, SAMPLE_RATE_HZ)
    return CutClip(
        id=clip_id,
        start_s=round((place.start + start) / SAMPLE_RATE_HZ, 6),
        end_s=round((place.start + end) / SAMPLE_RATE_HZ, 6),
        n_samples=len(wave),
        loudness_lufs=round(loudness, 3),
        gain_db=round(gain_db, 3),
        source_peak=round(float(np.abs(wave).max()), 6),
        source_rate_hz=source.sample_rate_hz,
        name=place.label.name if place.label else None,
        speaker=place.label.speaker if place.label else None,
    )


def _levelled(wave: Wave, loudness_lufs: float, settings: PrepareSettings) -> tuple[Wave, float]:
    """Return `wave` [N] at the wanted level and the gain in dB, that of the limiter not counted."""
    if settings.loudness == "lufs":
        gain_db = settings.target_lufs - loudness_lufs
        return limit_true_peak((wave * 10 ** (gain_db / 20)).astype(np.float32), SAMPLE_RATE_HZ, TRUE_PEAK_DB), gain_db
    levelled = normalize_peak(wave) if settings.loudness == "peak" else limit_peak(wave)
    return levelled, 20 * float(np.log10(np.abs(levelled).max() / np.abs(wave).max()))
