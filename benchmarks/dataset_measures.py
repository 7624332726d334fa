"""How near the measures of `timbre dataset doctor` come to faults of a known size, added to real recordings.

    python -m benchmarks.dataset_measures [--clips 8]

Takes recordings of the corpus at $TIMBRE_DATA (default ../shared/data): clean ones of several sources for faults of the
sound, and 20 clips each of several people, one clip of somebody else among them, for strangers. Prints what was added,
and what was measured as lowest tenth, median and highest tenth; then the processor time of all measures together.
"""

from __future__ import annotations

import argparse
import io
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from benchmarks.conditions import conditions
from recipes.base.manifest import Row, read_rows
from timbre.audio.mixing import to_mono
from timbre.audio.reader import read_audio
from timbre.audio.resample import resample
from timbre.prepare.checkup.clip_measures import ClipMeasures, hear_clip
from timbre.prepare.checkup.fingerprint import find_matches, take_fingerprint
from timbre.prepare.checkup.spectra import power_spectra
from timbre.prepare.checkup.strangers import compare_clips, speaker_vector
from timbre.voice.base import load_base

RATE_HZ = 44_100
SOURCES = ("kerstin", "ljspeech", "librispeech", "picovoice_barista", "sms_tools")
PEOPLE_SOURCES = ("kerstin", "ljspeech", "vocobox", "picovoice_barista", "msc_malayalam")
CLIPS_OF_A_PERSON = 20
Wave = NDArray[np.float32]


def data_folder() -> Path:
    """Folder of the corpus."""
    return Path(os.environ.get("TIMBRE_DATA", Path(__file__).parents[2] / "shared" / "data"))


def rows_of(source: str, shortest_s: float, longest_s: float) -> list[Row]:
    """Return the recordings of a source that are long and short enough."""
    rows = [row for row in read_rows(data_folder()) if row["source"] == source]
    return [row for row in rows if shortest_s <= float(row["seconds"]) <= longest_s]


def load(row: Row) -> Wave:
    """Read a recording as mono at 44.1 kHz with a peak of 0.7."""
    sound = read_audio(data_folder() / row["path"])
    wave = resample(to_mono(sound.samples), sound.sample_rate_hz, RATE_HZ)
    return (wave * (0.7 / np.abs(wave).max())).astype(np.float32)


