"""Pages of pictures: what was said, the wanted voice and the conversion, each with its pitch."""

from __future__ import annotations

import html
import io
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.quality.held_out import Pair
from timbre.dsp.mel import mel_filter_bank
from timbre.dsp.stft import stft_magnitude
from timbre.errors import MissingExtraError
from timbre.evaluate.waves import MonoWave
from timbre.pitch.trackers import load_tracker

SAMPLE_RATE_HZ, N_FFT, HOP_SAMPLES, N_BANDS = 44_100, 2048, 441, 128
LOW_HZ, HIGH_HZ = 40.0, 16_000.0
SHOWN_RANGE_DB = 70.0
SHOWN_FROM_HZ = 75.0
MARKED_HZ = (125, 250, 500, 1000, 2000, 4000, 8000)
NOTES_HZ = {
    f"{name}{octave}": hz * 2**octave for octave in range(1, 7) for name, hz in (("C", 16.35), ("E", 20.6), ("G", 24.5))
}
PITCH_COLOUR = "#00e5ff"
MELODY_MARGIN = 2 ** (3 / 12)  # above the highest and below the lowest pitch, a minor third
WIDTH_INCHES, HEIGHT_INCHES, DOTS_PER_INCH = 11.0, 11.0, 90
TITLE_LETTERS = 120  # in one line

_INDEX = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Held-out pairs</title>
<style>body {{ font-family: sans-serif; max-width: 70em; margin: 2em auto; }} img {{ width: 100%; }}</style></head>
<body><h1>Held-out pairs</h1>
<p>Bright is loud; high frequencies are above. The light line is the sung or spoken pitch. A good conversion has the
rhythm and the pauses of picture 1, and its bright bands (formants) where picture 2 has them; in picture 4 the two
melodies have the same shape.</p>
{sections}
</body></html>
"""
_SECTION = """<h2>{name}</h2><p>{words}</p><img src="{file}" alt="{name}" loading="lazy">"""


@dataclass
class Pages:
    """A folder with one picture for each pair, and index.html that shows them all."""

    folder: Path
    _sections: list[str] = field(default_factory=list)

    def add(
        self, pair: Pair, source: MonoWave, target: MonoWave, converted: MonoWave, numbers: Mapping[str, float | None]
    ) -> None:
        """Draw one pair, and list it; `target` is the reference to show, `numbers` the measures of the report.

        Raises MissingExtraError where matplotlib is not installed.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        file = f"{len(self._sections) + 1:02d}.png"
        name, words = f"{pair.name} ({pair.group})", describe(numbers)
        (self.folder / file).write_bytes(draw(f"{name}\n{words}", source, target, converted))
        fields = {"name": html.escape(name), "words": html.escape(words), "file": file}
        self._sections.append(_SECTION.format(**fields))
        (self.folder / "index.html").write_text(_INDEX.format(sections="\n".join(self._sections)), encoding="utf-8")


def describe(numbers: Mapping[str, float | None]) -> str:
    """Say the measures that there are in words."""
    texts = {
        "similarity_to_target": "like the wanted voice {:.2f} of 1",
        "similarity_to_source": "like the source {:.2f}",
        "word_disagreement": "words heard differently {:.0%}",
        "shift_semitones": "melody moved by {:+.1f} semitones",
        "median_error_cents": "within {:.0f} cents of it",
        "envelope_correlation": "loudness follows {:.2f}",
    }
    return ", ".join(text.format(number) for key, text in texts.items() if (number := numbers.get(key)) is not None)


