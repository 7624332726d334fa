"""Which phone is said in each frame of an English recording without a transcript, by an independent recogniser.

pocketsphinx hears the words and then lays their phones over the sound. Where it hears a wrong word some labels are
wrong, alike for every encoder: the labels rank encoders, and accuracy stays well below 1 for the best of them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from timbre.dsp.frontend import HOP_SAMPLES
from timbre.errors import MissingExtraError

_FRAMES_LATE = 1  # pocketsphinx cuts frame t from sample 160 t on; ours is centred there


def phone_labels(samples: NDArray[np.float32]) -> list[str]:
    """Return the ARPAbet phone of each frame [N // 160] of a 16 kHz recording; "" for silence, noise and no words.

    Raises MissingExtraError when pocketsphinx is not installed.
    """
    pcm = np.round(np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2").tobytes()
    decoder = _decoder()
    labels = [""] * (len(samples) // HOP_SAMPLES)
    if not any(pcm):  # of which the recogniser may make anything
        return labels
    decoder.activate_search()  # the words of English, not those of the recording before
    _listen(decoder, pcm)
    if decoder.hyp() is None or not decoder.hyp().hypstr:
        return labels
    decoder.set_align_text(decoder.hyp().hypstr)
    _listen(decoder, pcm)
    decoder.set_alignment()
    _listen(decoder, pcm)
    for word in decoder.get_alignment():
        for phone in word:
            if phone.name.isalpha() and phone.name != "SIL":
                start = phone.start + _FRAMES_LATE
                stop = min(start + phone.duration, len(labels))
                labels[start:stop] = [phone.name] * max(0, stop - start)
    return labels


def _listen(decoder: Any, pcm: bytes) -> None:
    decoder.reinit_feat()  # forgets the noise floor and channel of earlier sounds
    decoder.start_utt()
    decoder.process_raw(pcm, no_search=False, full_utt=True)
    decoder.end_utt()


@lru_cache(maxsize=1)
def _decoder() -> Any:
    try:
        from pocketsphinx import Decoder
    except ModuleNotFoundError as error:
        raise MissingExtraError("pocketsphinx", "evaluate", "the phone labels") from error
    return Decoder(ds=1, topn=4, maxhmmpf=3000, fwdflat=False, bestpath=False, loglevel="FATAL")
