"""A small dataset for the fast family, as its base hears it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.toy_dataset import FEATURES, feature_folders, toy_clip
from tests.toys import glide
from timbre.audio.resample import resample
from timbre.config.prepare import PACKAGED_ENCODER
from timbre.dataset.manifest import ClipEntry, DatasetManifest
from timbre.dataset.places import write_clip, write_features, write_manifest
from timbre.train.probing import hear_content
from timbre.voice.base import Base

RATE_HZ, FRAME_RATE_HZ, HOP_SAMPLES = 44_100, 16_000, 160


def write_fast_dataset(
    folder: Path,
    base: Base,
    n_clips: int = 7,
    seconds: float = 2.0,
    encoder: str = PACKAGED_ENCODER,
    source_rate_hz: int = RATE_HZ,
) -> Path:
    """Write clips of a voice that glides, the first for validation, with the content that `base` hears."""
    grid = {"rate_hz": RATE_HZ, "frame_rate_hz": FRAME_RATE_HZ, "hop_samples": HOP_SAMPLES}
    clips = tuple(toy_clip(number, "eve", seconds, **grid, source_rate_hz=source_rate_hz) for number in range(n_clips))
    for number, clip in enumerate(clips):
        _write_clip(folder, clip, base, 120.0 + 10 * number)
    manifest = DatasetManifest(
        sample_rate_hz=RATE_HZ,
        frame_rate_hz=FRAME_RATE_HZ,
        hop_samples=HOP_SAMPLES,
        encoder=encoder,
        content_width=base.shape.content.content_channels,
        pitch="pm",
        settings={"seed": 0},
        speakers={"eve": 0},
        features=feature_folders(diffusion=False),
        clips=clips,
        left_out=(),
        diffusion=False,
    )
    write_manifest(folder, manifest)
    return folder


def _write_clip(folder: Path, clip: ClipEntry, base: Base, low_hz: float) -> None:
    wave = glide(clip.n_samples / RATE_HZ, RATE_HZ, low_hz, 1.5 * low_hz)
    write_clip(folder, clip.id, wave, RATE_HZ)
    content = hear_content(base, resample(wave, RATE_HZ, FRAME_RATE_HZ)).numpy()
    f0_hz = (low_hz * 1.5 ** np.linspace(0, 1, clip.n_frames)).astype(np.float32)
    arrays = {
        "content": {"content": content},
        "pitch": {"f0_hz": f0_hz, "voiced": f0_hz > 0},
        "loudness": {"volume": np.full(clip.n_frames, 0.1, dtype=np.float32)},
    }
    for kind, values in arrays.items():
        write_features(folder, FEATURES[kind], clip.id, values)
