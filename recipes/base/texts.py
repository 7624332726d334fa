"""What the synthesiser is made to say: real sentences where the corpus has them, invented words everywhere else.

The languages are chosen for the sounds they add, not for their speakers: an encoder that has heard the vowels and
consonants of thirty languages has a class for almost every sung or spoken sound. Invented words follow the spelling
of the language, so that its reading rules apply; they need no meaning.
"""

import json
from pathlib import Path
from random import Random

from recipes.base.hidden import is_hidden
from recipes.base.manifest import read_rows

# voice of espeak-ng -> share of the speech
LANGUAGES: dict[str, float] = {
    "en-us": 10, "en": 5, "en-gb-x-rp": 5, "en-gb-scotland": 4, "en-029": 4, "de": 9, "ml": 9, "cmn-latn-pinyin": 8,
    "ar": 6, "hi": 3, "ta": 2, "fr": 3, "es": 2, "es-419": 2, "it": 3, "pt": 1.5, "pt-br": 1.5, "ru": 3, "tr": 2,
    "nl": 2, "pl": 2, "ja": 2, "ko": 2, "vi": 2, "sw": 1.5, "id": 1.5, "sv": 1.5, "fi": 1.5, "cs": 1.5, "el": 1,
    "fa": 1,
}  # fmt: skip
_TRANSCRIBED = {
    "en-us": "en",
    "en": "en",
    "en-gb-x-rp": "en",
    "en-gb-scotland": "en",
    "en-029": "en",
    "de": "de",
    "ml": "ml",
    "cmn-latn-pinyin": "zh",
}
_SPELT_LIKE = {"es-419": "es", "pt-br": "pt"}
_HANGUL_CODA_CHOICE = (0, 0, 0, 4, 8, 16, 21)  # none, n, l, m, ng
_HANGUL_FIRST, _HANGUL_ONSETS, _HANGUL_NUCLEI, _HANGUL_CODAS = 0xAC00, 19, 21, 28


def corpus_sentences(data: Path) -> dict[str, list[str]]:
    """Return the transcripts of the recordings that may be trained on, by language of the manifest."""
    sentences: dict[str, list[str]] = {}
    for row in read_rows(data):
        if row["transcript"] and not is_hidden(row):
            sentences.setdefault(row["language"], []).append(row["transcript"])
    return {**sentences, "zh": [clean_mandarin(text) for text in sentences.get("zh", [])]}


def clean_mandarin(text: str) -> str:
    """Make a transcript of the Mandarin corpus readable: its file-name underscores go, pinyin v becomes ü."""
    return text.replace("_", " ").replace("v", "ü").strip()


def english_words() -> list[str]:
    """Return the words of pocketsphinx's packaged English dictionary, without alternatives and symbols."""
    from pocketsphinx import get_model_path

    dictionary = Path(get_model_path("en-us")) / "cmudict-en-us.dict"
    words = (line.split(" ", 1)[0] for line in dictionary.read_text(encoding="utf-8").splitlines())
    return [word for word in words if word.replace("'", "").isalpha() and len(word) > 1]


class TextMaker:
    """Makes one text after another for a language; chance enters through the generator given at each call."""

    def __init__(self, sentences: dict[str, list[str]], words_of_english: list[str]) -> None:
        self._sentences = sentences
        self._words = {
            language: sorted({word for text in texts for word in text.split()}) for language, texts in sentences.items()
        }
        self._words["en"] = words_of_english
        # Onsets, nuclei and codas in the spelling of each language; "_" stands for none.
        table = Path(__file__).with_name("syllables.json").read_text(encoding="utf-8")
        self._syllables: dict[str, dict[str, str]] = json.loads(table)

    def make(self, voice: str, chance: Random) -> str:
        """Return a text of about 3-8 s for the espeak-ng voice `voice`."""
        language = _TRANSCRIBED.get(voice)
        if language is not None and chance.random() < (0.1 if language == "en" else 0.5):
            return _shorten(chance.choice(self._sentences[language]), chance)
        n_words = chance.randint(3, 10)
        if language in self._words and not (voice == "ml" and chance.random() < 0.3):
            words = [chance.choice(self._words[language]) for _ in range(n_words)]
        else:
            words = [self._invented_word(voice, chance) for _ in range(n_words)]
        return _punctuate(words, chance)

    def _invented_word(self, voice: str, chance: Random) -> str:
        n_syllables = chance.choice([1, 2, 2, 3, 3, 4])
        return "".join(self._syllable(voice, chance) for _ in range(1 if voice == "vi" else n_syllables))

    def _syllable(self, voice: str, chance: Random) -> str:
        if voice == "ko":
            return _hangul_syllable(chance)
        spelling = self._syllables[_SPELT_LIKE.get(voice, voice)]
        return "".join(chance.choice(part.split()).replace("_", "") for part in spelling.values())


def _shorten(text: str, chance: Random) -> str:
    words = text.split()
    n_words = min(len(words), chance.randint(5, 14))
    first = chance.randint(0, len(words) - n_words)
    return " ".join(words[first : first + n_words])


def _punctuate(words: list[str], chance: Random) -> str:
    marked = [word + ("," if chance.random() < 0.12 else "") for word in words]
    return " ".join(marked) + chance.choice([".", ".", "?", "!", ""])


def _hangul_syllable(chance: Random) -> str:
    onset, nucleus = chance.randrange(_HANGUL_ONSETS), chance.randrange(_HANGUL_NUCLEI)
    return chr(_HANGUL_FIRST + (onset * _HANGUL_NUCLEI + nucleus) * _HANGUL_CODAS + chance.choice(_HANGUL_CODA_CHOICE))