def spread(rows: Sequence[Row], count: int) -> list[Row]:
    """Return about `count` rows from all over the list."""
    return list(rows[:: max(1, len(rows) // count)][:count])


def mp3(wave: Wave, compression: float) -> Wave:
    """Code and decode a sound as MP3."""
    file = io.BytesIO()
    soundfile.write(file, wave, RATE_HZ, format="MP3", compression_level=compression, bitrate_mode="CONSTANT")
    file.seek(0)
    return np.asarray(soundfile.read(file, dtype="float32")[0])


def clip_by(wave: Wave, louder_db: float) -> Wave:
    """Cut the tops off as a recording does that is too loud by so much."""
    level = np.abs(wave).max() * 10 ** (-louder_db / 20)
    return np.clip(wave, -level, level).astype(np.float32)


def at_rate(wave: Wave, rate_hz: int) -> Wave:
    """Take a sound through another rate."""
    return resample(resample(wave, RATE_HZ, rate_hz), rate_hz, RATE_HZ)[: len(wave)]


def with_noise(wave: Wave, under_db: float, seed: int) -> Wave:
    """Add white noise that lies so far under the voice."""
    noise = np.random.default_rng(seed).standard_normal(len(wave)).astype(np.float32)
    level_db = hear_clip(wave, RATE_HZ).measures.voice_db - under_db
    return (wave + noise * 10 ** (level_db / 20)).astype(np.float32)


def in_room(wave: Wave, room_s: float, seed: int) -> Wave:
    """Sound the wave in a synthetic room: noise that falls by 60 dB in `room_s`, as strong as the direct sound."""
    n_echo = round(1.2 * room_s * RATE_HZ)
    echo = np.random.default_rng(seed).standard_normal(n_echo) * 10 ** (-3 * np.arange(n_echo) / (room_s * RATE_HZ))
    echo[: RATE_HZ // 500] = 0
    echo /= np.sqrt(np.sum(echo**2))
    echo[0] = 1
    size = len(wave) + n_echo
    return np.fft.irfft(np.fft.rfft(wave, size) * np.fft.rfft(echo, size), size)[: len(wave)].astype(np.float32)


def with_hum(wave: Wave, mains_hz: int, under_db: float) -> Wave:
    """Add hum with three harmonics that lies so far under the voice."""
    time_s = np.arange(len(wave)) / RATE_HZ
    hum = sum(np.sin(2 * np.pi * mains_hz * k * time_s + k) / k for k in (1, 2, 3))
    level_db = hear_clip(wave, RATE_HZ).measures.voice_db - under_db
    return (wave + hum * 10 ** (level_db / 20) / np.sqrt(np.mean(np.square(hum)))).astype(np.float32)


def faults(waves: Sequence[Wave]) -> Iterator[tuple[str, str, list[float | None]]]:
    """Yield (fault, measure and unit, values) of every fault at every size."""

    def values(change: Callable[[Wave, int], Wave], read: Callable[[ClipMeasures], float | None]) -> list[float | None]:
        changed = (change(wave, place) for place, wave in enumerate(waves))
        return [read(hear_clip(wave, RATE_HZ).measures) for wave in changed]

    noise, room = "signal to noise, dB", "reverberation, s"
    yield "none", noise, values(lambda wave, _: wave, lambda each: each.signal_to_noise_db)
    for under_db in (30, 20, 10):
        change = lambda wave, seed, size=under_db: with_noise(wave, size, seed)  # noqa: E731
        yield f"noise {under_db} dB under", noise, values(change, lambda each: each.signal_to_noise_db)
    yield "none", room, values(lambda wave, _: wave, lambda each: each.reverberation_s)
    for room_s in (0.3, 0.5, 0.8, 1.5):
        change = lambda wave, seed, size=room_s: in_room(wave, size, seed)  # noqa: E731
        yield f"room of {room_s} s", room, values(change, lambda each: each.reverberation_s)
    band = "bandwidth, kHz"
    yield "none", band, values(lambda wave, _: wave, lambda each: each.bandwidth_hz / 1000)
    for name, change_band in {
        "telephone, 8 kHz": lambda wave, _: at_rate(wave, 8000),
        "telephone and noise": lambda wave, seed: with_noise(at_rate(wave, 8000), 30, seed),
        "mp3, level 0.9 (64 kbit/s)": lambda wave, _: mp3(wave, 0.9),
    }.items():
        yield name, band, values(change_band, lambda each: each.bandwidth_hz / 1000)
    hum = "hum, dB"
    yield "none", hum, values(lambda wave, _: wave, lambda each: each.hum_db)
    for mains_hz, under_db in ((50, 30), (60, 30), (50, 45)):
        change = lambda wave, _, hz=mains_hz, size=under_db: with_hum(wave, hz, size)  # noqa: E731
        yield f"hum {mains_hz} Hz {under_db} dB under", hum, values(change, lambda each: each.hum_db)


def clipping(waves: Sequence[Wave]) -> Iterator[tuple[str, str, str]]:
    """Yield (fault, measure, how many were found) of clipping at several sizes, kept and resampled or coded."""
    ways: dict[str, Callable[[Wave], Wave]] = {
        "": lambda wave: wave,
        ", then resampled": lambda wave: at_rate(wave, 48_000),
        ", then mp3": lambda wave: mp3(wave, 0.5),
    }
    shares = [hear_clip(wave, RATE_HZ).measures.clipped_share for wave in waves]
    yield "none", "clipped", f"{sum(share > 0 for share in shares)} of {len(waves)}"
    for louder_db in (1, 3, 6, 12):
        for way, change in ways.items():
            shares = [hear_clip(change(clip_by(wave, louder_db)), RATE_HZ).measures.clipped_share for wave in waves]
            yield f"clipped by {louder_db} dB{way}", "clipped", f"{sum(share > 0 for share in shares)} of {len(waves)}"


def copies(waves: Sequence[Wave]) -> Iterator[tuple[str, str, str]]:
    """Yield how many copies of the clips are found among all of them, and how many wrong pairs."""
    prints = [take_fingerprint(power_spectra(wave)) for wave in waves]
    ways: dict[str, Callable[[Wave, int], Wave]] = {
        "copy, 10 dB quieter, begins 0.7 s later": lambda wave, _: np.float32(0.3) * wave[30_870:],
        "copy as mp3, 64 kbit/s": lambda wave, _: mp3(wave, 0.9)[300:],
        "copy with noise 20 dB under": lambda wave, seed: with_noise(wave, 20, seed)[1000:],
        "second half": lambda wave, _: wave[len(wave) // 2 :],
    }
    for way, change in ways.items():
        changed = [take_fingerprint(power_spectra(change(wave, place))) for place, wave in enumerate(waves)]
        pairs = [(match.first, match.second) for match in find_matches([*prints, *changed], RATE_HZ)]
        right = sum(second == first + len(waves) for first, second in pairs)
        yield way, "duplicates", f"{right} of {len(waves)}, {len(pairs) - right} wrong"


def strangers() -> Iterator[tuple[str, str, str]]:
    """Yield how many strangers are found among 20 clips of one person, one at a time, and how many wrong alarms."""
    base = load_base()
    people: dict[str, list[NDArray[np.float32]]] = {}
    for source in PEOPLE_SOURCES:
        by_speaker = defaultdict(list)
        for row in rows_of(source, 1.0, 16.0):
            by_speaker[row["speaker"]].append(row)
        most = sorted(by_speaker, key=lambda name: -len(by_speaker[name]))[:4]
        for name in most:
            if len(by_speaker[name]) >= CLIPS_OF_A_PERSON:
                waves = [load(row) for row in spread(by_speaker[name], CLIPS_OF_A_PERSON)]
                people[name] = [speaker_vector(base, wave, RATE_HZ) for wave in waves]
    n_found = n_tried = n_alarms = n_clips = 0
    for name, vectors in people.items():
        alone = compare_clips(np.stack(vectors))
        assert alone is not None
        n_alarms += int(np.count_nonzero(alone.distances > alone.limit))
        n_clips += len(vectors)
        for other in people.keys() - {name}:
            likeness = compare_clips(np.stack([*vectors, people[other][0]]))
            assert likeness is not None
            n_found += bool(likeness.distances[-1] > likeness.limit)
            n_tried += 1
    yield f"one clip of another of {len(people)} people", "strangers", f"{n_found} of {n_tried}"
    yield "none", "strangers", f"{n_alarms} of {n_clips} clips"


def seconds_per_second(waves: Sequence[Wave]) -> float:
    """Return the processor time of all measures of a clip for each second of sound."""
    base = load_base()
    started = time.process_time()
    for wave in waves:
        hear_clip(wave, RATE_HZ)
        speaker_vector(base, wave, RATE_HZ)
    return (time.process_time() - started) / (sum(map(len, waves)) / RATE_HZ)


def told(values: Sequence[float | None]) -> str:
    """Return the lowest tenth, median and highest tenth, and how many are unknown."""
    known = [value for value in values if value is not None]
    if not known:
        return "all unknown"
    low, middle, high = np.percentile(known, (10, 50, 90))
    unknown = f", {len(values) - len(known)} unknown" if len(known) < len(values) else ""
    return f"{middle:.1f} ({low:.1f} to {high:.1f}){unknown}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clips", type=int, default=8, help="of each source")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    waves = [load(row) for source in SOURCES for row in spread(rows_of(source, 3.0, 16.0), arguments.clips)]
    print(f"{conditions()}\n{len(waves)} recordings of {', '.join(SOURCES)}\n")
    print("| added | measure | measured |\n| --- | --- | --- |")
    for fault, measure, values in faults(waves):
        print(f"| {fault} | {measure} | {told(values)} |", flush=True)
    for rows in (clipping(waves), copies(waves), strangers()):
        for fault, measure, result in rows:
            print(f"| {fault} | {measure} | {result} |", flush=True)
    print(f"\n{seconds_per_second(waves):.4f} processor seconds for each second of sound")


if __name__ == "__main__":
    main()
