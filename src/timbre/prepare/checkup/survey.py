"""All clips of a dataset measured and compared with each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from timbre.dataset.folder import Dataset
from timbre.dataset.manifest import ClipEntry
from timbre.prepare.checkup.clip_measures import ClipMeasures, HeardClip, hear_clip, measured_part
from timbre.prepare.checkup.facts import DatasetFacts, SpeakerFacts, describe_dataset
from timbre.prepare.checkup.fingerprint import find_matches
from timbre.prepare.checkup.strangers import Likeness, compare_clips, speaker_vector
from timbre.prepare.checkup.thresholds import CLIP_THRESHOLDS
from timbre.voice.base import load_base

Tracks = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class SurveyedClip:
    """One clip and what was found in it."""

    entry: ClipEntry
    seconds: float
    voiced_s: float
    measures: ClipMeasures
    distance: float | None  # from the voice of the speaker's other clips; None where those are too few
    is_stranger: bool  # it sounds like somebody else


@dataclass(frozen=True)
class Duplicate:
    """Two clips that hold the same sound."""

    first: ClipEntry
    second: ClipEntry
    overlap_s: float
    exact: bool  # sample by sample


@dataclass(frozen=True)
class SpeakerSurvey:
    """One speaker's clips with their measures."""

    facts: SpeakerFacts
    clips: tuple[SurveyedClip, ...]
    mean_power: NDArray[np.float32]  # [1025] long-term spectrum, or [0] where there is no clip

    @property
    def name(self) -> str:
        """Name of the speaker."""
        return self.facts.name

    @property
    def signal_to_noise_db(self) -> float | None:
        """How far the voice is above the noise: median of the clips."""
        return self.percentile(50, lambda clip: clip.measures.signal_to_noise_db)

    @property
    def bandwidth_hz(self) -> float | None:
        """Highest frequency of the voice; a quarter of the clips reach higher, since not every clip has an s."""
        return self.percentile(75, lambda clip: clip.measures.bandwidth_hz)

    @property
    def reverberation_s(self) -> float | None:
        """Reverberation time: median of the clips, None where fewer than half tell one, as with held notes."""
        told = sum(clip.measures.reverberation_s is not None for clip in self.clips)
        if 2 * told < len(self.clips):
            return None
        return self.percentile(50, lambda clip: clip.measures.reverberation_s)

    @property
    def distance(self) -> float | None:
        """Distance of the clips' voices from their centre: median."""
        return self.percentile(50, lambda clip: clip.distance)

    def percentile(self, percent: float, of: Callable[[SurveyedClip], float | None]) -> float | None:
        """Return a percentile of a number over the clips that have it, None where none has."""
        values = [value for clip in self.clips if (value := of(clip)) is not None]
        return float(np.percentile(values, percent)) if values else None


@dataclass(frozen=True)
class DatasetSurvey:
    """Everything that was found in a dataset."""

    facts: DatasetFacts
    speakers: tuple[SpeakerSurvey, ...]
    duplicates: tuple[Duplicate, ...]  # longest first

    @property
    def clips(self) -> list[SurveyedClip]:
        """All clips, speaker by speaker."""
        return [clip for speaker in self.speakers for clip in speaker.clips]


def survey_dataset(
    dataset: Dataset, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> DatasetSurvey:
    """Measure every clip of a dataset and compare them; `on_progress` is told how many of how many are done.

    Raises DatasetError where a file is damaged, MissingWeightsError without the packaged base.
    """
    clips, rate = dataset.manifest.clips, dataset.manifest.sample_rate_hz
    base = load_base()
    heard: dict[str, HeardClip] = {}
    tracks: dict[str, NDArray[np.float32]] = {}
    vectors: dict[str, NDArray[np.float32]] = {}
    for done, clip in enumerate(clips):
        on_progress(done, len(clips))
        wave = dataset.wave(clip)
        heard[clip.id] = hear_clip(wave, rate)
        vectors[clip.id] = speaker_vector(base, measured_part(wave, rate), rate)
        tracks[clip.id] = dataset.features(clip).f0_hz
    facts = describe_dataset(dataset, tracks)
    speakers = tuple(
        _survey_speaker(speaker, dataset.clips(speaker=speaker.name), facts, heard, tracks, vectors)
        for speaker in facts.speakers
    )
    return DatasetSurvey(facts, speakers, _find_duplicates(clips, heard, rate))


def _survey_speaker(
    speaker: SpeakerFacts,
    entries: Sequence[ClipEntry],
    facts: DatasetFacts,
    heard: Mapping[str, HeardClip],
    tracks: Tracks,
    vectors: Tracks,
) -> SpeakerSurvey:
    if not entries:
        return SpeakerSurvey(speaker, (), np.zeros(0, dtype=np.float32))
    likeness = compare_clips(np.stack([vectors[entry.id] for entry in entries]))
    clips = tuple(
        SurveyedClip(
            entry=entry,
            seconds=entry.n_samples / facts.sample_rate_hz,
            voiced_s=int(np.count_nonzero(tracks[entry.id])) * facts.frame_s,
            measures=heard[entry.id].measures,
            distance=None if likeness is None else float(likeness.distances[place]),
            is_stranger=_is_beyond(likeness, place),
        )
        for place, entry in enumerate(entries)
    )
    spectra = [heard[entry.id].mean_power for entry in entries]
    mean = np.average(spectra, axis=0, weights=[clip.seconds for clip in clips])
    return SpeakerSurvey(speaker, clips, mean.astype(np.float32))


def _is_beyond(likeness: Likeness | None, place: int) -> bool:
    return likeness is not None and bool(likeness.distances[place] > likeness.limit)


def _find_duplicates(
    clips: Sequence[ClipEntry], heard: Mapping[str, HeardClip], sample_rate_hz: int
) -> tuple[Duplicate, ...]:
    """Return the clips that are the same sample by sample, and those that share half of the shorter one."""
    originals: dict[str, ClipEntry] = {}
    found: list[Duplicate] = []
    for clip in clips:
        original = originals.setdefault(heard[clip.id].measures.sound_sha256, clip)
        if original is not clip:
            found.append(Duplicate(original, clip, clip.n_samples / sample_rate_hz, exact=True))
    different = list(originals.values())
    least_share = CLIP_THRESHOLDS["duplicates"].limit / 100
    for match in find_matches([heard[clip.id].fingerprint for clip in different], sample_rate_hz):
        first, second = different[match.first], different[match.second]
        if match.overlap_s >= least_share * min(first.n_samples, second.n_samples) / sample_rate_hz:
            found.append(Duplicate(first, second, match.overlap_s, exact=False))
    return tuple(sorted(found, key=lambda each: (-each.overlap_s, each.first.id, each.second.id)))
