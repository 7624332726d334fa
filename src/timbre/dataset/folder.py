"""Reading a dataset: its clips and their features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from timbre.audio.reader import read_audio
from timbre.dataset.manifest import ClipEntry, DatasetManifest, parse_manifest
from timbre.dataset.places import MANIFEST_FILE, clip_file, feature_file
from timbre.errors import AudioError, DatasetError

Array = NDArray[np.float32]

FEATURE_ARRAYS = {
    "content": ("content",),
    "pitch": ("f0_hz", "voiced"),
    "loudness": ("volume",),
    "diffusion": ("mel", "augmented_mel", "augmented_volume", "key_shift_semitones"),
}
"""The arrays in the file of each kind."""

STRETCH_MODE = "nearest"
"""How content comes onto the frames: as in the templates of so-vits-svc 4.1 (pipeline spec 4.2)."""

_AGAIN = "prepare the dataset again"
_SOVITS_ENDINGS = (".wav.soft.pt", ".wav.f0.npy")  # of the features that so-vits-svc puts beside its clips


@dataclass(frozen=True)
class ClipFeatures:
    """What models hear of a clip, on T frames."""

    content: Array  # [T, D]
    f0_hz: Array  # [T], 0 where unvoiced
    voiced: NDArray[np.bool_]  # [T]
    volume: Array  # [T], linear RMS
    mel: Array | None = None  # [T, M], natural log, as the vocoder hears it
    augmented_mel: Array | None = None  # [T, M], of the sound at another level and in another key
    augmented_volume: Array | None = None  # [T]
    key_shift_semitones: float | None = None


@dataclass(frozen=True)
class Dataset:
    """A dataset whose files are all there; `open_dataset` makes it."""

    folder: Path
    manifest: DatasetManifest

    def clips(self, split: str | None = None, speaker: str | None = None) -> tuple[ClipEntry, ...]:
        """Return the clips of a split ("train" or "validation") and of a speaker; None stands for all."""
        return tuple(
            clip for clip in self.manifest.clips if split in (None, clip.split) and speaker in (None, clip.speaker)
        )

    def wave(self, clip: ClipEntry) -> Array:
        """Return the sound of a clip [n_samples] at the dataset's rate; raises DatasetError where it is damaged."""
        try:
            sound = read_audio(clip_file(self.folder, clip.id))
        except AudioError as error:
            raise DatasetError(f"the clip {clip.id} of {self.folder} cannot be read; {_AGAIN}") from error
        got = (sound.n_channels, sound.n_samples, sound.sample_rate_hz)
        if got != (1, clip.n_samples, self.manifest.sample_rate_hz):
            raise DatasetError(f"the clip {clip.id} of {self.folder} is not the one it was; {_AGAIN}")
        wave: Array = sound.samples[0]
        return wave

    def units(self, clip: ClipEntry) -> Array:
        """Return the content of a clip on the frames of the encoder [U, D], which may be fewer than `n_frames`.

        Raises DatasetError where it is damaged.
        """
        units: Array = self._read("content", clip)["content"]
        if units.ndim != 2 or units.shape[1] != self.manifest.content_width or len(units) == 0:
            raise self._misfit("content", clip)
        return units

    def check_content(self, clip: ClipEntry, content: NDArray[np.float32]) -> None:
        """Raise DatasetError where the content of a clip holds what is no number."""
        if not np.isfinite(content).all():
            raise DatasetError(
                f"the content of the clip {clip.id} of {self.folder} holds NaN or infinity; prepare it again"
            )

    def features(self, clip: ClipEntry) -> ClipFeatures:
        """Return the features of a clip; raises DatasetError where a file is damaged or does not belong to it."""
        import torch  # which those who only look at the manifest can do without

        from timbre.dsp.stretch import stretch

        pitch, loudness = self._read("pitch", clip), self._read("loudness", clip)
        content = stretch(torch.from_numpy(self.units(clip)).T, clip.n_frames, STRETCH_MODE).T.contiguous().numpy()
        self._check_frames("pitch", clip, pitch["f0_hz"], pitch["voiced"])
        self._check_frames("loudness", clip, loudness["volume"])
        if not self.manifest.diffusion:
            return ClipFeatures(content, pitch["f0_hz"], pitch["voiced"], loudness["volume"])
        diffusion = self._read("diffusion", clip)
        mel, augmented, volume = (diffusion[name] for name in ("mel", "augmented_mel", "augmented_volume"))
        self._check_frames("diffusion", clip, mel, augmented, volume)
        shift = float(diffusion["key_shift_semitones"][0])
        return ClipFeatures(content, pitch["f0_hz"], pitch["voiced"], loudness["volume"], mel, augmented, volume, shift)

    def _read(self, kind: str, clip: ClipEntry) -> dict[str, NDArray[Any]]:
        from safetensors.numpy import load_file

        path = feature_file(self.folder, self.manifest.features[kind], clip.id)
        needed = FEATURE_ARRAYS[kind]
        try:
            arrays: dict[str, NDArray[Any]] = load_file(path)
        except (OSError, SafetensorError) as error:
            raise DatasetError(f"the {kind} of the clip {clip.id} of {self.folder} cannot be read; {_AGAIN}") from error
        if set(arrays) != set(needed):
            raise self._misfit(kind, clip)
        return arrays

    def _check_frames(self, kind: str, clip: ClipEntry, *arrays: NDArray[Any]) -> None:
        if any(len(array) != clip.n_frames for array in arrays):
            raise self._misfit(kind, clip)

    def _misfit(self, kind: str, clip: ClipEntry) -> DatasetError:
        return DatasetError(f"the {kind} of the clip {clip.id} of {self.folder} does not belong to it; {_AGAIN}")


