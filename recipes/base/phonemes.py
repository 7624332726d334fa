"""From words to the phone classes of the encoder, by the reading rules of espeak-ng.

    python -m recipes.base.phonemes --data ../shared/data --out cache/labels

Writes transcripts.json: path of the recording -> words, each a list of classes; for every recording with a transcript
or a recognised hypothesis (hypotheses.json), held-out ones left out. Arabic stays out: its transcripts name the
commands in English.
"""

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path

from recipes.base.espeak import Espeak
from recipes.base.hidden import is_hidden
from recipes.base.ipa import base_letters
from recipes.base.manifest import read_rows
from recipes.base.texts import clean_mandarin
from timbre.errors import TimbreError

VOICES = {"en": "en-us", "de": "de", "ml": "ml", "zh": "cmn-latn-pinyin"}
# In these languages a word sounds different in its sentence ("a", "the", "zu"), so sentences are read whole.
_READ_WHOLE = frozenset({"en", "de"})
# Letters that the synthetic speech holds too rarely for a class of their own.
_NEAREST = {
    "ʝ": "j",
    "ɸ": "f",
    "ʍ": "w",
    "ɬ": "l",
    "ɗ": "d",
    "ʐ": "ʒ",
    "ʑ": "ʒ",
    "β": "v",
    "ɴ": "ŋ",
    "ɽ": "ɾ",
    "ʋ": "v",
    "ɻ": "ɹ",
}
# espeak-ng 1.51 voices the plosive at the start of a Malayalam word; no speaker does.
_MALAYALAM_INITIALS = {"ക": ("ɡ", "k"), "ച": ("ɟ", "c"), "ട": ("ɖ", "ʈ"), "ത": ("d", "t"), "പ": ("b", "p")}
_LANGUAGE_SWITCH = re.compile(r"\([a-z-]+\)")


class PhonemeError(TimbreError):
    """A language has no reading rules here, or a letter has no class."""


class Phonemiser:
    """Reads words as phone classes; `phones` are the class names of phones.json."""

    def __init__(self, espeak: Espeak, phones: Sequence[str]) -> None:
        self._espeak = espeak
        self._classes = {letter: number for number, letter in enumerate(phones)}
        self._cache: dict[tuple[str, str], list[list[int]]] = {}
        self._language = ""

    def transcript(self, text: str, language: str) -> list[list[int]]:
        """Return the words of `text`, each a non-empty list of classes; `language` is that of the manifest.

        Raises PhonemeError for a language without reading rules and for a sound without a class.
        """
        if language not in VOICES:
            raise PhonemeError(f"language {language!r} has no reading rules here; these have: {', '.join(VOICES)}")
        if language == "zh":
            text = clean_mandarin(text)
        pieces = [text] if language in _READ_WHOLE else text.split()
        return [word for piece in pieces for word in self._read(piece, language)]

    def word(self, word: str, language: str) -> list[int]:
        """Return the classes of one word said alone; empty for a word without sound."""
        return [phone for part in self.transcript(word, language) for phone in part]

    def _read(self, text: str, language: str) -> list[list[int]]:
        if (language, text) not in self._cache:
            if language != self._language:
                self._espeak.set_voice(VOICES[language])
                self._language = language
            words = [self._classes_of(ipa) for ipa in self._letters(text, language)]
            self._cache[language, text] = [word for word in words if word]
        return self._cache[language, text]

    def _letters(self, text: str, language: str) -> list[list[str]]:
        ipa = _LANGUAGE_SWITCH.sub("", self._espeak.phonemes(text))
        if language == "zh":
            ipa = ipa.replace("ɜ", "")  # here it is the digit of a tone, written as if it were a vowel
        words = [[letter for phone in word.split("_") for letter in base_letters(phone)] for word in ipa.split()]
        initial = _MALAYALAM_INITIALS.get(text[:1]) if language == "ml" else None
        if initial is not None and words and words[0][:1] == [initial[0]]:
            words[0][0] = initial[1]
        return words

    def _classes_of(self, letters: Sequence[str]) -> list[int]:
        known = [letter if letter in self._classes else _NEAREST.get(letter, letter) for letter in letters]
        unknown = [letter for letter in known if letter not in self._classes]
        if unknown:
            raise PhonemeError(f"the sound {unknown[0]!r} has no class in phones.json; add its nearest one to _NEAREST")
        return [self._classes[letter] for letter in known]


def corpus_transcripts(data: Path, cache: Path) -> dict[str, list[list[int]]]:
    """Return path -> words as classes for all labelled recordings; reads phones.json and hypotheses.json in `cache`."""
    phones = json.loads((cache / "phones.json").read_text(encoding="utf-8"))["phones"]
    hypotheses = json.loads((cache / "hypotheses.json").read_text(encoding="utf-8"))
    phonemiser = Phonemiser(Espeak(), phones)
    transcripts: dict[str, list[list[int]]] = {}
    for row in read_rows(data):
        text = row["transcript"] or " ".join(hypotheses.get(row["path"], []))
        if text and row["language"] in VOICES and not is_hidden(row):
            transcripts[row["path"]] = phonemiser.transcript(text, row["language"])
    return {path: words for path, words in transcripts.items() if words}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=corpus_transcripts.__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the recordings, with manifest.csv")
    parser.add_argument("--out", type=Path, required=True, help="cache folder with phones.json and hypotheses.json")
    given = parser.parse_args(arguments)
    transcripts = corpus_transcripts(given.data, given.out)
    (given.out / "transcripts.json").write_text(json.dumps(transcripts), encoding="utf-8")
    n_phones = sum(len(word) for words in transcripts.values() for word in words)
    print(f"{len(transcripts)} recordings, {n_phones} phones")


if __name__ == "__main__":
    main()
