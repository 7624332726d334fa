"""A process that works on recordings and clips: one task in each line of stdin, one answer in each line of stdout.

It computes with one thread, keeps its networks, and ends as soon as stdin does, so with the process that started it.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from timbre.config.cutting import CutSettings
from timbre.config.prepare import PrepareSettings
from timbre.errors import AudioError, DatasetError, TimbreError

WARM_UP_S = 4.0


class Workbench:
    """Does the tasks of one preparation."""

    def __init__(self, setup: dict[str, Any]) -> None:
        import torch

        from timbre.prepare.features import FeatureMaker
        from timbre.prepare.hearing import Hearing

        torch.set_num_threads(1)
        self._folder = Path(setup["folder"])
        self._settings = PrepareSettings.from_mapping(setup["settings"])
        self._cutting = CutSettings.from_mapping(setup["cutting"])
        self._hearing = Hearing(**setup["hearing"])
        self._maker = FeatureMaker(self._settings, self._hearing)

    def do(self, task: dict[str, Any]) -> Any:
        """Do one task and return its plain result."""
        tasks: dict[str, Callable[..., Any]] = {"cut": self.cut, "hear": self.hear, "warm up": self.warm_up}
        return tasks[task.pop("task")](**task)

    def cut(self, path: str, labels: str | None, labels_sha256: str | None) -> dict[str, Any]:
        """Cut one recording, unless its record is there; returns the hash of its file, the record's name and itself."""
        from timbre.prepare.cut_records import CutRecord, cut_key, read_record, write_record
        from timbre.prepare.cutting_recordings import cut_recording
        from timbre.weights.digest import sha256_of

        file = Path(path)
        sha256 = sha256_of(file)
        key = cut_key(sha256, labels_sha256, self._settings, self._cutting)
        record = read_record(self._folder, key)
        if record is None:
            label_file = None if labels is None else Path(labels)
            try:
                record = cut_recording(file, sha256, label_file, self._settings, self._cutting, self._folder)
            except (AudioError, DatasetError) as error:
                record = CutRecord((), ((None, str(error).replace(path, file.name)),), ())
            write_record(self._folder, key, record)
        return {"sha256": sha256, "key": key, "record": record.to_mapping()}

    def hear(self, clip: str, kinds: list[str]) -> None:
        """Make and write features of one clip."""
        from timbre.audio.reader import read_audio
        from timbre.dataset.places import clip_file, write_features

        wave = read_audio(clip_file(self._folder, clip)).samples[0]
        for kind in kinds:
            write_features(self._folder, self._hearing.folders[kind], clip, self._maker.make(kind, wave, clip))

    def warm_up(self, path: str, kinds: list[str]) -> dict[str, float]:
        """Return processor seconds per second of sound of the cutting and of these kinds, and the memory in bytes.

        The beginning of a recording goes the whole way once to load everything, and once more to be measured.
        """
        import numpy as np

        from timbre.audio.loudness import integrated_loudness
        from timbre.audio.mixing import to_mono
        from timbre.audio.peaks import limit_true_peak
        from timbre.audio.reader import read_audio
        from timbre.audio.resample import resample
        from timbre.prepare.cutting_recordings import SAMPLE_RATE_HZ

        cutting_s = hearing_s = 0.0
        for _ in range(2):
            started = time.process_time()
            sound = read_audio(path, duration_s=WARM_UP_S)
            wave = resample(to_mono(sound.samples), sound.sample_rate_hz, SAMPLE_RATE_HZ)
            integrated_loudness(wave, SAMPLE_RATE_HZ)
            wave = limit_true_peak(wave, SAMPLE_RATE_HZ)
            cutting_s = time.process_time() - started
            wave = np.resize(wave, round(WARM_UP_S * SAMPLE_RATE_HZ))  # a short recording is repeated
            started = time.process_time()
            for kind in kinds:
                self._maker.make(kind, wave, "0" * 16)
            hearing_s = time.process_time() - started
        return {
            "cutting": cutting_s / sound.duration_s,
            "hearing": hearing_s / WARM_UP_S,
            "memory_bytes": _peak_memory_bytes(),
        }


def main() -> None:
    """Serve until stdin ends."""
    logging.disable(logging.WARNING)  # what matters is told with the results
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="ascii")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not mix with the answers
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin, lines), daemon=True).start()
    workbench: Workbench | None = None
    while True:
        message = json.loads(lines.get())
        if workbench is None:
            workbench = Workbench(message)
            continue
        answers.write(json.dumps(_answer(workbench, message)) + "\n")
        answers.flush()


def _listen(stdin: TextIO, lines: queue.SimpleQueue[str]) -> None:
    """Hand over the lines of stdin; at its end nobody waits for an answer any more."""
    for line in stdin:
        lines.put(line)
    os._exit(0)


def _answer(workbench: Workbench, task: dict[str, Any]) -> dict[str, Any]:
    """Return the result of a task, or the sentence of what went wrong and whether other tasks will fare better."""
    try:
        return {"result": workbench.do(task)}
    except (AudioError, DatasetError) as error:
        return {"failed": str(error), "fatal": False}
    except TimbreError as error:
        return {"failed": str(error), "fatal": True}
    except Exception as error:  # a fault of one recording must not stop the others
        return {"failed": f"it could not be worked on ({type(error).__name__}: {error})", "fatal": False}


def _peak_memory_bytes() -> float:
    """Return the most memory this process has used; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
