"""Folders of small recordings, good and bad, for making datasets of them."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from tests.toys import glide

NFC, NFD = (unicodedata.normalize(form, "Zoë") for form in ("NFC", "NFD"))


def phrase(seconds: float, rate: int, low_hz: float = 150.0) -> NDArray[np.float32]:
    """Return a gliding voice between two short silences [N]."""
    pause = np.zeros(round(0.2 * rate), dtype=np.float32)
    return np.concatenate((pause, glide(seconds - 0.4, rate, low_hz, 1.5 * low_hz), pause))


def save(path: Path, wave: NDArray[np.float32], rate: int, **options: str) -> Path:
    """Write a sound file and the folders above it; options are those of soundfile.write."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, rate, **options)
    return path


def write_good(raw: Path) -> None:
    """Write recordings of two speakers, one of whose names has two spellings, in several formats: 31 s in all."""
    wide = phrase(5.0, 96_000)
    save(raw / NFC / "широко 96k.wav", np.stack((wide, 0.5 * wide), axis=1), 96_000, subtype="PCM_24")
    save(raw / NFD / "phone.wav", phrase(5.0, 8_000), 8_000)
    save(raw / NFD / "deep" / "c.flac", phrase(5.0, 44_100, 180.0), 44_100)
    save(raw / "ada" / "one.ogg", phrase(5.0, 22_050, 250.0), 22_050)
    save(raw / "ada" / "two.mp3", phrase(5.0, 44_100, 270.0), 44_100)
    save(raw / "ada" / "verses.wav", glide(6.0, 16_000), 16_000)
    (raw / "ada" / "verses.labels.csv").write_text("start,end,name\n0.5,2.5,erste\n3,5,第二\n", encoding="utf-8")


def write_bad(raw: Path) -> list[str]:
    """Write recordings that cannot be used beside others; returns their paths."""
    folder = raw / "ada"
    save(folder / "bad_silent.wav", np.zeros(44_100 * 3, dtype=np.float32), 44_100)
    save(folder / "bad_short.wav", glide(0.1, 44_100), 44_100)
    (folder / "bad_empty.wav").write_bytes(b"")
    (folder / "bad_text.wav").write_text("this is no sound")
    (folder / "bad_noise.mp3").write_bytes(np.random.default_rng(0).bytes(5000))
    whole = save(folder / "bad_cut.flac", phrase(5.0, 44_100), 44_100).read_bytes()
    (folder / "bad_cut.flac").write_bytes(whole[: len(whole) // 2] + bytes(2000))
    (folder / "bad_copy.flac").write_bytes((raw / NFD / "deep" / "c.flac").read_bytes())
    save(folder / "bad_labels.wav", glide(3.0, 16_000, 160.0), 16_000)
    (folder / "bad_labels.labels.csv").write_text("start,end,name\n0,60,beyond\n")
    return sorted(f"ada/{path.name}" for path in folder.glob("bad_*") if ".labels" not in path.name)
