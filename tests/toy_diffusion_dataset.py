"""A small dataset for diffusion models and vocoders, with the mel spectrograms that the toy vocoder hears."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from tests.toy_dataset import FEATURES, feature_folders, toy_clip
from tests.toys import glide
from tests.toys_sovits import DIFFUSION, HOP, RATE, VOCODER, WIDTH
from timbre.config.vocoder import VocoderShape
from timbre.dataset.manifest import ClipEntry, DatasetManifest
from timbre.dataset.places import write_clip, write_features, write_manifest
from timbre.dsp.volume import frame_volume
from timbre.vocoder.mel import VocoderMel

SECONDS = 1.5
DURATION_S = 0.5
UNIT_RATE_HZ = 50


def write_diffusion_dataset(
    folder: Path,
    speakers: tuple[str, ...] = ("alice",),
    *,
    seconds: tuple[float, ...] = (SECONDS,) * 4,
    encoder: str = "vec256l9",
    diffusion: bool = True,
) -> Path:
    """Write clips of such lengths for each speaker, of a voice that glides; the first one is for validation."""
    entries = [(speaker, number, length) for speaker in speakers for number, length in enumerate(seconds)]
    grid = {"rate_hz": RATE, "frame_rate_hz": RATE, "hop_samples": HOP}
    clips = tuple(
        toy_clip(place, speaker, length, **grid, split="train" if number else "validation")
        for place, (speaker, number, length) in enumerate(entries)
    )
    for clip in clips:
        _write_clip(folder, clip, diffusion=diffusion)
    manifest = DatasetManifest(
        sample_rate_hz=RATE,
        frame_rate_hz=RATE,
        hop_samples=HOP,
        encoder=encoder,
        content_width=WIDTH,
        pitch="pm",
        settings={"seed": 0},
        speakers={name: number for number, name in enumerate(sorted(speakers))},
        features=feature_folders(diffusion=diffusion),
        clips=clips,
        left_out=(),
        diffusion=diffusion,
    )
    write_manifest(folder, manifest)
    return folder


def write_diffusion_config(path: Path, speakers: dict[str, int] | None = None, **changes: Any) -> Path:
    """Write the settings of a small model; `changes` replace keys in the section that has them."""
    train = {"amp_dtype": "fp32", "batch_size": 2, "lr": 0.01, "decay_step": 2, "gamma": 0.5, "weight_decay": 0.0}
    train |= {"cache_all_data": True, "cache_fp16": True, "cache_device": "cpu"}
    config = {name: dict(section) for name, section in DIFFUSION.items()} | {"train": train}
    config["spk"] = config["spk"] if speakers is None else speakers
    config["data"]["duration"] = DURATION_S
    config["model"]["k_step_max"] = 0
    for key, value in changes.items():
        next(section for section in config.values() if key in section)[key] = value
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def _write_clip(folder: Path, clip: ClipEntry, *, diffusion: bool) -> None:
    chance, seconds = np.random.default_rng(int(clip.id, 16)), clip.n_samples / RATE
    low_hz = 120.0 + 10 * int(clip.id, 16)
    wave = glide(seconds, RATE, low_hz, 1.5 * low_hz)
    write_clip(folder, clip.id, wave, RATE)
    hear, sound, n_frames = VocoderMel(VocoderShape.from_config(VOCODER)), torch.from_numpy(wave)[None], clip.n_frames
    f0_hz = (low_hz * 1.5 ** np.linspace(0, 1, n_frames)).astype(np.float32)
    f0_hz[3:6] = 0
    volume, shift = frame_volume(sound[0], HOP).numpy(), 2.0
    units = chance.standard_normal((round(seconds * UNIT_RATE_HZ), WIDTH)).astype(np.float32)
    arrays = {
        "content": {"content": units},
        "pitch": {"f0_hz": f0_hz, "voiced": f0_hz > 0},
        "loudness": {"volume": volume},
    }
    if diffusion:
        mels = [hear(gain * sound, key)[0, :, :n_frames].T.numpy().copy() for gain, key in ((1, 0.0), (0.5, shift))]
        arrays["diffusion"] = {
            "mel": mels[0],
            "augmented_mel": mels[1],
            "augmented_volume": 0.5 * volume,
            "key_shift_semitones": np.array([shift], dtype=np.float32),
        }
    for kind, values in arrays.items():
        write_features(folder, FEATURES[kind], clip.id, values)
