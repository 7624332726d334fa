"""Finds the recordings of each speaker in a folder, and the label files that belong to them."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from timbre.audio.listing import AUDIO_SUFFIXES
from timbre.dataset.manifest import LeftOut
from timbre.errors import AudioError, SettingsError

LABEL_SUFFIXES = (".csv", ".tsv", ".txt", ".textgrid")
LABEL_ENDING = ".labels"
"""What stands between the name of a recording and the suffix of a label file that lies beside it."""

SOVITS_DATASET = "44k"


@dataclass(frozen=True)
class Recording:
    """One sound file of a speaker."""

    path: Path
    inner: str  # path inside the folder of recordings, as the system has it
    source: str  # the same in NFC, with "/" between names, as people see it
    speaker: str
    labels: Path | None


@dataclass(frozen=True)
class Found:
    """What a folder of recordings holds."""

    recordings: tuple[Recording, ...]  # in the order of their sources
    left_out: tuple[LeftOut, ...]  # folders that cannot be read
    n_other_files: int
    notes: tuple[str, ...]


def find_recordings(
    raw: Path, speaker: str | None, labels_folder: Path | None, output: Path, names: SpeakerNames
) -> Found:
    """Find all recordings below `raw`; each sub-folder of it is a speaker, and so is `raw` for what lies in it.

    Where all lie in folders of its folder "44k", as so-vits-svc has its datasets, those folders are the speakers.

    With `speaker` all are of that one. What begins with a dot and the folder `output` are passed over. `names` learns
    the names of the speakers. Raises AudioError where
    `raw` is no folder, may not be read, or holds no recording, and SettingsError where `labels_folder` is none.
    """
    if not raw.is_dir():
        raise AudioError(f"{raw} is no folder; give the folder of the recordings")
    left_out: list[LeftOut] = []
    files = sorted(_walk(raw, output.resolve(), left_out))
    sounds = [file for file in files if file.suffix.lower() in AUDIO_SUFFIXES]
    if not sounds:
        reason = left_out[0].reason if left_out else f"none of its {len(files)} files ends in a sound suffix"
        raise AudioError(f"{raw} holds no recordings ({reason}); give a folder that does")
    labels = _Labels(files, labels_folder)
    speakers = _folder_of_speakers(sounds, raw)
    recordings = [
        Recording(
            file,
            str(file.relative_to(raw)),
            readable(file.relative_to(raw).as_posix()),
            names.of(speaker or _folder_name(file, speakers)),
            labels.of(file),
        )
        for file in sounds
    ]
    recordings.sort(key=lambda recording: (recording.source, recording.path))
    n_others = len(files) - len(sounds) - len(labels.beside)
    return Found(tuple(recordings), tuple(left_out), n_others, tuple(labels.notes()))


def readable(name: str) -> str:
    """Return a file name as text in NFC; bytes that are no text are replaced."""
    return unicodedata.normalize("NFC", os.fsencode(name).decode("utf-8", "replace"))


class SpeakerNames:
    """Gives names that mean the same speaker one form, the first that was met, and notes where that joined two.

    Names that differ only in their Unicode form, or in case on systems that do not see it, mean the same.
    """

    def __init__(self) -> None:
        self._forms: dict[str, dict[str, str]] = {}  # by what counts: the names as given, each with its readable form

    def of(self, name: str) -> str:
        """Return the form of `name` that counts."""
        plain = readable(name).strip() or "speaker"
        key = plain.casefold() if sys.platform in ("win32", "darwin") else plain
        forms = self._forms.setdefault(key, {})
        forms.setdefault(name, plain)
        return next(iter(forms.values()))

    def notes(self) -> list[str]:
        """Say which names were joined."""
        return [
            f"{len(forms)} spellings of the speaker {next(iter(forms.values()))!r}, which look the same, were taken "
            "for one"
            for forms in self._forms.values()
            if len(forms) > 1
        ]


class _Labels:
    """The label files: beside the recordings, and in a folder of their own."""

    def __init__(self, files: Sequence[Path], folder: Path | None) -> None:
        if folder is not None and not folder.is_dir():
            raise SettingsError(f"labels is {str(folder)!r}; it must be the folder of the label files")
        labels = [file for file in files if file.suffix.lower() in LABEL_SUFFIXES and file.stem.endswith(LABEL_ENDING)]
        self.beside = {(file.parent, readable(_plain_stem(file))): file for file in labels}
        inside = sorted(folder.rglob("*")) if folder is not None else []
        self._in_folder = {
            readable(_plain_stem(file)): file for file in inside if file.suffix.lower() in LABEL_SUFFIXES
        }
        self._used: set[Path] = set()

    def of(self, recording: Path) -> Path | None:
        """Return the label file of a recording; one in the folder counts more."""
        stem = readable(recording.stem)
        found = self._in_folder.get(stem) or self.beside.get((recording.parent, stem))
        if found is not None:
            self._used.add(found)
        return found

    def notes(self) -> list[str]:
        """Say which label files belong to no recording, or to one that has another."""
        unused = sorted({*self.beside.values(), *self._in_folder.values()} - self._used)
        if not unused:
            return []
        return [f"{len(unused)} label files are not used: {', '.join(readable(file.name) for file in unused[:3])}"]


def _plain_stem(label_file: Path) -> str:
    return label_file.stem.removesuffix(LABEL_ENDING)


def _folder_of_speakers(sounds: Sequence[Path], raw: Path) -> Path:
    """Return the folder whose sub-folders are the speakers."""
    within = raw / SOVITS_DATASET
    inside = all(file.is_relative_to(within) and len(file.relative_to(within).parts) > 1 for file in sounds)
    return within if inside else raw


def _folder_name(file: Path, speakers: Path) -> str:
    """Return the name of the folder that stands for the speaker of `file`."""
    inner = file.relative_to(speakers).parts
    return inner[0] if len(inner) > 1 else speakers.resolve().name


def _walk(raw: Path, output: Path, left_out: list[LeftOut]) -> Iterator[Path]:
    """Yield the files below `raw`, links followed but no folder entered twice; unreadable folders are left out."""

    def note(error: OSError) -> None:
        folder = Path(error.filename)
        name = "." if folder == raw else readable(folder.relative_to(raw).as_posix())
        left_out.append(LeftOut(name, None, f"the folder cannot be read ({error.strerror})"))

    entered: set[Path] = {output}
    for place, folders, names in os.walk(raw, onerror=note, followlinks=True):
        entered.add(Path(place).resolve())
        folders[:] = [
            name
            for name in sorted(folders)
            if not name.startswith(".") and (Path(place) / name).resolve() not in entered
        ]
        yield from (Path(place) / name for name in names if not name.startswith("."))
