"""Unpacking zip archives of strangers: no path leaves the folder, no links, no bombs."""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from timbre.errors import WeightsError
from timbre.weights.restricted import MAX_FILE_BYTES
from timbre.weights.storage import require_space

_MAX_MEMBERS = 10_000
_ENCRYPTED = 0x1
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_TORCH_DATA = "data.pkl"  # a torch file is a zip archive too


def is_archive(path: Path) -> bool:
    """Say whether a file is a zip archive, but no torch file."""
    if not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return not any(PurePosixPath(name).name == _TORCH_DATA for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def unpack(path: Path, folder: Path, *, max_bytes: int = MAX_FILE_BYTES) -> None:
    """Unpack the zip archive `path` into the existing `folder`.

    Raises WeightsError where it is damaged, has a password or an unusual compression, holds more than `max_bytes`, or
    a member that is a link or lies outside of the archive; OutputError where the disk is full.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            total = sum(member.file_size for member in members)
            if len(members) > _MAX_MEMBERS or total > max_bytes:
                raise WeightsError(
                    f"{path.name!r} unpacks to {len(members)} files of {total} bytes, more than {_MAX_MEMBERS} files "
                    f"or {max_bytes} bytes; unpack it yourself and give the file that is needed"
                )
            targets = [_target(member, folder, path.name) for member in members]
            require_space(folder, total)
            for member, target in zip(members, targets, strict=True):
                _write(archive, member, target)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise WeightsError(f"{path.name!r} is a damaged or unusual zip archive; download it again") from error


def _target(member: zipfile.ZipInfo, folder: Path, archive_name: str) -> Path:
    inside = PurePosixPath(member.filename.replace("\\", "/"))
    leaves = inside.is_absolute() or ".." in inside.parts or any(":" in part for part in inside.parts)
    if leaves or stat.S_ISLNK(member.external_attr >> 16):
        raise WeightsError(
            f"{archive_name!r} holds {member.filename!r}, a link or a path out of the archive; use another copy"
        )
    if member.flag_bits & _ENCRYPTED or member.compress_type not in _COMPRESSIONS:
        raise WeightsError(
            f"{archive_name!r} has a password or an unusual compression; unpack it yourself and give the file in it"
        )
    return folder.joinpath(*inside.parts)


def _write(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    if member.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, target.open("xb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)  # ends at the size that was added up above
