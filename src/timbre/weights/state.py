"""What is known of weights on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from timbre.weights.catalogue import WeightsEntry
from timbre.weights.finding import files_of, find_entry, find_packaged
from timbre.weights.ledger import Ledger
from timbre.weights.search import weights_folders


@dataclass(frozen=True)
class WeightsState:
    """Where the weights of an entry are; `as_published` is None where their hash is not known without reading them."""

    path: Path | None
    size_bytes: int | None  # on this machine, or else of the download
    packaged: bool = False
    as_published: bool | None = None


def state_of(entry: WeightsEntry, weights_dir: Path | None = None) -> WeightsState:
    """Look for the weights of `entry`, first in `weights_dir`; nothing is read but names and sizes."""
    path = find_entry(entry, weights_folders(weights_dir))
    if path is None:
        return WeightsState(None, entry.size_bytes)
    files = files_of(entry, path)
    size_bytes = sum(file.stat().st_size for file in files)
    if path == find_packaged(entry):
        return WeightsState(path, size_bytes, packaged=True)
    hashes = {Ledger().known_sha256(file) for file in files}
    published = {file.sha256 for file in entry.published if file.sha256 is not None}
    return WeightsState(path, size_bytes, as_published=None if None in hashes else hashes <= published)
