"""Make the phrases that come with the package: synthetic speech that a voice says while it is trained.

    python -m recipes.base.phrases

needs the library espeak-ng. Writes src/timbre/assets/phrases.opus (16 kHz, one phrase after the other). The sentences
are this project's own. A decoder never learns the sound of them: `timbre.train.fast` takes only what the content
encoder hears in them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import soundfile

from recipes.base.espeak import Espeak
from recipes.base.synthetic_speech import SAMPLE_RATE_HZ, to_16_khz
from timbre.voice.shelf import ASSETS, PHRASES_FILE

PAUSE_S, LEVEL_DB = 0.25, -22.0
COMPRESSION = 0.93  # libsndfile's scale: about 22 kbit/s
PITCHES = (20, 65, 40, 85, 50, 30, 75)  # of 100
WORDS_PER_MINUTE = (150, 175, 135, 190, 160)
VARIANTS = ("", "+f2", "+m3", "+Andrea", "+m7", "+f4", "+Denis", "+linda", "+max", "+Annie", "+m1")
ENGLISH = ("en-us", "en-gb-x-rp", "en", "en-gb-scotland", "en-029")

ENGLISH_SENTENCES = (
    "Before the sun was up, seven grey geese flew low above the frozen marsh.",
    "She poured the boiling water slowly, and the whole kitchen began to smell of thyme.",
    "Why would anyone choose to fix a broken clock with chewing gum and a paper clip?",
    "The judge asked the young thief whether he had ever been to the village of Oakshire.",
    "Give each child a purple balloon, a spoon, and one thick slice of ginger cake.",
    "Nothing in the letter explained how the vase had vanished from the royal treasury.",
    "If you turn left at the church, you will reach the harbour in about twenty minutes.",
    "Their father taught them to row, to fish, and to judge the weather by the clouds.",
    "A noisy crowd gathered round the old theatre, hoping to catch a glimpse of the singer.",
    "He laughed so hard that the coffee shot through his nose and over the rug.",
    "We measured the beige walls twice, and both results were wrong by half an inch.",
    "Out on the moor, nobody could hear the bell, nor the voices calling from the shore.",
    "Would you rather study physics, jazz, or the strange behaviour of wild horses?",
    "The queen of the ants pushed a huge leaf through the mud with great patience.",
    "Every Thursday they argue about music, politics, and the proper size of a sandwich.",
    "Keep the fire burning until the last of the boats has come back to the bay.",
    "My uncle usually keeps his best treasure in a shoe box under the stairs.",
    "You should have asked the pilot how high the jet would fly above the ocean.",
    "Bright yellow birds chirped above the quiet path where the two friends used to walk.",
    "Though the puzzle looked easy, it took the four of us an hour and a half to solve.",
)
OTHER_SENTENCES = (
    ("de", "Am frühen Morgen ging der alte Fischer mit seinen zwei Söhnen über die lange Brücke zum Hafen."),
    ("de", "Warum hast du die schönen Bücher nicht gleich in das große Zimmer gebracht?"),
    ("fr", "Le vieux jardinier chante chaque matin une petite chanson pour les oiseaux du quartier."),
    ("es", "Mañana por la tarde vamos a caminar por la orilla del río con los niños del pueblo."),
    ("it", "La ragazza guarda il mare e pensa alla lunga strada che porta verso la montagna."),
    ("pt-br", "O menino correu para casa porque a chuva começou a cair sobre o jardim."),
    ("sw", "Watoto wanacheza nje ya nyumba huku mama akipika chakula cha jioni."),
    ("id", "Setiap pagi burung kecil itu bernyanyi di atas pohon besar di depan rumah kami."),
)


def main() -> None:
    """Say all sentences, each in another manner, and write them."""
    espeak = Espeak()
    english = [(ENGLISH[number % len(ENGLISH)], text) for number, text in enumerate(ENGLISH_SENTENCES)]
    wave = _said(espeak, [*english, *OTHER_SENTENCES])
    file = ASSETS / PHRASES_FILE
    soundfile.write(file, wave, SAMPLE_RATE_HZ, format="OGG", subtype="OPUS", compression_level=COMPRESSION)
    seconds, size_mb = len(wave) / SAMPLE_RATE_HZ, file.stat().st_size / 1e6
    print(f"{seconds:.0f} s in {len(english) + len(OTHER_SENTENCES)} sentences, {size_mb:.2f} MB")


def _said(espeak: Espeak, sentences: Sequence[tuple[str, str]]) -> npt.NDArray[np.int16]:
    pause = np.zeros(round(PAUSE_S * SAMPLE_RATE_HZ), dtype=np.int16)
    pieces = []
    for number, (language, text) in enumerate(sentences):
        espeak.set_voice(language + VARIANTS[number % len(VARIANTS)])
        espeak.set_manner(
            words_per_minute=WORDS_PER_MINUTE[number % len(WORDS_PER_MINUTE)],
            pitch=PITCHES[number % len(PITCHES)],
            pitch_range=50,
        )
        pieces += [to_16_khz(espeak.speak(text), LEVEL_DB), pause]
    return np.concatenate(pieces)


if __name__ == "__main__":
    main()
