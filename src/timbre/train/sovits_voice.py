"""What the families of so-vits-svc share: whom they learn, the voice they become a part of, and its vocoder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from timbre.config.train import TrainSettings
from timbre.config.vocoder import VocoderShape
from timbre.dataset.folder import Dataset
from timbre.errors import DatasetError, MissingWeightsError
from timbre.vocoder.nsf_hifigan import VOCODER_WEIGHTS, read_vocoder
from timbre.voice.card import VoiceCard, safe_name
from timbre.voice.sovits.folder import MANIFEST_FILE
from timbre.voice.sovits.parts import Network
from timbre.voice.sovits.voice import FAMILY
from timbre.weights.digest import sha256_of
from timbre.weights.finding import known_weights
from timbre.weights.search import weights_folders

ENOUGH_S = 30 * 60.0
"""Seconds of sound that guides to so-vits-svc ask for at least."""

LEAST_CLIPS = 2  # the others judge
_PITCH_PERCENTILES = (2, 50, 98)
_STATED = ("licence", "attribution", "consent")
_PARENTS = 4
_FEW_NAMES = 3


def choose_subject(dataset: Dataset, asked: str | None) -> str:
    """Return the speaker whose likeness is judged: the one asked for, or the one with most sound to learn from.

    Raises DatasetError where there is none.
    """
    names = list(dataset.manifest.speakers)
    if asked is not None and asked not in names:
        raise DatasetError(f"{dataset.folder} holds no speaker {asked!r}; it holds: {', '.join(names)}")
    samples = {name: sum(clip.n_samples for clip in dataset.clips("train", name)) for name in names}
    chosen = asked or max(names, key=lambda name: samples[name])
    n_clips = len(dataset.clips(speaker=chosen))
    if not samples[chosen] or n_clips < LEAST_CLIPS:
        raise DatasetError(
            f"{dataset.folder} holds {n_clips} clips of {chosen!r}, of which {len(dataset.clips('train', chosen))} are "
            f"to learn from, and {LEAST_CLIPS} with one to learn from are needed; prepare more recordings"
        )
    return chosen


def search_folders(beside: Path | None) -> list[Path]:
    """Return where weights are looked for: the usual folders, then `pretrain/` beside and above a file."""
    trees = [] if beside is None else [parent / "pretrain" for parent in beside.resolve().parents[:_PARENTS]]
    return weights_folders() + trees


def find_vocoder_network(folders: Sequence[Path]) -> Network | None:
    """Return the vocoder that lies in one of the folders, None where there is none.

    Raises SettingsError or WeightsError for one that cannot be used.
    """
    try:
        with known_weights(VOCODER_WEIGHTS, None, folders) as place:
            network = Network(*read_vocoder(place))
            VocoderShape.from_config(network.config)
            return network
    except MissingWeightsError:
        return None


def pitch_range_hz(dataset: Dataset, subject: str) -> tuple[float, float, float]:
    """Return the lowest, median and highest pitch of a speaker, without outliers; 0 where nothing is voiced."""
    f0_hz = np.concatenate([dataset.features(clip).f0_hz for clip in dataset.clips("train", subject)])
    voiced = f0_hz[f0_hz > 0]
    low, median, high = np.percentile(voiced, _PITCH_PERCENTILES) if len(voiced) else np.zeros(3)
    return round(float(low), 1), round(float(median), 1), round(float(high), 1)


def new_card(dataset: Dataset, subject: str, settings: TrainSettings, train_s: float) -> VoiceCard:
    """Return the card of a voice that is made of the dataset alone; pitches are those of `subject`."""
    low, median, high = pitch_range_hz(dataset, subject)
    names = tuple(dataset.manifest.speakers)
    return VoiceCard(
        name=safe_name(settings.name or subject),
        description=f"trained on {train_s / 60:.1f} min of sound",
        languages=(),
        median_f0_hz=median,
        lowest_f0_hz=low,
        highest_f0_hz=high,
        speakers=names if len(names) > 1 else (),
        family=FAMILY,
        **{name: getattr(settings, name) for name in _STATED},
    )


def stated_card(card: VoiceCard, settings: TrainSettings) -> VoiceCard:
    """Return the card of an existing voice with what `settings` say otherwise."""
    usual = TrainSettings()
    stated = {name: getattr(settings, name) for name in _STATED if getattr(settings, name) != getattr(usual, name)}
    return replace(card, name=safe_name(settings.name or card.name), **stated)


def origins_of(config: Mapping[str, Any], start_digest: str | None, card: VoiceCard | None) -> dict[str, str]:
    """Return what a training starts from: its settings, the weights, and the voice that they become a part of."""
    origins = {"config": hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()}
    if start_digest is not None:
        origins["start"] = start_digest
    if card is not None:
        origins["voice"] = sha256_of(Path(card.path) / MANIFEST_FILE)
    return origins


def fresh_note(names: Sequence[str]) -> list[str]:
    """Tell which weights are as new, although training starts from others; nothing where there are none."""
    if not names:
        return []
    rest = f" and {len(names) - _FEW_NAMES} more" if len(names) > _FEW_NAMES else ""
    return [f"weights that begin anew, as the start has none that fit: {', '.join(names[:_FEW_NAMES])}{rest}"]
