"""Makes what conversion retrieves from: cluster centres or the content of the speakers of a dataset."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from timbre.config.indexing import IndexSettings
from timbre.config.prepare import PACKAGED_ENCODER
from timbre.dataset.folder import Dataset
from timbre.dataset.manifest import ClipEntry
from timbre.dataset.places import write_text
from timbre.errors import DatasetError, SettingsError
from timbre.files.writing import new_file
from timbre.nn.device import check_device
from timbre.nn.precision import reduced_type
from timbre.retrieval.clustering import cluster
from timbre.retrieval.foreign_writing import INDEX_FILE, KMEANS_FILE, listed_index, pickled_indexes, write_kmeans
from timbre.retrieval.speaker_rows import SpeakerRows, read_speaker_rows, save_speaker_rows
from timbre.weights.digest import sha256_of

FRAMES_PER_CENTRE = 10
LEAST_FRAMES = 100
MOST_FRAMES = 200_000
"""Of one speaker: of more, this many are drawn, and also a feature index then has centres (pipeline spec 5.2)."""
REDUCED_ROWS = 10_000

_FORMAT_NUMBER = 1
_FOLDER = "index"
_READING_SHARE = 0.1  # of the work for one speaker

OnProgress = Callable[[float], None]


@dataclass(frozen=True)
class IndexedSpeaker:
    """What was made of one speaker."""

    n_frames: int  # of content in the dataset
    n_rows: int  # centres, or frames that are searched
    mean_distance: float  # of a frame to the row nearest to it, Euclidean; 0 where all frames are rows


@dataclass(frozen=True)
class IndexResult:
    """The index of a dataset."""

    path: Path
    is_new: bool  # it was made now
    replaced_stale: bool  # in the place of one made from other clips, features or settings, or damaged
    speakers: Mapping[str, IndexedSpeaker]
    exported: Path | None  # the file for so-vits-svc


def index_file(folder: Path, kind: str) -> Path:
    """Return where the index of a kind lies in the dataset `folder`; what it was made from stands beside it (json)."""
    return folder / _FOLDER / f"{kind}.safetensors"


def make_index(
    dataset: Dataset,
    settings: IndexSettings,
    *,
    speakers: Sequence[str] = (),
    export_sovits: bool = False,
    on_progress: OnProgress = lambda done: None,
) -> IndexResult:
    """Make the index of a dataset unless it is there, and write it for so-vits-svc too if asked.

    `speakers` are by default all; `on_progress` hears the share that is done. Raises SettingsError for a speaker that
    is not there or an encoder that so-vits-svc does not know, DatasetError where a speaker has too few frames or
    features are damaged, DeviceError, OutputError.
    """
    device = check_device(settings.device)
    names = _chosen(dataset, speakers)
    if export_sovits and dataset.manifest.encoder == PACKAGED_ENCODER:
        raise SettingsError(
            f"{dataset.folder} was prepared with the packaged encoder, which so-vits-svc does not know; leave out the "
            "export, or prepare it with another encoder, such as vec768l12"
        )
    path = index_file(dataset.folder, settings.kind)
    origin = _origin(dataset, names, settings)
    facts = _recorded(path, origin)
    is_new, is_there = facts is None, path.exists()
    if facts is None:
        facts = _make(dataset, names, settings, device, path, on_progress)
        record = {"made_from": origin, "sha256": sha256_of(path), "speakers": {n: asdict(f) for n, f in facts.items()}}
        write_text(path.with_suffix(".json"), json.dumps(record, ensure_ascii=False, indent=1) + "\n")
    exported = _export(dataset, path, settings) if export_sovits else None
    return IndexResult(path, is_new, is_new and is_there, facts, exported)


def _chosen(dataset: Dataset, speakers: Sequence[str]) -> list[str]:
    known = dataset.manifest.speakers
    for name in speakers:
        if name not in known:
            raise SettingsError(f"{dataset.folder} has no speaker {name!r}; its speakers: {', '.join(known)}")
    return [name for name in known if not speakers or name in speakers]


def _origin(dataset: Dataset, names: Sequence[str], settings: IndexSettings) -> dict[str, object]:
    """Return all that an index depends on, as plain values."""
    clips = sorted((clip.id, clip.speaker) for clip in dataset.clips() if clip.speaker in names)
    origin: dict[str, object] = {
        "format": _FORMAT_NUMBER,
        "kind": settings.kind,
        "seed": settings.seed,
        "encoder": dataset.manifest.encoder,
        "content": dataset.manifest.features["content"],
        "clips_sha256": hashlib.sha256(json.dumps(clips).encode()).hexdigest(),
    }
    return origin | ({"centres": settings.centres} if settings.kind == "kmeans" else {})


def _recorded(path: Path, origin: Mapping[str, object]) -> dict[str, IndexedSpeaker] | None:
    """Return what an index holds that was made from `origin` and is whole; None where there is none such."""
    try:
        record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        if record["made_from"] != origin or record["sha256"] != sha256_of(path):
            return None
        return {name: IndexedSpeaker(**facts) for name, facts in record["speakers"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _make(
    dataset: Dataset,
    names: Sequence[str],
    settings: IndexSettings,
    device: torch.device,
    path: Path,
    on_progress: OnProgress,
) -> dict[str, IndexedSpeaker]:
    """Write the index; the record beside it, which makes it valid, is written after it."""
    made = index_rows(dataset, names, settings, device, on_progress)
    rows = {name: each for name, (each, _) in made.items()}
    with new_file(path) as temporary:
        save_speaker_rows(SpeakerRows(settings.kind, dataset.manifest.encoder, rows), temporary)
    return {name: facts for name, (_, facts) in made.items()}


def index_rows(
    dataset: Dataset,
    names: Sequence[str],
    settings: IndexSettings,
    device: torch.device,
    on_progress: OnProgress = lambda done: None,
) -> dict[str, tuple[Tensor, IndexedSpeaker]]:
    """Return the rows [N, D] of an index of some speakers and what they were made of; nothing is written.

    Raises DatasetError where a speaker has too few frames or features are damaged.
    """
    shares = {name: _share(on_progress, number / len(names), 1 / len(names)) for number, name in enumerate(names)}
    return {name: _speaker_rows(dataset, name, settings, device, share) for name, share in shares.items()}


def _speaker_rows(
    dataset: Dataset, name: str, settings: IndexSettings, device: torch.device, on_progress: OnProgress
) -> tuple[Tensor, IndexedSpeaker]:
    chance = np.random.default_rng(settings.seed)
    clips = dataset.clips(speaker=name)
    frames, n_frames = _frames(dataset, clips, chance, _share(on_progress, 0.0, _READING_SHARE))
    if n_frames < LEAST_FRAMES:
        raise DatasetError(
            f"speaker {name!r} of {dataset.folder} has {n_frames} frames of content, and an index needs "
            f"{LEAST_FRAMES}; add recordings, or name the other speakers with --speaker"
        )
    if settings.kind == "retrieval" and n_frames <= MOST_FRAMES:
        return torch.from_numpy(frames), IndexedSpeaker(n_frames, n_frames, 0.0)
    n_centres = min(settings.centres, len(frames) // FRAMES_PER_CENTRE)
    found = cluster(
        torch.from_numpy(frames).to(device),
        n_centres if settings.kind == "kmeans" else REDUCED_ROWS,
        settings.seed,
        number_type=reduced_type("auto", device),
        on_progress=_share(on_progress, _READING_SHARE, 1 - _READING_SHARE),
    )
    return found.centres.cpu(), IndexedSpeaker(n_frames, len(found.centres), found.mean_distance)


def _frames(
    dataset: Dataset, clips: Sequence[ClipEntry], chance: np.random.Generator, on_progress: OnProgress
) -> tuple[NDArray[np.float32], int]:
    """Return the content of clips [N, D], of more than `MOST_FRAMES` so many drawn evenly, and how many there are."""
    frames = np.empty((MOST_FRAMES, dataset.manifest.content_width), dtype=np.float32)
    n_seen = 0
    for n_done, clip in enumerate(clips, 1):
        units = dataset.units(clip)
        dataset.check_content(clip, units)
        numbers = np.arange(n_seen, n_seen + len(units))
        drawn = (chance.random(len(units)) * (numbers + 1)).astype(np.int64)
        places = np.where(numbers < MOST_FRAMES, numbers, drawn)  # a later frame takes an earlier one's place
        is_kept = places < MOST_FRAMES
        frames[places[is_kept]] = units[is_kept]
        n_seen += len(units)
        on_progress(n_done / len(clips))
    return frames[:n_seen], n_seen


def _share(on_progress: OnProgress, before: float, share: float) -> OnProgress:
    """Return what tells `on_progress` of a part of the work, a `share` of all, from when `before` of all is done."""
    return lambda done: on_progress(before + share * done)


def _export(dataset: Dataset, path: Path, settings: IndexSettings) -> Path:
    """Write the index beside it as so-vits-svc reads it; returns the file."""
    rows = read_speaker_rows(path, settings.kind).rows
    target = path.with_name(KMEANS_FILE if settings.kind == "kmeans" else INDEX_FILE)
    with new_file(target) as temporary:
        if settings.kind == "kmeans":
            write_kmeans(rows, temporary)
        else:
            ids = dataset.manifest.speakers
            temporary.write_bytes(
                pickled_indexes({ids[n]: listed_index(each, settings.seed) for n, each in rows.items()})
            )
    return target
