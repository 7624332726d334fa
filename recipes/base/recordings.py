"""Stage 1: every recording of the corpus in flat arrays, so that training needs no data loader.

    python -m recipes.base.recordings --cache CACHE [--workers 2]

Writes into CACHE/recordings: `wave_44k.npy` and `wave_16k.npy` (int16, all files one after the other, each cut to whole
10 ms frames, so that frame i begins at sample 441 i and 160 i), `f0.npy` (float32 Hz per frame, 0 unvoiced) and
`index.json` (per file: path, source, speaker, language, transcript, first frame, frames, bandwidth in Hz).
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import soxr

from recipes.base.hidden import is_hidden
from recipes.base.manifest import Row, read_rows
from timbre.train.spectral_loss import bandwidth_hz

SAMPLE_RATE_HZ, HOP_SAMPLES = 44_100, 441
ENCODER_RATE_HZ, ENCODER_HOP_SAMPLES = 16_000, 160


def data_folder() -> Path:
    """Folder of the corpus: $TIMBRE_DATA or ../shared/data."""
    return Path(os.environ.get("TIMBRE_DATA", Path(__file__).parents[3] / "shared" / "data"))


def load(row: Row) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Decode one recording: (44.1 kHz int16 [N], 16 kHz int16, f0 [T], bandwidth)."""
    from timbre.audio.mixing import to_mono
    from timbre.audio.reader import read_audio
    from timbre.pitch.trackers import load_tracker

    sound = read_audio(data_folder() / row["path"])
    mono = to_mono(sound.samples)
    wide = soxr.resample(mono, sound.sample_rate_hz, SAMPLE_RATE_HZ)
    narrow = soxr.resample(mono, sound.sample_rate_hz, ENCODER_RATE_HZ)
    n_frames = min(len(wide) // HOP_SAMPLES, len(narrow) // ENCODER_HOP_SAMPLES)
    wide, narrow = wide[: n_frames * HOP_SAMPLES], narrow[: n_frames * ENCODER_HOP_SAMPLES]
    f0_hz = load_tracker("pm").track(wide.astype(np.float32), SAMPLE_RATE_HZ, HOP_SAMPLES, n_frames).f0_hz
    scale = 0.98 / max(0.98, float(np.abs(wide).max()), float(np.abs(narrow).max()))
    to_int16 = lambda wave: (wave * scale * 32767).astype(np.int16)  # noqa: E731
    return to_int16(wide), to_int16(narrow), f0_hz, bandwidth_hz(wide, sound.sample_rate_hz)


def build(cache: Path, workers: int) -> None:
    """Decode the whole corpus without the hidden recordings."""
    rows = [row for row in read_rows(data_folder()) if not is_hidden(row)]
    folder = cache / "recordings"
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers) as pool:
        loaded = list(pool.map(load, rows, chunksize=16))
    index, first_frame = [], 0
    for row, (_, _, f0_hz, bandwidth) in zip(rows, loaded, strict=True):
        keep = {key: row[key] for key in ("path", "source", "speaker", "kind", "language", "transcript")}
        index.append(keep | {"first_frame": first_frame, "n_frames": len(f0_hz), "bandwidth_hz": bandwidth})
        first_frame += len(f0_hz)
    for name, column in (("wave_44k", 0), ("wave_16k", 1), ("f0", 2)):
        np.save(folder / f"{name}.npy", np.concatenate([entry[column] for entry in loaded]))
    (folder / "index.json").write_text(json.dumps(index, ensure_ascii=False), encoding="utf-8")
    print(f"{len(index)} recordings, {first_frame / 360_000:.2f} h, {len({i['speaker'] for i in index})} speakers")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    build(arguments.cache, arguments.workers)
