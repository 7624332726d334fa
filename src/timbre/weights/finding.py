"""The way from a name of the catalogue to the file on this machine, and the sentence where there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from timbre.errors import MissingExtraError, MissingWeightsError
from timbre.weights.catalogue import WeightsEntry, find_in_catalogue
from timbre.weights.hugging_face import SETTINGS_FILE
from timbre.weights.ledger import Ledger
from timbre.weights.locate import packaged_asset
from timbre.weights.search import WEIGHTS_VARIABLE, find_weights, weights_in_folder


def find_entry(entry: WeightsEntry, folders: Sequence[Path]) -> Path | None:
    """Return the file or folder of `entry` in an installed package or else in `folders`, or None."""
    return find_packaged(entry) or find_weights(entry.names, folders)


def find_packaged(entry: WeightsEntry) -> Path | None:
    """Return the file of `entry` in an installed package, or None."""
    if entry.packaged is None:
        return None
    try:
        return packaged_asset(entry.packaged.package, entry.packaged.path)
    except (MissingExtraError, MissingWeightsError):
        return None


@contextmanager
def known_weights(
    name: str, given: Path | None, folders: Sequence[Path], *, needed_for: str | None = None
) -> Iterator[Path]:
    """Give the path of the weights `name` for loading them: `given`, or else what `find_entry` finds.

    What was found in a folder must be what it was when it was first used; it is remembered once the block ends well.
    `needed_for` begins the sentence of the error, by default the purpose in the catalogue. Raises MissingWeightsError
    where nothing is found and WeightsError where it has changed.
    """
    entry = find_in_catalogue(name)
    found = given or find_entry(entry, folders)
    if found is None:
        raise missing(entry, folders, needed_for)
    if given is not None or found == find_packaged(entry):
        yield found
        return
    ledger, files = Ledger(), files_of(entry, found)
    ledger.check(files, f"timbre weights add {name} {found} --force")
    yield found
    ledger.remember(files)


def files_of(entry: WeightsEntry, path: Path) -> list[Path]:
    """Return the files that count at `path`: itself, or in a folder the weights and their settings."""
    if not path.is_dir():
        return [path]
    weights, settings = weights_in_folder(path, entry.folder_weights), path / SETTINGS_FILE
    return [file for file in (weights, settings) if file is not None and file.is_file()]


def missing(entry: WeightsEntry, folders: Sequence[Path], needed_for: str | None = None) -> MissingWeightsError:
    """Return the error of weights that are not there: their name, source, the commands that help, and a way around."""
    searched = ", ".join(dict.fromkeys(map(str, folders))) or "any folder"
    where = f"not in {searched} (see --weights-dir and ${WEIGHTS_VARIABLE})" if entry.names else "not installed"
    return MissingWeightsError(
        f"{needed_for or entry.purpose} needs {entry.usual_name}, which is {where}; {ways_to_get(entry)}"
    )


def ways_to_get(entry: WeightsEntry) -> str:
    """Return what brings weights, the best way first, and what works without them, as a sentence ends."""
    ways = [] if entry.packaged is None else [f"run: {entry.packaged.command}"]
    if entry.downloads:
        ways.append(f"run: timbre weights fetch {entry.name}")
    if entry.names:
        ways.append(f"get it from {entry.page_url} and run: timbre weights add {entry.name} FILE")
    if entry.instead is not None:
        ways.append(entry.instead)
    return ", or ".join(ways)
