"""Downloading what the catalogue names, and taking it into the user's weights folder."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from timbre.errors import OutputError, SettingsError, WeightsError
from timbre.weights.adding import add_weights, check_addable
from timbre.weights.catalogue import PublishedFile, WeightsEntry
from timbre.weights.download import OnProgress, Wanted, check_request, download
from timbre.weights.search import find_weights, own_weights_folder
from timbre.weights.storage import alone

INCOMING_FOLDER = "incoming"


def fetch_weights(
    entry: WeightsEntry,
    *,
    url: str | None = None,
    mirrors: Sequence[str] = (),
    sha256: str | None = None,
    force: bool = False,
    on_progress: OnProgress | None = None,
) -> Path:
    """Download the weights of `entry` into the user's weights folder, if they are not there; returns where they lie.

    They come from `url`, by default from where the catalogue says, or from `mirrors`, which have the same bytes;
    `sha256` is what they must have, by default that of the catalogue. What has arrived is kept for another call where
    a download fails, and removed where it is not what it should be; another process that fetches the same is waited
    for. Errors as in `download` and `add_weights`, and WeightsError where no address is known.
    """
    check_addable(entry)
    files = _files(entry, url, mirrors, sha256)
    for file in files:
        check_request(file.urls, file.sha256)
    if (there := _there(entry, url, force)) is not None:
        return there
    incoming = own_weights_folder() / INCOMING_FOLDER / entry.name
    with alone(incoming.with_name(f"{entry.name}.lock")):
        if (there := _there(entry, url, force)) is not None:  # another process has brought it meanwhile
            return there
        for file in files:
            download(file.urls, incoming / file.file_name, Wanted(file.sha256, file.size_bytes), on_progress)
        source = incoming if len(files) > 1 else incoming / files[0].file_name
        try:
            return add_weights(entry, source, force=force, move=True)
        finally:
            shutil.rmtree(incoming)


def _there(entry: WeightsEntry, url: str | None, force: bool) -> Path | None:
    """Return the weights in the user's folder, None where they are to be fetched.

    Raises OutputError where an address was given for what is there.
    """
    there = find_weights(entry.names, [own_weights_folder()])
    if there is None or force:
        return None
    if url is not None:
        raise OutputError(f"{there} exists; use --force to replace it")
    return there


def _files(
    entry: WeightsEntry, url: str | None, mirrors: Sequence[str], sha256: str | None
) -> tuple[PublishedFile, ...]:
    """Return what is to be downloaded; raises where that is not known or cannot be told."""
    if url is not None:
        return (PublishedFile(entry.usual_name, (url, *mirrors), None, sha256),)
    if not entry.downloads:
        raise WeightsError(
            f"no address of {entry.usual_name} is known here; get it from {entry.page_url} and run: "
            f"timbre weights add {entry.name} FILE, or name one with --url"
        )
    if not mirrors and sha256 is None:
        return entry.downloads
    if len(entry.downloads) > 1:
        raise SettingsError(f"{entry.name} is several files; leave --mirror and --sha256 out, or name one with --url")
    (only,) = entry.downloads
    return (replace(only, urls=(*only.urls, *mirrors), sha256=sha256 or only.sha256),)
