"""What weights files held when they were first used; one that has changed since is refused.

A file is hashed once. As long as its path, size and time of change stay, it is taken to be the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from timbre.errors import OutputError, WeightsError
from timbre.files.writing import new_file
from timbre.weights.digest import sha256_of
from timbre.weights.search import own_weights_folder

LEDGER_FILE = "ledger.json"
_SHOWN_DIGITS = 12


@dataclass(frozen=True)
class Record:
    """How a file was last seen."""

    size_bytes: int
    mtime_ns: int
    sha256: str

    def fits(self, status: os.stat_result) -> bool:
        """Say whether a file of this status can be taken to be the same without reading it."""
        return (self.size_bytes, self.mtime_ns) == (status.st_size, status.st_mtime_ns)


class Ledger:
    """The records of one user, by absolute path, as a JSON file (by default in the user's cache)."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or own_weights_folder() / LEDGER_FILE

    def check(self, files: Iterable[Path], remedy: str) -> None:
        """Raise WeightsError where one of `files` is not what it was; `remedy` is the command that accepts it."""
        records = self._read()
        touched = {}
        for file in files:
            record, status = records.get(_key(file)), file.stat()
            if record is None or record.fits(status):
                continue
            now = sha256_of(file)
            if now != record.sha256:
                raise WeightsError(
                    f"{str(file)!r} is not the file it was when it was first used (SHA-256 {now[:_SHOWN_DIGITS]}... "
                    f"instead of {record.sha256[:_SHOWN_DIGITS]}...); put the old one back, or if the change is meant "
                    f"run: {remedy}"
                )
            touched[_key(file)] = Record(status.st_size, status.st_mtime_ns, now)
        if touched:
            self._write(records | touched)

    def remember(self, files: Iterable[Path]) -> None:
        """Record `files` as they are now, over what was known of them."""
        records, fresh = self._read(), {}
        for file in files:
            record, status = records.get(_key(file)), file.stat()
            if record is None or not record.fits(status):
                fresh[_key(file)] = Record(status.st_size, status.st_mtime_ns, sha256_of(file))
        if fresh:
            self._write(records | fresh)

    def known_sha256(self, file: Path) -> str | None:
        """Return the hash of `file` where it is known without reading it."""
        record = self._read().get(_key(file))
        return record.sha256 if record is not None and record.fits(file.stat()) else None

    def _read(self) -> dict[str, Record]:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            return {key: Record(**fields) for key, fields in content.items()}
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise WeightsError(
                f"the record of known weights files {str(self.path)!r} cannot be read; delete it, and the files are "
                "recorded anew"
            ) from error

    def _write(self, records: dict[str, Record]) -> None:
        text = json.dumps({key: asdict(record) for key, record in sorted(records.items())}, indent=1)
        # Where nothing can be written nothing is remembered, which is no reason to refuse weights that are all right.
        with suppress(OutputError), new_file(self.path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _key(file: Path) -> str:
    return os.path.abspath(file)
