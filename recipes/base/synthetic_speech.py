"""Speech whose phones are known to the sample: hours of espeak-ng in thirty languages and many voices.

    python -m recipes.base.synthetic_speech --data ../shared/data --out cache/labels --hours 14

Writes into the folder given by --out:
    synthetic_audio.npy       int16 [160 * T]  16 kHz, all utterances one after another
    synthetic_phones.npy      int16 [T]        class of frame i, which is centred on sample 160 * i; -100: no label
    synthetic_utterances.npy  int32 [U, 5]     first frame, number of frames, voice, language, 1 where sung-like
    phones.json               class names, seconds of each, names of the voices and languages

Only the content encoder may learn from this; these are no voices for the decoder or the speaker encoder.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import numpy.typing as npt
import soxr

from recipes.base.espeak import Espeak, Utterance
from recipes.base.ipa import SILENCE, VOWELS, base_letters
from recipes.base.prolong import prolong
from recipes.base.texts import LANGUAGES, TextMaker, corpus_sentences, english_words

SAMPLE_RATE_HZ = 16_000
HOP_SAMPLES = 160
FRAMES_PER_HOUR = 360_000
IGNORED = -100
_UNKNOWN = -1  # sound that espeak-ng gives no phone for
_TONAL = frozenset({"cmn-latn-pinyin", "vi"})
_SUNG_SHARE = 0.1
_CLOSURE_S = 0.15  # a silence longer than this before a consonant is a pause
# Formant and Klatt variants of espeak-ng without echo, which would smear the phone times.
VARIANTS = (
    *(
        "",
        "",
        "",
        "",
        "Alex",
        "Andrea",
        "Andy",
        "Annie",
        "Denis",
        "Diogo",
        "Gene",
        "Gene2",
        "Henrique",
        "Hugo",
        "Jacky",
    ),
    *(
        "Lee",
        "Mario",
        "Michael",
        "Mike",
        "Mr serious",
        "Nguyen",
        "Storm",
        "Tweaky",
        "adam",
        "anika",
        "antonio",
        "aunty",
    ),
    *("belinda", "benjamin", "boris", "caleb", "croak", "david", "ed", "edward", "edward2", "f1", "grandma"),
    *(
        "grandpa",
        "gustave",
        "iven",
        "iven2",
        "iven3",
        "iven4",
        "john",
        "kaukovalta",
        "klatt",
        "klatt2",
        "klatt3",
        "klatt4",
    ),
    *("klatt5", "klatt6", "linda", "m1", "m3", "m4", "m5", "m6", "m7", "m8", "marcelo", "max", "michel", "miguel"),
    *("norbert", "paul", "pedro", "quincy", "rob", "robert", "sandro", "shelby", "steph", "steph2", "steph3", "travis"),
    *("victor", "whisper", "whisperf", "zac"),
)


@dataclass(frozen=True)
class Manner:
    """How one utterance is said: espeak-ng's numbers, level in dB full scale, vowels held `hold` times as long."""

    words_per_minute: int
    pitch: int
    pitch_range: int
    level_db: float
    hold: float

    @property
    def sung(self) -> bool:
        """Whether the vowels are held at one pitch."""
        return self.hold > 1


def draw_manner(chance: Random, *, tonal: bool) -> Manner:
    """Draw a manner: 80-220 words/min, pitch 5-95, range 0-90; one in ten sung-like.

    Sung-like is 80 words/min, range 0 and held vowels. A low voice gets a smaller range, a tonal language the
    normal one at most: espeak-ng 1.51 crashes when the tone contours would fall below 0 Hz.
    """
    pitch, level_db = chance.randint(5, 95), chance.uniform(-36, -14)
    if chance.random() < _SUNG_SHARE:
        return Manner(80, pitch, 0, level_db, chance.uniform(1.3, 4.0))
    widest = min(90, 30 + pitch, 50 if tonal else 90)
    return Manner(chance.randint(80, 220), pitch, chance.randint(0, widest), level_db, 1.0)


def hold_vowels(speech: Utterance, factor: float) -> Utterance:
    """Lengthen each vowel of `speech` to about `factor` times; the phone times move along."""
    pieces: list[npt.NDArray[np.int16]] = []
    phones: list[tuple[int, str]] = []
    edges = [*(start for start, _ in speech.phones), len(speech.wave)]
    pieces.append(speech.wave[: edges[0]])
    shift = 0
    for (start, ipa), end in zip(speech.phones, edges[1:], strict=True):
        phones.append((start + shift, ipa))
        letters = base_letters(ipa)
        held = bool(letters) and all(letter in VOWELS for letter in letters)
        piece, added = prolong(speech.wave, start, end, speech.sample_rate_hz, factor if held else 1.0)
        pieces.append(piece)
        shift += added
    return Utterance(np.concatenate(pieces), phones, speech.sample_rate_hz)


