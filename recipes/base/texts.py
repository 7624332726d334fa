"""What the synthesiser is made to say: real sentences where the corpus has them, invented words everywhere else.

The languages are chosen for the sounds they add, not for their speakers: an encoder that has heard the vowels and
consonants of thirty languages has a class for almost every sung or spoken sound. Invented words follow the spelling
of the language, so that its reading rules apply; they need no meaning.
"""

import csv
from pathlib import Path
from random import Random

from recipes.base.hidden import is_hidden

# voice of espeak-ng -> share of the speech
LANGUAGES: dict[str, float] = {
    "en-us": 10, "en": 5, "en-gb-x-rp": 5, "en-gb-scotland": 4, "en-029": 4, "de": 9, "ml": 9, "cmn-latn-pinyin": 8, "ar": 6,
    "hi": 3, "ta": 2, "fr": 3, "es": 2, "es-419": 2, "it": 3, "pt": 1.5, "pt-br": 1.5, "ru": 3, "tr": 2, "nl": 2, "pl": 2,
    "ja": 2, "ko": 2, "vi": 2, "sw": 1.5, "id": 1.5, "sv": 1.5, "fi": 1.5, "cs": 1.5, "el": 1, "fa": 1,
}  # fmt: skip
_TRANSCRIBED = {"en-us": "en", "en": "en", "en-gb-x-rp": "en", "en-gb-scotland": "en", "en-029": "en", "de": "de", "ml": "ml", "cmn-latn-pinyin": "zh"}
# Spelling material: onsets, nuclei, codas. An invented syllable takes one of each; "" may be drawn too.
_SYLLABLES: dict[str, tuple[str, str, str]] = {
    "fr": ("b c d f g j l m n p r s t v ch qu gn tr pl br", "a e é è i o u ou on an in oi eau eu ui ain", "_ _ _ r l s t que ge ne"),
    "es": ("b c d f g j l m n ñ p r rr s t v ch ll qu tr pl", "a e i o u ie ue ei", "_ _ _ n s r l z"),
    "it": ("b c d f g l m n p r s t v ch gh gn gli sc z qu tr", "a e i o u ia io uo", "_ _ _ n r l"),
    "pt": ("b c d f g j l m n p r s t v x ch lh nh qu tr", "a e i o u ã ão õe ei ou é ê ó ô", "_ _ _ s r l m"),
    "ru": ("б в г д ж з к л м н п р с т ф х ц ч ш щ ст пр", "а е ё и о у ы э ю я", "_ _ _ й н р л т к сть ль"),
    "tr": ("b c ç d f g h j k l m n p r s ş t v y z", "a e ı i o ö u ü", "_ _ n r l k m ğ"),
    "nl": ("b d f g h j k l m n p r s sch t v w z st", "a e i o u aa ee ie oo oe eu ij ui ou", "_ _ n r l k t ch ng"),
    "pl": ("b c d f g h j k l ł m n p r s t w z cz sz rz dz ś ć ż ch", "a e i o u ó y ą ę", "_ _ n r l k m ł j ć"),
    "ja": ("か き く け こ さ し す せ そ た ち つ て と な に ぬ ね の は ひ ふ へ ほ ま み む め も や ゆ よ ら り る れ ろ わ が ぎ ぐ げ ご ざ じ ず だ で ど ば び ぶ べ ぼ ぱ ぴ ぷ しゃ しょ きょ ちゃ りゅ", "_ _ _ う い あ", "_ _ _ ん っ"),
    "vi": ("b c d đ g h kh l m n nh ng ph qu r s t th tr v x ch", "a à á ả ã ạ ă ằ â ấ e è é ê ề i í ì o ó ò ô ồ ố ơ ờ ớ u ú ư ứ y", "_ _ n ng m t p c nh"),
    "sw": ("b ch d dh f g gh h j k l m mb mw n nd ng ng' ny p r s sh t th v w y z", "a e i o u", "_"),
    "id": ("b c d g h j k l m n ng ny p r s sy t w y z", "a e i o u ai au", "_ _ n ng r k s t h m"),
    "sv": ("b d f g h j k l m n p r s sj sk skj t tj v st", "a e i o u y å ä ö", "_ _ n r l rd rt rs ng tt"),
    "fi": ("h j k l m n p r s t v d", "a e i o u y ä ö aa ee ii uu yö uo ie ai äi", "_ _ n s l r t"),
    "cs": ("b c č d ď f h ch j k l m n ň p r ř s š t ť v z ž", "a á e é ě i í o u ů y ou", "_ _ n r l k m"),
    "el": ("β γ δ ζ θ κ λ μ ν ξ π ρ σ τ φ χ ψ μπ ντ", "α ε η ι ο υ ω ου ει αι ά έ ί ό ύ", "_ _ ν ς ρ"),
    "fa": ("ب پ ت ج چ خ د ر ز ژ س ش ف ق ک گ ل م ن و ه ی", "ا َ ِ ُ و ی", "_ _ ن ر ل م ت"),
    "ar": ("ب ت ث ج ح خ د ذ ر ز س ش ص ض ط ظ ع غ ف ق ك ل م ن ه و ي ء", "َ ِ ُ َا ِي ُو َي َو", "_ _ نْ رْ لْ مْ بْ سْ عْ قْ"),
    "hi": ("क ख ग घ च छ ज झ ट ठ ड ढ त थ द ध न प फ ब भ म य र ल व श स ह ड़", "_ ा ि ी ु ू े ै ो ौ", "_ _ _ ं न र ल"),
    "ta": ("க ங ச ஞ ட ண த ந ப ம ய ர ல வ ழ ள ற ன ஜ ஸ ஹ", "_ ா ி ீ ு ூ ெ ே ை ொ ோ", "_ _ _ ன் ர் ல் ம் ழ் ள்"),
    "ml": ("ക ഖ ഗ ഘ ച ഛ ജ ഞ ട ഠ ഡ ണ ത ഥ ദ ധ ന പ ഫ ബ ഭ മ യ ര ല വ ശ ഷ സ ഹ ള ഴ റ", "_ ാ ി ീ ു ൂ െ േ ൈ ൊ ോ", "_ _ _ ം ൻ ർ ൽ ൾ"),
}  # fmt: skip
_HANGUL_FIRST, _HANGUL_ONSETS, _HANGUL_NUCLEI, _HANGUL_CODAS = 0xAC00, 19, 21, 28


