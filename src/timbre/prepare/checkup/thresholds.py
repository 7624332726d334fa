"""What a dataset is judged by: every threshold, with its reason."""

from __future__ import annotations

from dataclasses import dataclass

from timbre.prepare.checkup.strangers import LEAST_DISTANCE


@dataclass(frozen=True)
class ClipThreshold:
    """A clip beyond `limit` has the fault; the share of a dataset's seconds that has it decides how bad that is."""

    what: str
    unit: str
    limit: float
    harm_share: float | None  # from this share of the seconds on the voice suffers; None: it is only worth a note
    stop_share: float | None  # from this share on it will not train well; None: that never happens
    reason: str


@dataclass(frozen=True)
class SpeakerThreshold:
    """A speaker beyond `harm` will sound worse for it, beyond `stop` will not train well (None: that never happens)."""

    what: str
    unit: str
    harm: float
    stop: float | None
    reason: str


CLIP_THRESHOLDS: dict[str, ClipThreshold] = {
    "strangers": ClipThreshold(
        "distance of a clip's voice from the speaker's",
        "",
        LEAST_DISTANCE,
        0.01,
        0.2,
        "another person is rarely nearer than 0.5 and the same one rarely farther; the model learns the mixture",
    ),
    "silent": ClipThreshold(
        "level of the voice",
        "dBFS",
        -60.0,
        0.02,
        0.5,
        "there is nothing to learn; random stretches of it are wasted steps",
    ),
    "unvoiced": ClipThreshold(
        "voiced sound in a clip",
        "s",
        0.2,
        0.05,
        0.6,
        "whispers, breaths and noise have no pitch; the voice learns to answer a melody with them",
    ),
    "clipped": ClipThreshold(
        "samples in cut-off wave tops",
        "%",
        0.02,
        0.05,
        0.6,
        "the model takes the distortion for the voice; a fiftieth of a percent is what 3 dB of clipping leaves",
    ),
    "duplicates": ClipThreshold(
        "part of a clip that another clip holds too",
        "%",
        50.0,
        0.05,
        None,
        "what is there twice counts twice, and a copy among the validation clips flatters the numbers",
    ),
    "hum": ClipThreshold(
        "mains hum under the voice",
        "dB",
        -45.0,
        0.1,
        None,
        "hum louder than that is heard in quiet passages and is learned as part of the voice",
    ),
    "offset": ClipThreshold(
        "mean of the samples", "% of full scale", 1.0, 0.5, None, "it takes headroom and clicks where clips are cut"
    ),
    "quiet": ClipThreshold(
        "gain that levelling needed",
        "dB",
        20.0,
        None,
        None,
        "the noise of the recording is raised as much as the voice",
    ),
    "long": ClipThreshold(
        "length of a long clip",
        "s",
        15.0,
        0.5,
        None,
        "training reads a clip whole and learns a second of it: long clips take time and memory for nothing",
    ),
    "short": ClipThreshold(
        "length of a short clip",
        "s",
        1.0,
        0.5,
        None,
        "trainers learn from stretches of about a second and leave out what is shorter",
    ),
}

SPEAKER_THRESHOLDS: dict[str, SpeakerThreshold] = {
    "minutes": SpeakerThreshold(
        "minutes to train on",
        "min",
        10.0,
        2.0,
        "ten minutes hold most sounds of a language in several pitches; with under two the model learns them by heart",
    ),
    "unlike": SpeakerThreshold(
        "median distance of the clips' voices from their centre",
        "",
        0.3,
        0.5,
        "one person reading is at 0.03 to 0.15, one who speaks and sings up to 0.25, a hundred people at 0.7",
    ),
    "noise": SpeakerThreshold(
        "signal-to-noise ratio",
        "dB",
        25.0,
        12.0,
        "a model repeats the noise that it was trained on: under 25 dB it is heard, under 12 dB it hides consonants",
    ),
    "bandwidth": SpeakerThreshold(
        "highest frequency of the voice",
        "kHz",
        11.0,
        4.2,
        "consonants reach beyond 11 kHz, and a voice without them sounds dull; a telephone ends at 4 kHz",
    ),
    "reverberation": SpeakerThreshold(
        "reverberation time, estimated",
        "s",
        0.45,
        None,
        "a model cannot take the room off the voice; a furnished room has 0.3 to 0.5 s; "
        "the estimate is too coarse to refuse a dataset by",
    ),
    "voiced": SpeakerThreshold(
        "voiced part of the sound",
        "%",
        20.0,
        5.0,
        "speech is 40 to 60 % voiced and singing more; less is mostly pauses, whispers, music or noise",
    ),
    "range": SpeakerThreshold(
        "notes heard for a second or more",
        "semitones",
        7.0,
        None,
        "between known notes a model fills in, beyond them it cracks; speech covers an octave, songs one and a half",
    ),
    "levels": SpeakerThreshold(
        "difference between the levels of loud and quiet clips",
        "dB",
        12.0,
        None,
        "without levelling the voice takes on a loudness by chance",
    ),
}

NOTE_HEARD_S = 1.0
"""A note counts as known to the voice when it was heard for so long in all."""