def with_pauses(speech: Utterance, before_s: float, after_s: float) -> Utterance:
    """Put silence around `speech`."""
    before, after = (np.zeros(int(seconds * speech.sample_rate_hz), dtype=np.int16) for seconds in (before_s, after_s))
    phones = [(0, ""), *((start + len(before), ipa) for start, ipa in speech.phones)]
    return Utterance(np.concatenate([before, speech.wave, after]), phones, speech.sample_rate_hz)


class PhoneTable:
    """Numbers for letters, given in the order of first use; 0 is silence."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {SILENCE: 0}

    def __getitem__(self, letter: str) -> int:
        return self.numbers.setdefault(letter, len(self.numbers))


def frame_phones(speech: Utterance, n_frames: int, table: PhoneTable) -> npt.NDArray[np.int16]:
    """Return the phone number of each 10 ms frame [n_frames]; -1 for sound without a phone.

    The letters of a diphthong or affricate share its time equally. Exact digital silence at the end of a phone
    is the closure of the next one (espeak-ng reports a plosive at its release), or a pause if it is long.
    """
    n_samples = len(speech.wave)
    label = np.full(n_samples + 1, _UNKNOWN, dtype=np.int16)
    spoken = [(start, ipa) for start, ipa in speech.phones if not ipa or base_letters(ipa)]
    edges = [*(start for start, _ in spoken), n_samples]
    silent = _silence(speech.wave, speech.sample_rate_hz)
    for (start, ipa), end in zip(spoken, edges[1:], strict=True):
        letters = base_letters(ipa)
        parts = np.linspace(start, end, len(letters) + 1).astype(int)
        for letter, first, last in zip(letters, parts, parts[1:], strict=False):
            label[first:last] = table[letter]
    for (_, ipa), start, end in zip(spoken, edges, edges[1:], strict=False):
        tail = _silent_tail(silent[start:end])
        if tail == 0:
            continue
        follower = label[end] if end < n_samples else 0
        is_closure = bool(ipa) and follower > 0 and tail < _CLOSURE_S * speech.sample_rate_hz and tail < end - start
        label[end - tail : end] = follower if is_closure else 0
    label[:-1][silent & (label[:-1] == _UNKNOWN)] = 0
    centres = np.rint(np.arange(n_frames) * (HOP_SAMPLES * speech.sample_rate_hz / SAMPLE_RATE_HZ)).astype(int)
    return np.asarray(label[np.minimum(centres, n_samples - 1)], dtype=np.int16)


def _silence(wave: npt.NDArray[np.int16], sample_rate_hz: int) -> npt.NDArray[np.bool_]:
    """Mark the samples [N] that lie within 5 ms or more of exact digital silence."""
    width = int(0.005 * sample_rate_hz)
    loud = np.concatenate(([0], np.cumsum(np.abs(wave.astype(np.int32)) > 2)))
    quiet_start = loud[width:] == loud[:-width] if len(wave) >= width else np.zeros(0, dtype=bool)
    covered = np.zeros(len(wave) + 1, dtype=np.int64)
    starts = np.flatnonzero(quiet_start)
    np.add.at(covered, starts, 1)
    np.add.at(covered, starts + width, -1)
    return np.asarray(np.cumsum(covered)[:-1] > 0)


def _silent_tail(silent: npt.NDArray[np.bool_]) -> int:
    sounding = np.flatnonzero(~silent)
    return len(silent) - (int(sounding[-1]) + 1 if len(sounding) else 0)


def to_16_khz(speech: Utterance, level_db: float) -> npt.NDArray[np.int16]:
    """Resample to 16 kHz and set the RMS level in dB full scale; a peak never exceeds -1 dB."""
    wave = soxr.resample(speech.wave.astype(np.float32) / 32768, speech.sample_rate_hz, SAMPLE_RATE_HZ)
    rms, peak = float(np.sqrt(np.mean(wave**2))) + 1e-9, float(np.abs(wave).max()) + 1e-9
    gain = min(10 ** (level_db / 20) / rms, 0.89 / peak)
    return np.asarray(np.rint(wave * (gain * 32767)), dtype=np.int16)


class Store:
    """The growing arrays on disk; audio and labels of `n_frames` frames in all."""

    def __init__(self, folder: Path, n_frames: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.n_frames, self.n_filled = folder, n_frames, 0
        path = str(folder / "synthetic_audio.npy")
        self.audio = np.lib.format.open_memmap(path, mode="w+", dtype=np.int16, shape=(n_frames * HOP_SAMPLES,))
        self.phones = np.zeros(n_frames, dtype=np.int16)
        self.utterances: list[tuple[int, int, int, int, int]] = []

    @property
    def full(self) -> bool:
        """Whether all frames are filled."""
        return self.n_filled >= self.n_frames

    def add(
        self, wave: npt.NDArray[np.int16], phones: npt.NDArray[np.int16], voice: int, language: int, sung: bool
    ) -> None:
        """Append an utterance; the last one is cut where the store ends."""
        n = min(len(phones), self.n_frames - self.n_filled)
        self.audio[self.n_filled * HOP_SAMPLES : (self.n_filled + n) * HOP_SAMPLES] = wave[: n * HOP_SAMPLES]
        self.phones[self.n_filled : self.n_filled + n] = phones[:n]
        self.utterances.append((self.n_filled, n, voice, language, int(sung)))
        self.n_filled += n

    def save(self, table: PhoneTable, min_seconds: float, voices: Sequence[str]) -> dict[str, float]:
        """Number the phones by how often they occur, drop those rarer than `min_seconds`, and write everything."""
        counts = np.bincount(self.phones[self.phones >= 0], minlength=len(table.numbers))
        letters = sorted(table.numbers, key=lambda letter: (letter != SILENCE, -counts[table.numbers[letter]]))
        kept = [letter for letter in letters if counts[table.numbers[letter]] > min_seconds * 100]
        renumber = np.full(len(table.numbers) + 1, IGNORED, dtype=np.int16)  # the last entry serves _UNKNOWN
        for new, letter in enumerate(kept):
            renumber[table.numbers[letter]] = new
        self.audio.flush()
        np.save(self.folder / "synthetic_phones.npy", renumber[self.phones])
        np.save(self.folder / "synthetic_utterances.npy", np.asarray(self.utterances, dtype=np.int32))
        seconds = {letter: float(counts[table.numbers[letter]]) / 100 for letter in letters}
        report = {
            "phones": kept,
            "seconds": {letter: seconds[letter] for letter in kept},
            "dropped_seconds": {letter: seconds[letter] for letter in letters if letter not in kept},
            "hop_samples": HOP_SAMPLES,
            "sample_rate_hz": SAMPLE_RATE_HZ,
            "ignored": IGNORED,
            "voices": list(voices),
            "languages": list(LANGUAGES),
        }
        (self.folder / "phones.json").write_text(json.dumps(report, ensure_ascii=False, indent=1), encoding="utf-8")
        return {letter: seconds[letter] for letter in kept}


def synthesise(data: Path, out: Path, *, hours: float, min_seconds: float, seed: int) -> dict[str, float]:
    """Make the speech and write it into `out`; returns the seconds of each kept phone."""
    chance, table, espeak = Random(seed), PhoneTable(), Espeak()
    store = Store(out, int(hours * FRAMES_PER_HOUR))
    texts = TextMaker(corpus_sentences(data), english_words())
    voices = list(dict.fromkeys(VARIANTS))
    languages, weights = list(LANGUAGES), list(LANGUAGES.values())
    seconds_per_language = dict.fromkeys(languages, 0.0)
    while not store.full:
        # the language that lags most behind its share; long-winded languages get no more than that
        language = min(languages, key=lambda name: seconds_per_language[name] / weights[languages.index(name)])
        variant, manner = chance.choice(VARIANTS), draw_manner(chance, tonal=language in _TONAL)
        espeak.set_voice(f"{language}+{variant}" if variant else language)
        espeak.set_manner(words_per_minute=manner.words_per_minute, pitch=manner.pitch, pitch_range=manner.pitch_range)
        speech = espeak.speak(texts.make(language, chance))
        seconds_per_language[language] += max(0.1, len(speech.wave) / speech.sample_rate_hz)
        if len(speech.wave) < speech.sample_rate_hz // 4 or not speech.phones:
            continue
        if manner.sung:
            speech = hold_vowels(speech, manner.hold)
        speech = with_pauses(speech, chance.uniform(0.02, 0.3), chance.uniform(0.02, 0.3))
        wave = to_16_khz(speech, manner.level_db)
        n_frames = len(wave) // HOP_SAMPLES
        phones = frame_phones(speech, n_frames, table)
        store.add(wave, phones, voices.index(variant), languages.index(language), manner.sung)
    return store.save(table, min_seconds, voices)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=synthesise.__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the recordings, with manifest.csv")
    parser.add_argument("--out", type=Path, required=True, help="cache folder for the arrays")
    parser.add_argument("--hours", type=float, default=14.0)
    parser.add_argument("--min-seconds", type=float, default=8.0, help="phones with less are ignored")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    kept = synthesise(given.data, given.out, hours=given.hours, min_seconds=given.min_seconds, seed=given.seed)
    print(f"{len(kept)} phones kept; the rarest: {dict(list(kept.items())[-5:])}")


if __name__ == "__main__":
    main()
