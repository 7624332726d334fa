"""What chance decides in a step of the decoder's training: which stretches of which recordings, and in whose voices."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from recipes.base.corpus import SINGING_SOURCES, Recordings
from recipes.base.recentring import draw_shares
from timbre.models.fast.synthesis import LOOKAHEAD_FRAMES

COPIES_ONLY = 12  # items of a batch in which all keep their voice
COPIES = 5  # items that keep their voice where others take a stranger's,
EXCHANGED = 4  # and those others;
AGAIN = 4  # of these, how many come again as copies in the next step,
ECHOES = 2  # and of these, with echoes, how many are heard in the voice that they took
CONTEXT_FRAMES = 24
JUDGED_FRAMES = 112
CROP_FRAMES = CONTEXT_FRAMES + JUDGED_FRAMES + LOOKAHEAD_FRAMES
REFERENCE_CROP_FRAMES = 400  # what it takes of a recording to cut a reference out and resample it
WARPED_SHARE = 0.3
WARPS = (0.84, 0.875, 0.9, 1.1, 1.125, 1.16)
CONVERTED_SHARE = 0.35
UNUSUAL_PITCH_SHARE = 0.3
LOG_GAINS = (-1.4, 0.9)
NOISE_DB = (-50.0, -15.0)  # of the noise that the teacher hears over what was made
WIDE_HZ, WIDE_WEIGHT = 10_000, 1.6  # recordings of more bandwidth are drawn more often


@dataclass(frozen=True)
class Batch:
    """One step's choices; the first items keep their voice, the others take a stranger's."""

    n_copies: int
    files: np.ndarray  # [B] recordings
    voices: np.ndarray  # [B] recordings of those whose voice they take
    starts: np.ndarray  # [B] first frames
    reference_starts: np.ndarray  # [B] first frames of what is heard of the voices
    warp: float  # by what source and reference are sped up
    n_again: int  # of the first items, those that took a stranger's voice lately
    converted: np.ndarray | None  # [B] which take their content from converted copies
    move_shares: np.ndarray | None  # [B] how much of the way to the voice's mean the content is moved
    pitch_ratios: np.ndarray  # [B, 1] by what the pitch is multiplied
    log_gains: np.ndarray  # [B, 1] by what the sound is louder while it is rendered
    noise_db: np.ndarray | None  # [B, 1] level of the noise that the teacher hears


class BatchSampler:
    """Draws batches from a generator."""

    def __init__(
        self,
        recordings: Recordings,
        rng: np.random.Generator,
        *,
        strangers: bool,
        converted: bool,
        recentred: bool,
        noisy: bool,
    ) -> None:
        self.recordings, self.rng = recordings, rng
        self.n_copies, self.n_items = (COPIES, COPIES + EXCHANGED) if strangers else (COPIES_ONLY, COPIES_ONLY)
        self.converted, self.recentred, self.noisy = converted, recentred, noisy
        self.file_weights = _file_weights(recordings)
        self.median_hz = _median_pitches(recordings)
        self.sung = np.array([entry["source"] in SINGING_SOURCES for entry in recordings.index])
        self.files_of = [np.flatnonzero(recordings.speaker_of == s) for s in range(recordings.n_speakers)]
        self.again: tuple[np.ndarray, np.ndarray] | None = None  # files and first frames

    def draw(self) -> Batch:
        """Draw the next batch.

        What took a stranger's voice lately comes again as a copy, at the next step without warp.
        """
        recordings, rng, n_copies = self.recordings, self.rng, self.n_copies
        files = rng.choice(len(self.file_weights), self.n_items, p=self.file_weights)
        warp = float(rng.choice(WARPS)) if rng.random() < WARPED_SHARE else 1.0
        starts = recordings.crops(files, math.ceil(CROP_FRAMES * warp), rng)
        n_again = 0 if self.again is None or warp != 1 else AGAIN
        if self.again is not None and n_again:
            files[:n_again], starts[:n_again] = self.again
        converted = rng.random(self.n_items) < CONVERTED_SHARE if self.converted else None
        voices = np.concatenate((files[:n_copies], self._strangers(files[n_copies:])))
        own = self._references(files[:n_copies], starts[:n_copies])
        others = recordings.crops(voices[n_copies:], REFERENCE_CROP_FRAMES, rng)
        if self.n_items > n_copies and warp == 1:
            last = slice(n_copies, n_copies + AGAIN)
            self.again = files[last], starts[last]
        return Batch(
            n_copies=n_copies,
            files=files,
            voices=voices,
            starts=starts,
            reference_starts=np.concatenate((own, others)),
            warp=warp,
            n_again=n_again,
            converted=converted,
            move_shares=draw_shares(self.n_items, rng) if self.recentred else None,
            pitch_ratios=self._pitch_ratios(files, voices),
            log_gains=rng.uniform(*LOG_GAINS, (self.n_items, 1)),
            noise_db=rng.uniform(*NOISE_DB, (self.n_items, 1)) if self.noisy else None,
        )

    def _strangers(self, files: np.ndarray) -> np.ndarray:
        """Choose for each recording one of another speaker."""
        speaker_of, chosen = self.recordings.speaker_of, []
        for file in files:
            other = file
            while speaker_of[other] == speaker_of[file]:
                other = int(self.rng.choice(len(self.file_weights), p=self.file_weights))
            chosen.append(other)
        return np.array(chosen, dtype=np.int64)

    def _references(self, files: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Choose first frames of reference stretches: other recordings of the speaker, or far away in the same one."""
        recordings, chosen = self.recordings, []
        for file, start in zip(files, starts, strict=True):
            others = self.files_of[recordings.speaker_of[file]]
            others = others[others != file]
            if len(others):
                weight = recordings.n_frames[others].astype(float)
                other = self.rng.choice(others, 1, p=weight / weight.sum())
                chosen.append(recordings.crops(other, REFERENCE_CROP_FRAMES, self.rng)[0])
            else:
                first, last = recordings.first_frame[file], recordings.first_frame[file] + recordings.n_frames[file]
                after = start + CROP_FRAMES if last - start - CROP_FRAMES > start - first else first
                chosen.append(min(max(after, 0), len(recordings.f0) - REFERENCE_CROP_FRAMES))
        return np.array(chosen)

    def _pitch_ratios(self, files: np.ndarray, voices: np.ndarray) -> np.ndarray:
        """Return by what to multiply the pitch of `files` for the voices of `voices`, [B, 1].

        Median to median, for singing in whole octaves; some strangers speak higher or lower than they would.
        """
        source, target = self.median_hz[files], self.median_hz[voices]
        known = (source > 0) & (target > 0)
        octaves = np.log2(np.where(known, target, 1) / np.where(known, source, 1)).clip(-1.5, 1.5)
        unusual = (files != voices) & (self.rng.random(len(files)) < UNUSUAL_PITCH_SHARE)
        octaves = octaves + unusual * self.rng.uniform(-0.5, 0.8, len(files))
        return np.asarray(2.0 ** np.where(self.sung[files], np.round(octaves), octaves))[:, None]


def _file_weights(recordings: Recordings) -> np.ndarray:
    wide = np.array([entry["bandwidth_hz"] > WIDE_HZ for entry in recordings.index])
    weight = recordings.weights() * np.where(wide, WIDE_WEIGHT, 1.0)
    return np.asarray(weight / weight.sum())


def _median_pitches(recordings: Recordings) -> np.ndarray:
    """Return the median pitch of each recording in Hz, 0 where hardly anything is voiced."""
    medians = []
    for start, length in zip(recordings.first_frame, recordings.n_frames, strict=True):
        f0 = recordings.f0[start : start + length]
        voiced = f0[f0 > 0]
        medians.append(float(np.median(voiced)) if len(voiced) > 20 else 0.0)
    return np.array(medians)
