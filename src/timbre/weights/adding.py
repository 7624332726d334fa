"""Taking weights into the user's weights folder, once they are seen to be what their name says."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from pathlib import Path

from timbre.errors import MissingWeightsError, OutputError, WeightsError
from timbre.files.writing import put_in_place, temporary_folder
from timbre.weights.archives import is_archive, unpack
from timbre.weights.catalogue import WeightsEntry
from timbre.weights.finding import files_of
from timbre.weights.hugging_face import SETTINGS_FILE, WEIGHTS_FILES
from timbre.weights.identify import FileKind, require_kind, suspicious_classes
from timbre.weights.ledger import Ledger
from timbre.weights.restricted import read_checkpoint
from timbre.weights.search import own_weights_folder, weights_in_folder
from timbre.weights.storage import require_space

_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".onnx")
_NOTICES = ("NOTICE*", "LICENSE*", "LICENCE*", "README*", "*.json")  # kept with the weights of a folder
_MAX_NOTICE_BYTES = 1 << 20
_ONNX_VERSION_FIELD = b"\x08"  # the first field of an ONNX file by its protocol


def add_weights(entry: WeightsEntry, source: Path, *, force: bool = False, move: bool = False) -> Path:
    """Take `source` into the user's weights folder under a name that `entry` is found by; returns where it lies.

    `source` is the file, the folder, or a zip archive with one of them; `move` takes it away from where it is, on the
    same disk. Its hash is recorded. With `force` what is there is replaced, and a `source` that has changed since it
    was first used is taken to be right. Raises MissingWeightsError where it does not exist, WeightsError where it is
    damaged, of another kind, or asks to run something, and OutputError where something is there already or the disk is
    full; nothing is changed then.
    """
    check_addable(entry)
    if not source.exists():
        raise MissingWeightsError(f"there is no file {str(source)!r}; give the downloaded {entry.usual_name}")
    with ExitStack() as stack:
        found = source
        if is_archive(source):
            found = stack.enter_context(temporary_folder(own_weights_folder()))
            unpack(source, found)
            found, move = _only_candidate(entry, found, source.name), True
        check_weights(entry, found)
        target = own_weights_folder() / _kept_name(entry, found)
        if not (target.exists() and target.samefile(found)):
            _place(entry, found, target, move=move, force=force)
    ledger = Ledger()
    if force and found.exists():
        ledger.remember(files_of(entry, found))
    ledger.remember(files_of(entry, target))
    return target


def check_addable(entry: WeightsEntry) -> None:
    """Raise WeightsError where `entry` is known as a part of a package only."""
    if not entry.names and entry.packaged is not None:
        raise WeightsError(f"{entry.name} is part of a package and no file of its own; run: {entry.packaged.command}")


def check_weights(entry: WeightsEntry, path: Path) -> None:
    """Raise WeightsError unless the file or folder `path` holds what `entry` is about."""
    if path.is_dir():
        weights = _weights_of_folder(entry, path)
    elif not entry.file_names or (path.name in WEIGHTS_FILES and entry.folder_names):
        raise WeightsError(
            f"{path.name!r} alone is not enough; give the folder that holds it and {SETTINGS_FILE}, or its zip archive"
        )
    else:
        weights = path
    if not entry.kinds:
        _check_onnx(weights)
        return
    checkpoint = read_checkpoint(weights)
    require_kind(checkpoint, [FileKind[kind] for kind in entry.kinds], weights)
    suspicious = suspicious_classes(checkpoint)
    if suspicious:
        raise WeightsError(
            f"{weights.name!r} asks to run {', '.join(suspicious)}, which no weights need; nothing of it was run, but "
            "do not open this file with other programs, and get another copy"
        )


def _weights_of_folder(entry: WeightsEntry, folder: Path) -> Path:
    if not entry.folder_names:
        raise WeightsError(f"{str(folder)!r} is a folder; give a single file (usually {entry.usual_name})")
    weights = weights_in_folder(folder, entry.folder_weights)
    if weights is None:
        raise WeightsError(f"the folder {str(folder)!r} holds no {', '.join(entry.folder_weights)}; give another one")
    if not (folder / SETTINGS_FILE).is_file():
        raise WeightsError(f"there is no {SETTINGS_FILE} in {str(folder)!r}; copy the one that came with the weights")
    return weights


def _check_onnx(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(1) != _ONNX_VERSION_FIELD:
            raise WeightsError(f"{path.name!r} is no ONNX file; download it again")


def _only_candidate(entry: WeightsEntry, unpacked: Path, archive_name: str) -> Path:
    """Return the one folder or file in an unpacked archive that may be meant."""
    if entry.folder_names:
        folders = [unpacked, *(path for path in unpacked.rglob("*") if path.is_dir())]
        found = [folder for folder in folders if weights_in_folder(folder, entry.folder_weights) is not None]
        if len(found) == 1:
            return found[0]
    files = [path for path in unpacked.rglob("*") if path.suffix in _SUFFIXES and path.is_file()]
    if len(files) != 1 or not entry.file_names:
        raise WeightsError(
            f"{archive_name!r} does not hold just one {entry.usual_name}; unpack it and give what is needed"
        )
    return files[0]


def _kept_name(entry: WeightsEntry, found: Path) -> str:
    names = entry.folder_names if found.is_dir() else entry.file_names
    return found.name if found.name in names else names[0]


def _place(entry: WeightsEntry, found: Path, target: Path, *, move: bool, force: bool) -> None:
    if target.exists() and not force:
        raise OutputError(f"{target} exists; use --force to replace it")
    files = {*files_of(entry, found), *_notices(found)} if found.is_dir() else {found}
    with temporary_folder(target.parent) as temporary:
        if not move:
            require_space(temporary, sum(file.stat().st_size for file in files))
        new = temporary / target.name
        if found.is_dir():
            new.mkdir()
        for file in files:
            (os.replace if move else shutil.copyfile)(file, new / file.name if found.is_dir() else new)
        put_in_place(new, target)


def _notices(folder: Path) -> list[Path]:
    """Return the small texts that came with weights, such as their licence."""
    texts = {file for pattern in _NOTICES for file in folder.glob(pattern) if file.is_file()}
    return sorted(file for file in texts if file.stat().st_size <= _MAX_NOTICE_BYTES)
