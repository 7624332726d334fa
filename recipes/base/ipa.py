"""From the IPA that espeak-ng writes to plain base letters: the phone alphabet of the base model."""

import unicodedata

SILENCE = "sil"

# Spellings of espeak-ng that are not one IPA letter; longest first where one contains another.
_SPELLINGS = (
    ("s.", "ʂ"),
    ("z.", "ʐ"),
    ("i.", "ɨ"),
    ("nɡ", "ŋ"),
    ("sx", "ʃ"),
    ("ç", "ç"),
    ("??", "ʊɾ"),
    ("?", "ʔ"),
    ("g", "ɡ"),
    ("ɫ", "l"),
    ("ɝ", "ɚ"),
    ("ɩ", "ɪ"),
    ("ᵻ", "ɪ"),
    ("ᵊ", "ə"),
    ("ʦ", "ts"),
    ("ʧ", "tʃ"),
    ("ʤ", "dʒ"),
    ("ɑ̃", "ɑ"),
)
_ASPIRATED = frozenset("ptkbdɡsʃʂɕʈɖc")
VOWELS = frozenset("aɐɑɒæʌeɛəɚɜɘɞɵiɪɨyʏøœɶoɔuʊʉɯɤ")


def base_letters(ipa: str) -> tuple[str, ...]:
    """Strip stress, length, tone and diacritics from `ipa` and return its letters, in order.

    A diphthong or affricate gives several letters. Language switches such as "(en)", and marks that stand
    alone, give none. An h behind the consonant it aspirates is a diacritic ("tsh" of Mandarin), not a letter.
    """
    if ipa.startswith("("):
        return ()
    for written, meant in _SPELLINGS:
        ipa = ipa.replace(written, meant)
    letters: list[str] = []
    for mark in ipa:
        plain = mark if mark == "ç" else unicodedata.normalize("NFD", mark)[0]
        if unicodedata.category(plain) not in ("Ll", "Lo"):
            continue
        if plain == "h" and letters and letters[-1] in _ASPIRATED:
            continue
        letters.append(plain)
    return tuple(letters)
