"""The judgement of a dataset: what counts, how much, and in which order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.toy_dataset import toy_clip
from timbre.dataset.manifest import LeftOut
from timbre.prepare.checkup.clip_measures import ClipMeasures
from timbre.prepare.checkup.facts import DatasetFacts, SpeakerFacts, flat_settings
from timbre.prepare.checkup.findings import Finding, judge
from timbre.prepare.checkup.pitch_range import PitchRange
from timbre.prepare.checkup.survey import DatasetSurvey, Duplicate, SpeakerSurvey, SurveyedClip
from timbre.prepare.checkup.thresholds import CLIP_THRESHOLDS, SPEAKER_THRESHOLDS

CLEAN = ClipMeasures(
    voice_db=-23,
    noise_db=-70,
    signal_to_noise_db=47,
    clipped_share=0,
    bandwidth_hz=16_000,
    reverberation_s=0.1,
    hum_db=-160,
    mains_hz=0,
    offset=0,
    sound_sha256="",
)
SINGER = PitchRange(0.7, 220, 110, 440, {note: 30.0 for note in range(50, 70)})


def clip(number: int, speaker: str = "ada", measures: dict[str, Any] | None = None, **facts: Any) -> SurveyedClip:
    """A clean clip of 10 s; `entry` facts go by their names."""
    own = {"seconds": 10.0, "voiced_s": 7.0, "distance": 0.1, "is_stranger": False}
    kept = {name: facts.pop(name, value) for name, value in own.items()}
    entry = replace(toy_clip(number, speaker, kept["seconds"]), **facts)
    return SurveyedClip(entry=entry, measures=replace(CLEAN, **(measures or {})), **kept)


def survey(*clips: SurveyedClip, pitch: PitchRange = SINGER, **parts: Any) -> DatasetSurvey:
    """A dataset of these clips, filled up with clean ones of `ada` to twelve minutes."""
    clips += tuple(clip(number) for number in range(1000, 1072 - len(clips)))
    speakers = []
    for name in sorted({each.entry.speaker for each in clips}):
        own = tuple(each for each in clips if each.entry.speaker == name)
        seconds = {split: sum(c.seconds for c in own if c.entry.split == split) for split in ("train", "validation")}
        lengths = [each.seconds for each in own]
        facts = SpeakerFacts(
            name, len(own), sum(lengths), *seconds.values(), min(lengths), 10.0, max(lengths), -23.0, pitch
        )
        speakers.append(SpeakerSurvey(facts, own, np.ones(1025, np.float32)))
    facts = DatasetFacts(
        "my data",
        44_100,
        0.01,
        "timbre",
        96,
        "pm",
        False,
        {},
        tuple(s.facts for s in speakers),
        parts.pop("left_out", ()),
    )
    return DatasetSurvey(facts, tuple(speakers), parts.pop("duplicates", ()))


def found(code: str, dataset: DatasetSurvey) -> Finding:
    (finding,) = [each for each in judge(dataset).findings if each.code == code]
    return finding


VALIDATION = clip(0)


def test_a_clean_dataset_is_good_and_tells_its_notes() -> None:
    judgement = judge(survey(VALIDATION))
    assert judgement.verdict == "good" and judgement.trains
    assert judgement.sentence == ("Good: 12.0 minutes of 1 speaker in 72 clips, and nothing stands against training.")
    (note,) = judgement.findings
    assert note.code == "notes"
    assert "from D3 to A4" in note.sentence and "none above A4" in note.sentence


@pytest.mark.parametrize(
    ("code", "measures", "facts"),
    [
        ("silent", {"voice_db": -90}, {}),
        ("unvoiced", {}, {"voiced_s": 0.0}),
        ("clipped", {"clipped_share": 0.01}, {}),
        ("hum", {"hum_db": -20.0, "mains_hz": 50}, {}),
        ("offset", {"offset": -0.05}, {}),
        ("quiet", {}, {"gain_db": 30.0}),
        ("long", {}, {"seconds": 40.0}),
        ("short", {}, {"seconds": 0.5}),
        ("strangers", {}, {"distance": 0.9, "is_stranger": True}),
    ],
)
def test_one_faulty_clip_is_named_and_many_weigh_more(
    code: str, measures: dict[str, Any], facts: dict[str, Any]
) -> None:
    bad = clip(7, measures=measures, **facts)
    finding = found(code, survey(VALIDATION, bad))
    assert finding.clips == (bad.entry.id,)
    assert "1 clip " in finding.sentence
    assert finding.threshold == CLIP_THRESHOLDS[code].limit
    many = survey(VALIDATION, *(clip(number, measures=measures, **facts) for number in range(1, 71)))
    worst = found(code, many)
    threshold = CLIP_THRESHOLDS[code]
    assert worst.level == ("stop" if threshold.stop_share else "harm" if threshold.harm_share else "note")
    assert judge(many).verdict == {"stop": "will not train well", "harm": "usable", "note": "good"}[worst.level] or (
        code in ("short", "silent")  # which leave too little to train on
    )


@pytest.mark.parametrize(
    ("code", "measures", "level"),
    [
        ("noise", {"signal_to_noise_db": 20}, "harm"),
        ("noise", {"signal_to_noise_db": 5}, "stop"),
        ("bandwidth", {"bandwidth_hz": 8000}, "harm"),
        ("bandwidth", {"bandwidth_hz": 3900}, "stop"),
        ("reverberation", {"reverberation_s": 1.5}, "harm"),
    ],
)
def test_a_speaker_beyond_a_threshold(code: str, measures: dict[str, Any], level: str) -> None:
    finding = found(code, survey(*(clip(number, measures=measures) for number in range(72))))
    assert (finding.level, finding.speaker) == (level, "ada")
    threshold = SPEAKER_THRESHOLDS[code]
    assert finding.threshold == (threshold.stop if level == "stop" else threshold.harm)


def test_a_mixture_of_people_is_told() -> None:
    finding = found("unlike", survey(*(clip(number, distance=0.7) for number in range(72))))
    assert finding.level == "stop" and "several people" in finding.sentence


def test_too_little_to_train_on() -> None:
    judgement = judge(survey(VALIDATION, clip(1, "Björn"), clip(2, "Björn", split="validation")))
    assert not judgement.trains
    assert judgement.sentence.endswith("there are only 10 seconds of Björn to train on.")
    only_validation = judge(survey(clip(1, "Björn", split="validation")))
    assert only_validation.findings[0].code == "no_clips"


def test_an_empty_dataset_does_not_train() -> None:
    nothing = DatasetSurvey(DatasetFacts("x", 44_100, 0.01, "timbre", 96, "pm", False, {}, (), ()), (), ())
    judgement = judge(nothing)
    assert judgement.sentence == "Will not train well: 0 seconds of 0 speakers in 0 clips; the dataset holds no clip."


def test_missing_validation_is_a_note_with_its_command() -> None:
    finding = found("no_validation", survey())
    assert finding.level == "note"
    assert finding.advice == "run timbre prepare RECORDINGS -o 'my data' --validation-share 0.05"


def test_long_clips_come_with_the_command_that_cuts_them() -> None:
    finding = found("long", survey(VALIDATION, *(clip(number, seconds=20.0) for number in range(1, 13))))
    assert finding.sentence == "12 clips are over 15 s"
    assert finding.advice == "run timbre prepare RECORDINGS -o 'my data' --longest-s 15"


def test_duplicates_across_the_split_and_between_speakers_are_told() -> None:
    first, second = VALIDATION, clip(5, "Björn")
    pair = Duplicate(first.entry, second.entry, 6.0, exact=False)
    finding = found("duplicates", survey(first, second, duplicates=(pair,)))
    assert "1 of them for training and the other for validation" in finding.sentence
    assert "1 of them under another speaker's name" in finding.sentence
    assert finding.value == pytest.approx(60)


def test_narrow_pitch_and_few_voiced_frames_are_told() -> None:
    dataset = survey(VALIDATION, pitch=PitchRange(0.03, 200, 190, 210, {55: 3.0, 56: 2.0, 60: 1.5, 80: 0.2}))
    assert found("voiced", dataset).level == "stop"
    assert found("range", dataset).value == 3
    assert "but not A3, A♯3, B3" in found("notes", dataset).sentence


def test_names_with_braces_and_markup_pass_through() -> None:
    bad = clip(3, "{x} <b>", source="{0}/%s.wav", distance=0.9, is_stranger=True)
    assert "{0}/%s.wav" in found("strangers", survey(VALIDATION, bad)).advice


def test_worse_and_larger_findings_stand_first() -> None:
    bad = [clip(number, measures={"clipped_share": 0.01}) for number in range(1, 9)]
    quiet = [clip(number, measures={"voice_db": -90}) for number in range(10, 50)]
    left_out = (LeftOut("a.wav", None, "it is damaged"),)
    findings = judge(survey(VALIDATION, *bad, *quiet, left_out=left_out)).findings
    assert [each.code for each in findings] == ["silent", "clipped", "notes", "left_out"]
    assert [each.level for each in findings] == ["stop", "harm", "note", "note"]


def test_every_threshold_has_a_reason_and_rising_steps() -> None:
    for row in (*CLIP_THRESHOLDS.values(), *SPEAKER_THRESHOLDS.values()):
        assert row.what and len(row.reason) > 20
    for clip_row in CLIP_THRESHOLDS.values():
        if clip_row.stop_share is not None:
            assert clip_row.harm_share is not None and clip_row.harm_share < clip_row.stop_share


def test_grouped_settings_become_flat() -> None:
    assert flat_settings({"seed": 1, "cutting": {"hop_ms": 20}}) == {"seed": 1, "hop_ms": 20}
