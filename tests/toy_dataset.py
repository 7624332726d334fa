"""A small dataset on disk, written through the room `dataset`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.toys import glide
from timbre.dataset.manifest import ClipEntry, DatasetManifest, LeftOut, count_frames
from timbre.dataset.places import write_clip, write_features, write_manifest

RATE_HZ, HOP_SAMPLES, WIDTH, N_MELS = 44_100, 512, 6, 4
FEATURES = {
    "content": "content-00000001",
    "pitch": "pitch-00000002",
    "loudness": "loudness-00000003",
    "diffusion": "diffusion-00000004",
}


def feature_folders(*, diffusion: bool) -> dict[str, str]:
    """Return the folder of each kind of features."""
    return {kind: folder for kind, folder in FEATURES.items() if diffusion or kind != "diffusion"}


def toy_clip(
    number: int,
    speaker: str = "ada",
    seconds: float = 0.5,
    *,
    rate_hz: int = RATE_HZ,
    frame_rate_hz: int = RATE_HZ,
    hop_samples: int = HOP_SAMPLES,
    **facts: Any,
) -> ClipEntry:
    """Return the entry of a clip; `facts` replace what else it says."""
    n_samples = round(seconds * rate_hz)
    entry = ClipEntry(
        id=f"{number:016x}",
        speaker=speaker,
        source=f"{speaker}/песня {number}.wav",
        name=f"песня {number}",
        start_s=0.0,
        end_s=seconds,
        n_samples=n_samples,
        n_frames=count_frames(n_samples, rate_hz, frame_rate_hz, hop_samples),
        split="validation" if number == 0 else "train",
        loudness_lufs=-23.0,
        gain_db=0.0,
        source_peak=0.5,
        source_rate_hz=rate_hz,
    )
    return replace(entry, **facts)


def write_toy_dataset(folder: Path, clips: list[ClipEntry] | None = None, *, diffusion: bool = True) -> DatasetManifest:
    """Write clips of a gliding voice (by default three of `ada` and one of `Björn`) with random features."""
    clips = clips or [*(toy_clip(number) for number in range(3)), toy_clip(3, "Björn")]
    names = sorted({clip.speaker for clip in clips})
    manifest = DatasetManifest(
        sample_rate_hz=RATE_HZ,
        frame_rate_hz=RATE_HZ,
        hop_samples=HOP_SAMPLES,
        encoder="toy",
        content_width=WIDTH,
        pitch="pm",
        settings={"seed": 0},
        speakers={name: number for number, name in enumerate(names)},
        features=feature_folders(diffusion=diffusion),
        clips=tuple(clips),
        left_out=(LeftOut("ada/damaged.wav", None, "the recording is damaged"),),
        diffusion=diffusion,
    )
    for clip in clips:
        write_toy_clip(folder, clip, diffusion=diffusion)
    write_manifest(folder, manifest)
    return manifest


def write_toy_clip(folder: Path, clip: ClipEntry, *, diffusion: bool = True) -> None:
    """Write the sound and the features of one clip."""
    chance = np.random.default_rng(int(clip.id, 16))

    def numbers(*shape: int) -> np.ndarray:
        return chance.standard_normal(shape).astype(np.float32)

    n_frames = clip.n_frames
    f0_hz = np.where(np.arange(n_frames) % 10 < 7, 200 + numbers(n_frames), 0).astype(np.float32)
    write_clip(folder, clip.id, glide(clip.n_samples / RATE_HZ, RATE_HZ), RATE_HZ)
    arrays = {
        "content": {"content": numbers(n_frames // 2 + 1, WIDTH)},
        "pitch": {"f0_hz": f0_hz, "voiced": f0_hz > 0},
        "loudness": {"volume": abs(numbers(n_frames))},
        "diffusion": {
            "mel": numbers(n_frames, N_MELS),
            "augmented_mel": numbers(n_frames, N_MELS),
            "augmented_volume": abs(numbers(n_frames)),
            "key_shift_semitones": numbers(1),
        },
    }
    for kind in arrays if diffusion else list(arrays)[:-1]:
        write_features(folder, FEATURES[kind], clip.id, arrays[kind])


def longer(clip: ClipEntry) -> ClipEntry:
    """Return the entry of a clip that claims to be one frame longer."""
    return replace(clip, n_samples=clip.n_samples + HOP_SAMPLES, n_frames=clip.n_frames + 1)
