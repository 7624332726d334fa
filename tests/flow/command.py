"""Runs the command line in this process, as a user meets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.toys import glide
from timbre.cli.main import main

RATE = 16_000
OUTPUT_RATE = 44_100


@dataclass(frozen=True)
class Outcome:
    """What one command left: exit code, stdout and stderr."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The lines of --json."""
        return [json.loads(line) for line in self.out.splitlines()]


class WorkFolder:
    """A folder to work in, and the command."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def sing(self, name: str, seconds: float = 0.25, rate: int = RATE, **options: Any) -> Path:
        """Write a short voice-like sound; options are those of soundfile.write."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, glide(seconds, rate), rate, **options)
        return path

    def run(self, *words: object) -> Outcome:
        """Run `timbre WORDS`."""
        code = main([str(word) for word in words])
        captured = self.capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    def convert(self, *words: object, voice: str | None = "ada") -> Outcome:
        """Run `timbre convert WORDS --voice VOICE` with the quickest pitch tracker."""
        return self.run("convert", *words, *(("--voice", voice) if voice is not None else ()))

    def tree(self) -> dict[str, bytes]:
        """Return every file below the folder with its content, and folders as names that end in a slash."""
        return {
            str(path.relative_to(self.folder)) + ("/" if path.is_dir() else ""): b""
            if path.is_dir()
            else path.read_bytes()
            for path in self.folder.rglob("*")
        }

    def refuses(self, *words: object, voice: str | None = "ada", says: str) -> Outcome:
        """Check that `timbre convert WORDS` is told to be a mistake in one sentence, and that nothing has changed."""
        return self.refuses_to_run("convert", *words, *(("--voice", voice) if voice is not None else ()), says=says)

    def refuses_to_run(self, *words: object, says: str) -> Outcome:
        """Check the same of `timbre WORDS`."""
        before = self.tree()
        outcome = self.run(*words)
        assert (outcome.code, outcome.out) == (2, ""), outcome
        assert outcome.err.startswith("timbre: ") and outcome.err.count("\n") == 1, outcome.err
        assert says in outcome.err, outcome.err
        assert self.tree() == before
        return outcome


def stops_writing(monkeypatch: pytest.MonkeyPatch, failure: Callable[[], BaseException], after: int = 1) -> None:
    """Let the library that writes sound files fail once it has written `after` blocks."""
    write, count = soundfile.SoundFile.write, 0

    def write_or_fail(self: soundfile.SoundFile, samples: np.ndarray) -> None:
        nonlocal count
        count += 1
        if count > after:
            raise failure()
        write(self, samples)

    monkeypatch.setattr(soundfile.SoundFile, "write", write_or_fail)