def corpus_sentences(data: Path) -> dict[str, list[str]]:
    """Return the transcripts of the recordings that may be trained on, by language of the manifest."""
    sentences: dict[str, list[str]] = {}
    with (data / "manifest.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
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
        self._words = {language: sorted({word for text in texts for word in text.split()}) for language, texts in sentences.items()}
        self._words["en"] = words_of_english

    def make(self, voice: str, chance: Random) -> str:
        """Return a text of about 3-8 s for the espeak-ng voice `voice`."""
        language = _TRANSCRIBED.get(voice)
        if language is not None and chance.random() < (0.1 if language == "en" else 0.5):
            return _shorten(chance.choice(self._sentences[language]), chance)
        n_words = chance.randint(3, 10)
        if language in self._words and not (voice == "ml" and chance.random() < 0.3):
            words = [chance.choice(self._words[language]) for _ in range(n_words)]
        else:
            words = [_invented_word(voice, chance) for _ in range(n_words)]
        return _punctuate(words, chance)


def _shorten(text: str, chance: Random) -> str:
    words = text.split()
    n_words = min(len(words), chance.randint(5, 14))
    first = chance.randint(0, len(words) - n_words)
    return " ".join(words[first : first + n_words])


def _punctuate(words: list[str], chance: Random) -> str:
    marked = [word + ("," if chance.random() < 0.12 else "") for word in words]
    return " ".join(marked) + chance.choice([".", ".", "?", "!", ""])


def _invented_word(voice: str, chance: Random) -> str:
    n_syllables = chance.choice([1, 2, 2, 3, 3, 4])
    if voice == "vi":
        n_syllables = 1
    return "".join(_syllable(voice, chance) for _ in range(n_syllables))


def _syllable(voice: str, chance: Random) -> str:
    if voice == "ko":
        parts = chance.randrange(_HANGUL_ONSETS), chance.randrange(_HANGUL_NUCLEI), chance.choice([0, 0, 0, 4, 8, 16, 21])
        return chr(_HANGUL_FIRST + (parts[0] * _HANGUL_NUCLEI + parts[1]) * _HANGUL_CODAS + parts[2])
    spelling = {"es-419": "es", "pt-br": "pt"}.get(voice, voice)
    return "".join(chance.choice(part.split()).replace("_", "") for part in _SYLLABLES[spelling])
