"""Make the two demo sources: one phrase spoken and one sung, by espeak-ng with a melody of our own.

    python examples/make_phrases.py

needs the program espeak-ng. Words and melody are this project's own; the two files are stored in the repository, so
nobody needs to run this to use them.
"""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import numpy as np
import parselmouth
import soundfile
import soxr
from numpy.typing import NDArray
from parselmouth.praat import call

SAMPLE_RATE_HZ = 44_100
SPOKEN = "The morning light is on the river, and every voice can find its way home."
BEAT_S = 0.42
PORTAMENTO_S = 0.06
VIBRATO_HZ, VIBRATO_SEMITONES = 5.5, 0.35
JOIN_S = 0.02

# (syllable in espeak-ng's phoneme letters, MIDI note, beats); note 0 is a rest
SONG = (
    ("m'O@", 60, 1.0),
    ("nI2N", 62, 1.0),
    ("l'aIt", 64, 2.0),
    ("Iz", 64, 0.5),
    ("'0n", 62, 0.5),
    ("D@2", 60, 1.0),
    ("r'I", 65, 1.0),
    ("v@", 64, 2.0),
    ("", 0, 0.75),
    ("s'IN", 67, 1.5),
    ("It", 65, 0.5),
    ("l'oU", 57, 2.0),
    ("and", 60, 0.5),
    ("s'IN", 62, 1.0),
    ("It", 64, 0.5),
    ("h'aI", 69, 3.0),
)


def main() -> None:
    """Write spoken.flac and sung.flac beside this script."""
    folder = Path(__file__).parent
    for name, wave in (("spoken", speak(SPOKEN)), ("sung", sing())):
        level = 0.5 * wave / np.abs(wave).max()
        soundfile.write(folder / f"{name}.flac", level, SAMPLE_RATE_HZ, subtype="PCM_16")


def speak(text: str, words_per_minute: int = 145) -> NDArray[np.float64]:
    """Return the text as espeak-ng reads it [N] at SAMPLE_RATE_HZ."""
    command = ["espeak-ng", "-v", "en-gb", "-s", str(words_per_minute), "--stdout", text]
    sound = subprocess.run(command, check=True, capture_output=True).stdout
    wave, rate_hz = soundfile.read(io.BytesIO(sound), dtype="float64")
    return np.asarray(soxr.resample(wave, rate_hz, SAMPLE_RATE_HZ))


def sing() -> NDArray[np.float64]:
    """Return the song [N] at SAMPLE_RATE_HZ, its notes joined with short fades."""
    fade = np.linspace(0, 1, int(JOIN_S * SAMPLE_RATE_HZ))
    song = np.zeros(len(fade))
    last_note = 0
    for syllable, note, beats in SONG:
        sung = sing_note(syllable, note, last_note or note, beats * BEAT_S + JOIN_S)
        song[-len(fade) :] = song[-len(fade) :] * (1 - fade) + sung[: len(fade)] * fade
        song = np.concatenate([song, sung[len(fade) :]])
        last_note = note
    return song


def sing_note(syllable: str, note: int, last_note: int, duration_s: float) -> NDArray[np.float64]:
    """Return one syllable on one note, stretched to the duration [N], gliding in from the last note."""
    n_samples = round(duration_s * SAMPLE_RATE_HZ)
    if not note:
        return np.zeros(n_samples)
    spoken = _without_silence(speak(f"[[{syllable}]]", 120))
    sound = parselmouth.Sound(spoken, SAMPLE_RATE_HZ)
    manipulation = call(sound, "To Manipulation", 0.005, 60, 400)
    pitch = call("Create PitchTier", "melody", 0, sound.duration)
    stretch = duration_s / sound.duration
    for time_s in np.arange(0, sound.duration, 0.005):
        call(pitch, "Add point", time_s, 440 * 2 ** ((_note_at(time_s * stretch, note, last_note) - 69) / 12))
    durations = call("Create DurationTier", "length", 0, sound.duration)
    call(durations, "Add point", 0, stretch)
    call([pitch, manipulation], "Replace pitch tier")
    call([durations, manipulation], "Replace duration tier")
    sung = call(manipulation, "Get resynthesis (overlap-add)").values[0]
    return np.pad(sung, (0, max(0, n_samples - len(sung))))[:n_samples]


def _note_at(time_s: float, note: int, last_note: int) -> float:
    """Return the sung note (MIDI, with fractions) at a time after its start: a glide, then growing vibrato."""
    glide = (last_note - note) * max(0.0, 1 - time_s / PORTAMENTO_S)
    depth = VIBRATO_SEMITONES * min(1.0, max(0.0, (time_s - 0.25) / 0.4))
    return note + glide + depth * float(np.sin(2 * np.pi * VIBRATO_HZ * time_s))


def _without_silence(wave: NDArray[np.float64]) -> NDArray[np.float64]:
    loud = np.flatnonzero(np.abs(wave) > 0.02 * np.abs(wave).max())
    return wave[loud[0] : loud[-1] + 1]


if __name__ == "__main__":
    main()