def draw(title: str, source: MonoWave, target: MonoWave, converted: MonoWave) -> bytes:
    """Return a PNG of three mel spectrograms with their pitch, over the length of the source, and the two melodies.

    Raises MissingExtraError where matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "train", "the pictures of the pairs") from error
    figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), layout="constrained")
    figure.suptitle(
        "\n".join(line for part in title.splitlines() for line in textwrap.wrap(part, TITLE_LETTERS)), fontsize=11
    )
    rows = {
        "1. Source: the words and the melody": source,
        "2. Wanted voice: the timbre (it says something else)": target,
        "3. Conversion: words and melody of 1 with the timbre of 2": converted,
    }
    panels = figure.subplots(4, 1, sharex=True, height_ratios=(3, 3, 3, 2))
    for panel, (name, wave) in zip(panels, rows.items(), strict=False):
        _draw_sound(panel, wave)
        panel.set_title(name, loc="left", fontsize=10)
    _draw_melodies(panels[-1], source, converted)
    panels[-1].set_xlim(0, source.duration_s)
    panels[-1].set_xlabel("seconds")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DOTS_PER_INCH)
    return file.getvalue()


def mel_picture(wave: MonoWave) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return levels [128, T] in dB below the loudest place (at least -70) and the centres of the bands in Hz [128].

    There are 100 frames a second.
    """
    bank = mel_filter_bank(SAMPLE_RATE_HZ, N_FFT, N_BANDS, LOW_HZ, HIGH_HZ)
    bins_hz = np.linspace(0, SAMPLE_RATE_HZ / 2, N_FFT // 2 + 1)
    weights = bank.numpy().astype(np.float64)
    samples = np.pad(wave.at(SAMPLE_RATE_HZ).samples, N_FFT // 2)
    magnitude = stft_magnitude(torch.from_numpy(samples).unsqueeze(0), N_FFT, HOP_SAMPLES)[0]
    level_db = 20 * torch.log10((bank @ magnitude).clamp_min(1e-9)).numpy()
    relative = np.maximum(level_db - level_db.max(), -SHOWN_RANGE_DB)
    return relative, weights @ bins_hz / weights.sum(axis=1)


def _draw_sound(panel: Any, wave: MonoWave) -> None:
    picture, centres_hz = mel_picture(wave)
    frames_s = np.arange(picture.shape[1]) * (HOP_SAMPLES / SAMPLE_RATE_HZ)
    panel.pcolormesh(frames_s, centres_hz, picture, cmap="magma", shading="nearest", rasterized=True)
    panel.set_facecolor("black")
    panel.set_yscale("log")  # octaves of equal height, as singers count
    panel.set_ylim(SHOWN_FROM_HZ, HIGH_HZ)
    panel.minorticks_off()
    panel.set_yticks(MARKED_HZ, [f"{hz} Hz" for hz in MARKED_HZ])
    times_s, f0_hz = _melody(wave)
    panel.plot(times_s, f0_hz, color=PITCH_COLOUR, linewidth=2.0)


def _draw_melodies(panel: Any, source: MonoWave, converted: MonoWave) -> None:
    melodies = {"source": (*_melody(source), "0.55"), "conversion": (*_melody(converted), "#d81b60")}
    for name, (times_s, f0_hz, colour) in melodies.items():
        panel.plot(times_s, f0_hz, color=colour, linewidth=1.8, label=name)
    panel.set_title("4. Pitch of 1 and 3, in notes", loc="left", fontsize=10)
    panel.set_yscale("log")
    sung_hz = np.concatenate([f0_hz[np.isfinite(f0_hz)] for _, f0_hz, _ in melodies.values()])
    if len(sung_hz):
        low_hz, high_hz = np.percentile(sung_hz, [2, 98])  # without the tracker's few slips
        panel.set_ylim(low_hz / MELODY_MARGIN, high_hz * MELODY_MARGIN)
    panel.minorticks_off()
    low_hz, high_hz = panel.get_ylim()
    shown = {name: hz for name, hz in NOTES_HZ.items() if low_hz <= hz <= high_hz}
    panel.set_yticks(list(shown.values()), list(shown))
    panel.grid(axis="y", alpha=0.3)
    panel.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, fontsize=9, frameon=False)


def _melody(wave: MonoWave) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return times in seconds and pitch in Hz, NaN where unvoiced."""
    track = load_tracker("pm").track(wave.at(SAMPLE_RATE_HZ).samples, SAMPLE_RATE_HZ, HOP_SAMPLES)
    return track.times_s, np.where(track.voiced, track.f0_hz.astype(np.float64), np.nan)
