"""What a dataset holds, told without listening to it again: its manifest and the stored pitch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from timbre.dataset.folder import Dataset
from timbre.dataset.manifest import ClipEntry, DatasetManifest, LeftOut
from timbre.prepare.checkup.pitch_range import PitchRange, measure_pitch_range


@dataclass(frozen=True)
class SpeakerFacts:
    """One speaker's clips together; the lengths and the loudness are None where there is no clip."""

    name: str
    n_clips: int
    seconds: float
    train_s: float
    validation_s: float
    shortest_s: float | None
    median_s: float | None
    longest_s: float | None
    loudness_lufs: float | None  # median before levelling
    pitch: PitchRange


@dataclass(frozen=True)
class DatasetFacts:
    """What a dataset holds."""

    name: str  # of its folder
    sample_rate_hz: int
    frame_s: float
    encoder: str
    content_width: int
    pitch: str
    diffusion: bool
    settings: Mapping[str, object]
    speakers: tuple[SpeakerFacts, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def n_clips(self) -> int:
        """Number of clips of all speakers."""
        return sum(speaker.n_clips for speaker in self.speakers)

    @property
    def seconds(self) -> float:
        """Length of all clips together."""
        return sum(speaker.seconds for speaker in self.speakers)


def gather_facts(dataset: Dataset) -> DatasetFacts:
    """Read what a dataset holds; raises DatasetError where its features are damaged."""
    tracks = {clip.id: dataset.features(clip).f0_hz for clip in dataset.manifest.clips}
    return describe_dataset(dataset, tracks)


def describe_dataset(dataset: Dataset, tracks_hz: Mapping[str, NDArray[np.float32]]) -> DatasetFacts:
    """Describe a dataset by its manifest and the pitch tracks [T] of its clips, by their ids."""
    manifest = dataset.manifest
    return DatasetFacts(
        name=dataset.folder.resolve().name,
        sample_rate_hz=manifest.sample_rate_hz,
        frame_s=manifest.hop_samples / manifest.frame_rate_hz,
        encoder=manifest.encoder,
        content_width=manifest.content_width,
        pitch=manifest.pitch,
        diffusion=manifest.diffusion,
        settings=manifest.settings,
        speakers=tuple(
            _describe_speaker(manifest, name, dataset.clips(speaker=name), tracks_hz) for name in manifest.speakers
        ),
        left_out=manifest.left_out,
    )


def flat_settings(settings: Mapping[str, object]) -> dict[str, object]:
    """Return settings that stand in groups side by side, each under its own name."""
    flat: dict[str, object] = {}
    for name, value in settings.items():
        flat |= flat_settings(value) if isinstance(value, Mapping) else {name: value}
    return flat


def _describe_speaker(
    manifest: DatasetManifest, name: str, clips: Sequence[ClipEntry], tracks_hz: Mapping[str, NDArray[np.float32]]
) -> SpeakerFacts:
    lengths_s = [clip.n_samples / manifest.sample_rate_hz for clip in clips]
    parts_s = {
        split: sum(length for clip, length in zip(clips, lengths_s, strict=True) if clip.split == split)
        for split in ("train", "validation")
    }
    return SpeakerFacts(
        name=name,
        n_clips=len(clips),
        seconds=sum(lengths_s),
        train_s=parts_s["train"],
        validation_s=parts_s["validation"],
        shortest_s=min(lengths_s, default=None),
        median_s=float(np.median(lengths_s)) if clips else None,
        longest_s=max(lengths_s, default=None),
        loudness_lufs=float(np.median([clip.loudness_lufs for clip in clips])) if clips else None,
        pitch=measure_pitch_range(
            (tracks_hz[clip.id] for clip in clips), manifest.hop_samples / manifest.frame_rate_hz
        ),
    )
