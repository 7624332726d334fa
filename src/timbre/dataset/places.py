"""Where the parts of a dataset lie in its folder, and writing them whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from timbre.audio.sound import Sound
from timbre.audio.writer import write_audio
from timbre.dataset.manifest import DatasetManifest, manifest_text
from timbre.files.writing import new_file

MANIFEST_FILE = "dataset.json"
CLIPS_FOLDER, FEATURES_FOLDER = "clips", "features"


def clip_file(folder: Path, clip_id: str) -> Path:
    """Return where the sound of a clip lies."""
    return folder / CLIPS_FOLDER / f"{clip_id}.flac"


def feature_file(folder: Path, kind_folder: str, clip_id: str) -> Path:
    """Return where one kind of features of a clip lies; `kind_folder` is its folder, such as content-0123abcd."""
    return folder / FEATURES_FOLDER / kind_folder / f"{clip_id}.safetensors"


def write_clip(folder: Path, clip_id: str, wave: NDArray[np.float32], sample_rate_hz: int) -> None:
    """Write the sound of a clip [N] with 24 bits; raises OutputError where it cannot be written."""
    with new_file(clip_file(folder, clip_id), flushed=True) as temporary:
        write_audio(temporary, Sound(wave[None], sample_rate_hz), format="flac", encoding="pcm_24")


def write_features(folder: Path, kind_folder: str, clip_id: str, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Write one kind of features of a clip by name; raises OutputError where they cannot be written."""
    from safetensors.numpy import save_file

    with new_file(feature_file(folder, kind_folder, clip_id), flushed=True) as temporary:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary)


def write_manifest(folder: Path, manifest: DatasetManifest) -> None:
    """Write dataset.json, which makes the folder a dataset; raises OutputError where it cannot be written."""
    write_text(folder / MANIFEST_FILE, manifest_text(manifest))


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all; raises OutputError where it cannot be written."""
    with new_file(path, flushed=True) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