def open_dataset(path: str | Path) -> Dataset:
    """Open the dataset in the folder `path`, wherever it was moved to.

    Raises DatasetError where there is none or one of so-vits-svc, it is damaged, of another format or incomplete, or a
    file that it names lies outside of the folder.
    """
    folder = Path(path)
    file = folder / MANIFEST_FILE
    try:
        text = file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _absence(folder) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{file} cannot be read; {_AGAIN}") from error
    dataset = Dataset(folder, parse_manifest(text))
    _check_files(dataset)
    return dataset


def _absence(folder: Path) -> DatasetError:
    """Return what to say of a folder without a manifest."""
    clips = _find_sovits_clips(folder)
    if clips is not None:
        return DatasetError(
            f"{folder} is a dataset that so-vits-svc prepared; make one of Timbre from its wav files, which are all "
            f"that is needed: timbre prepare {clips} -o DATASET"
        )
    return DatasetError(
        f"{folder} holds no {MANIFEST_FILE}; give the folder of a finished dataset, or make one: "
        "timbre prepare RECORDINGS -o FOLDER"
    )


def _find_sovits_clips(folder: Path) -> Path | None:
    """Return what holds the speakers' folders of a dataset of so-vits-svc; `folder` may be that, one of them or above.

    None where there is no such dataset.
    """
    for above in ("", "*/", "*/*/"):
        for ending in _SOVITS_ENDINGS:
            features = next(folder.glob(f"{above}*{ending}"), None)
            if features is not None:
                return features.parent.parent if above else folder
    return None


def _check_files(dataset: Dataset) -> None:
    """Raise DatasetError unless every file of the manifest is there, inside of the folder."""
    folder, manifest = dataset.folder, dataset.manifest
    root = folder.resolve()
    ids = [clip.id for clip in manifest.clips]
    files = [clip_file(folder, clip_id) for clip_id in ids]
    files += [feature_file(folder, name, clip_id) for name in manifest.features.values() for clip_id in ids]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise DatasetError(
            f"{folder} lacks {len(missing)} of its {len(files)} files, such as "
            f"{missing[0].relative_to(folder).as_posix()}; {_AGAIN}"
        )
    for place in {file.parent for file in files}:
        if root not in place.resolve().parents:
            raise DatasetError(f"{place} lies outside of the dataset; {_AGAIN}")
    stray = next((file for file in files if file.is_symlink() and root not in file.resolve().parents), None)
    if stray is not None:
        raise DatasetError(f"{stray} lies outside of the dataset; {_AGAIN}")
