"""The aligned phones of the whole corpus, as one array beside the flat recordings."""

import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from recipes.base.align import KEEP_AGREEMENT, alignments
from recipes.base.synthetic_speech import IGNORED


class Recordings(Protocol):
    """What is needed of the cached corpus: index.json as a list, and where each recording lies."""

    index: list[dict[str, Any]]
    first_frame: np.ndarray
    n_frames: np.ndarray


class Listener(Protocol):
    """A trained encoder over the cached corpus."""

    recordings: Recordings

    def log_posteriors(self, file: int) -> np.ndarray:
        """Return log probabilities of the phones [T, C] of recording number `file`."""
        ...


def log_prior(labels: Path) -> npt.NDArray[np.float64]:
    """Return the log share of each class [C] in the synthetic speech in the folder `labels`."""
    phones = np.load(labels / "synthetic_phones.npy", mmap_mode="r")
    n_classes = len(json.loads((labels / "phones.json").read_text(encoding="utf-8"))["phones"])
    counts = np.bincount(phones[phones >= 0], minlength=n_classes)
    return np.asarray(np.log(np.maximum(counts, 1) / counts.sum()))


def align_recordings(
    listener: Listener, labels: Path, *, keep_agreement: float = KEEP_AGREEMENT
) -> tuple[npt.NDArray[np.int16], dict[str, Any]]:
    """Align every recording that has an entry in transcripts.json in the folder `labels`.

    Returns the class of each frame of the flat corpus [frames] (-100 where unknown) and, per source, how many
    recordings were tried and kept, the hours kept and the mean agreement.
    """
    transcripts = json.loads((labels / "transcripts.json").read_text(encoding="utf-8"))
    recordings, prior = listener.recordings, log_prior(labels)
    classes = np.full(int(recordings.n_frames.sum()), IGNORED, dtype=np.int16)
    summary: dict[str, dict[str, float]] = {}
    files = {entry["path"]: file for file, entry in enumerate(recordings.index) if transcripts.get(entry["path"])}
    for file in files.values():
        source = recordings.index[file]["source"]
        row = summary.setdefault(source, {"tried": 0, "kept": 0, "hours": 0.0, "agreement": 0.0})
        row["tried"] += 1

    def log_posteriors(path: str) -> np.ndarray:
        return listener.log_posteriors(files[path])[: int(recordings.n_frames[files[path]])]

    for path, found in alignments(log_posteriors, {path: transcripts[path] for path in files}, prior):
        file, n_frames = files[path], len(found.classes)
        row = summary[recordings.index[file]["source"]]
        row["agreement"] += found.agreement
        if found.agreement > keep_agreement:
            first = int(recordings.first_frame[file])
            classes[first : first + n_frames] = found.classes
            row["kept"] += 1
            row["hours"] += n_frames / 360_000
    for row in summary.values():
        row["agreement"] /= row["tried"]
    return classes, summary
