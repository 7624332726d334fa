"""What is wrong with a dataset, how bad it is, and what to do about it."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from timbre.prepare.checkup.pitch_range import note_name
from timbre.prepare.checkup.survey import DatasetSurvey, SpeakerSurvey, SurveyedClip
from timbre.prepare.checkup.thresholds import CLIP_THRESHOLDS, NOTE_HEARD_S, SPEAKER_THRESHOLDS

Level = Literal["stop", "harm", "note"]
LEVELS: tuple[Level, ...] = ("stop", "harm", "note")
VERDICTS = {"stop": "will not train well", "harm": "usable", "note": "good"}


@dataclass(frozen=True)
class Finding:
    """One fault, or one fact worth knowing."""

    code: str  # the row of the table of thresholds, or a name of its own
    level: Level  # stop: it will not train well; harm: the voice will suffer; note: good to know
    speaker: str | None  # None for the whole dataset
    share: float  # of the dataset's seconds that it touches
    value: float | None
    threshold: float | None
    unit: str
    sentence: str  # what was found
    advice: str  # what to do
    clips: tuple[str, ...] = ()  # ids, the worst first


@dataclass(frozen=True)
class Judgement:
    """What a dataset is worth."""

    verdict: str  # good, usable or will not train well
    sentence: str
    findings: tuple[Finding, ...]  # the most important first

    @property
    def trains(self) -> bool:
        """Say whether training is worth a try."""
        return self.verdict != VERDICTS["stop"]


def judge(survey: DatasetSurvey) -> Judgement:
    """Judge a dataset by the table of thresholds."""
    found = [finding for rule in _RULES for finding in rule(survey)]
    findings = tuple(sorted(found, key=lambda each: (LEVELS.index(each.level), -each.share)))
    worst = findings[0].level if findings else "note"
    verdict = VERDICTS[worst]
    n_speakers, n_clips = _count(len(survey.speakers), "speaker"), _count(len(survey.clips), "clip")
    held = f"{_minutes(survey.facts.seconds)} of {n_speakers} in {n_clips}"
    matters = [finding for finding in findings if finding.level == worst != "note"]
    more = f" (and {len(matters) - 1} more)" if len(matters) > 1 else ""
    reason = f"; {matters[0].sentence}{more}" if matters else ", and nothing stands against training"
    return Judgement(verdict, f"{verdict[0].upper()}{verdict[1:]}: {held}{reason}.", findings)


def _rate_share(code: str, share: float) -> Level:
    threshold = CLIP_THRESHOLDS[code]
    if threshold.stop_share is not None and share >= threshold.stop_share:
        return "stop"
    return "harm" if threshold.harm_share is not None and share >= threshold.harm_share else "note"


def _of_clips(
    survey: DatasetSurvey,
    code: str,
    clips: Sequence[SurveyedClip],
    value: float,
    sentence: str,
    advice: str,
) -> Iterator[Finding]:
    """Yield a finding about some clips, unless there are none."""
    if not clips:
        return
    threshold = CLIP_THRESHOLDS[code]
    share = sum(clip.seconds for clip in clips) / survey.facts.seconds
    yield Finding(
        code,
        _rate_share(code, share),
        None,
        share,
        value,
        threshold.limit,
        threshold.unit,
        sentence,
        advice,
        tuple(clip.entry.id for clip in clips),
    )


def _beyond(
    survey: DatasetSurvey, measure: Callable[[SurveyedClip], float], code: str, *, above: bool
) -> tuple[list[SurveyedClip], float]:
    """Return the clips beyond the limit, the worst first, and the worst value (0 where there is none)."""
    limit, sign = CLIP_THRESHOLDS[code].limit, 1 if above else -1
    found = [clip for clip in survey.clips if sign * measure(clip) > sign * limit]
    found.sort(key=lambda clip: -sign * measure(clip))
    return found, measure(found[0]) if found else 0.0


def _of_speaker(
    survey: DatasetSurvey,
    speaker: SpeakerSurvey,
    code: str,
    value: float | None,
    sentence: str,
    advice: str,
    *,
    above: bool,
) -> Iterator[Finding]:
    """Yield a finding about a speaker, unless the value is within the thresholds."""
    threshold = SPEAKER_THRESHOLDS[code]
    sign = 1 if above else -1
    if value is None or sign * value <= sign * threshold.harm:
        return
    stops = threshold.stop is not None and sign * value > sign * threshold.stop
    limit = threshold.stop if stops and threshold.stop is not None else threshold.harm
    yield Finding(
        code,
        "stop" if stops else "harm",
        speaker.name,
        speaker.facts.seconds / max(survey.facts.seconds, 1e-9),
        value,
        limit,
        threshold.unit,
        sentence,
        advice,
    )


def _empty(survey: DatasetSurvey) -> Iterator[Finding]:
    """Yield what keeps training from beginning at all."""
    for speaker in survey.speakers:
        if speaker.facts.train_s == 0:
            sentence = f"there is no clip of {speaker.name} to train on"
            advice = "add recordings of this person, or remove the empty folder, and prepare the dataset again"
            yield Finding("no_clips", "stop", speaker.name, 1.0, 0.0, 1.0, "clips", sentence, advice)
    if not survey.speakers:
        advice = "look at what was left out, give other recordings and prepare the dataset again"
        yield Finding("no_clips", "stop", None, 1.0, 0.0, 1.0, "clips", "the dataset holds no clip", advice)
    elif not any(clip.entry.split == "validation" for clip in survey.clips):
        sentence = "no clip is kept for validation, so that training cannot say when the voice is at its best"
        advice = f"run {_again(survey)} --validation-share 0.05"
        yield Finding("no_validation", "note", None, 1.0, 0.0, 1.0, "clips", sentence, advice)


def _minutes_to_train(survey: DatasetSurvey) -> Iterator[Finding]:
    for speaker in survey.speakers:
        seconds = speaker.facts.train_s
        if seconds:
            sentence = f"there are only {_minutes(seconds)} of {speaker.name} to train on"
            advice = (
                "add recordings of the same person with the same microphone, or give these to timbre convert --like, "
                "which needs no training"
            )
            yield from _of_speaker(survey, speaker, "minutes", seconds / 60, sentence, advice, above=False)


def _strangers(survey: DatasetSurvey) -> Iterator[Finding]:
    clips = sorted((clip for clip in survey.clips if clip.is_stranger), key=lambda clip: -(clip.distance or 0))
    worst = clips[0].distance or 0.0 if clips else 0.0
    sentence = f"{_clips_do(clips, 'sounds', 'sound')} like another person or place than the rest of the speaker"
    advice = f"listen to {_named(clips)}, take out what does not belong, and run {_again(survey)}"
    yield from _of_clips(survey, "strangers", clips, worst, sentence, advice)
    for speaker in survey.speakers:
        distance = speaker.distance
        sentence = f"the clips of {speaker.name} sound like several people (distance {distance or 0:.2f})"
        advice = f"give each person a folder of their own and run {_again(survey)}"
        yield from _of_speaker(survey, speaker, "unlike", distance, sentence, advice, above=True)


def _noise_and_room(survey: DatasetSurvey) -> Iterator[Finding]:
    for speaker in survey.speakers:
        snr_db = speaker.signal_to_noise_db
        sentence = f"the noise of {speaker.name} is only {snr_db or 0:.0f} dB under the voice"
        advice = "record in a quieter place or nearer to the microphone; as a makeshift denoise all recordings alike"
        yield from _of_speaker(survey, speaker, "noise", snr_db, sentence, advice, above=False)
        hertz = speaker.bandwidth_hz
        sentence = f"the sound of {speaker.name} ends at {(hertz or 0) / 1000:.1f} kHz"
        advice = "use the original recordings instead of compressed or telephone copies; resampling alone adds nothing"
        kilohertz = hertz / 1000 if hertz else None
        yield from _of_speaker(survey, speaker, "bandwidth", kilohertz, sentence, advice, above=False)
        room_s = speaker.reverberation_s
        sentence = f"the room of {speaker.name} rings for about {room_s or 0:.1f} s"
        advice = "record nearer to the microphone or in a furnished room, or take the room off all recordings alike"
        yield from _of_speaker(survey, speaker, "reverberation", room_s, sentence, advice, above=True)


def _pitch(survey: DatasetSurvey) -> Iterator[Finding]:
    for speaker in survey.speakers:
        if not speaker.clips:
            continue
        sentence = f"only {100 * speaker.facts.pitch.voiced_share:.0f} % of the sound of {speaker.name} has a pitch"
        advice = "look for clips of noise or music; if the voice is clear, try another pitch tracker: --pitch rmvpe"
        share = 100 * speaker.facts.pitch.voiced_share
        yield from _of_speaker(survey, speaker, "voiced", share, sentence, advice, above=False)
        notes = speaker.facts.pitch.covered_notes(NOTE_HEARD_S)
        sentence = f"the voice of {speaker.name} was heard on only {_count(len(notes), 'note')} for a second or more"
        advice = "add recordings with high and low notes, such as scales or songs"
        yield from _of_speaker(survey, speaker, "range", float(len(notes)), sentence, advice, above=False)
        if notes:
            yield _highest_note(survey, speaker, notes)


def _highest_note(survey: DatasetSurvey, speaker: SpeakerSurvey, notes: list[int]) -> Finding:
    """Tell from where to where the voice is known, which any song may leave."""
    low, high = note_name(notes[0]), note_name(notes[-1])
    gaps = [note_name(note) for note in range(notes[0], notes[-1]) if note not in notes]
    within = f" (but not {', '.join(gaps)})" if gaps else ""
    share = speaker.facts.seconds / survey.facts.seconds
    sentence = (
        f"the notes of {speaker.name} go from {low} to {high}{within}, and none above {high} lasts a second in all"
    )
    advice = (
        f"higher notes will crack and lower ones than {low} growl: add recordings, or convert with --pitch-shift auto"
    )
    return Finding("notes", "note", speaker.name, share, float(notes[-1]), None, "MIDI", sentence, advice)


def _faulty_clips(survey: DatasetSurvey) -> Iterator[Finding]:
    clips, value = _beyond(survey, lambda clip: clip.measures.voice_db, "silent", above=False)
    sentence = f"{_clips_do(clips, 'is', 'are')} silent"
    yield from _of_clips(survey, "silent", clips, value, sentence, f"take {_named(clips)} out and run {_again(survey)}")
    silent = {clip.entry.id for clip in clips}
    clips, value = _beyond(survey, lambda clip: clip.voiced_s, "unvoiced", above=False)
    clips = [clip for clip in clips if clip.entry.id not in silent]
    sentence = f"{_clips_do(clips, 'holds', 'hold')} nothing with a pitch"
    advice = f"listen to {_named(clips)}; take out noise and music, and keep whispers only if you want them"
    yield from _of_clips(survey, "unvoiced", clips, value, sentence, advice)
    clips, value = _beyond(survey, lambda clip: 100 * clip.measures.clipped_share, "clipped", above=True)
    sentence = f"{_clips_do(clips, 'is', 'are')} clipped"
    advice = (
        f"use unclipped recordings instead of {_named(clips)}, or leave them out; lowering the level now does not help"
    )
    yield from _of_clips(survey, "clipped", clips, value, sentence, advice)
    clips, value = _beyond(survey, lambda clip: clip.measures.hum_db, "hum", above=True)
    sentence = f"{_clips_do(clips, 'has', 'have')} mains hum, up to {value:.0f} dB against the voice"
    yield from _of_clips(
        survey, "hum", clips, value, sentence, "filter the hum out of all recordings, or mend the cable"
    )
    clips, value = _beyond(survey, lambda clip: 100 * abs(clip.measures.offset), "offset", above=True)
    sentence = f"{_clips_do(clips, 'is', 'are')} off centre by up to {value:.1f} % of full scale"
    yield from _of_clips(
        survey, "offset", clips, value, sentence, "put a high-pass filter at 20 Hz over the recordings"
    )


def _lengths_and_levels(survey: DatasetSurvey) -> Iterator[Finding]:
    clips, value = _beyond(survey, lambda clip: clip.seconds, "long", above=True)
    limit = CLIP_THRESHOLDS["long"].limit
    sentence = f"{_clips_do(clips, 'is', 'are')} over {limit:g} s"
    yield from _of_clips(survey, "long", clips, value, sentence, f"run {_again(survey)} --longest-s {limit:g}")
    clips, value = _beyond(survey, lambda clip: clip.seconds, "short", above=False)
    sentence = f"{_clips_do(clips, 'is', 'are')} under {CLIP_THRESHOLDS['short'].limit:g} s"
    advice = f"run {_again(survey)} --shortest-s 4, which joins short stretches of one recording"
    yield from _of_clips(survey, "short", clips, value, sentence, advice)
    clips, value = _beyond(survey, lambda clip: clip.entry.gain_db, "quiet", above=True)
    sentence = (
        f"{_clips_do(clips, 'was', 'were')} so quiet that {_they(clips)} had to be raised by up to {value:.0f} dB"
    )
    yield from _of_clips(survey, "quiet", clips, value, sentence, f"record louder; {_named(clips)} may be noise only")
    for speaker in survey.speakers:
        low = speaker.percentile(5, _final_loudness)
        high = speaker.percentile(95, _final_loudness)
        spread = None if low is None or high is None else high - low
        sentence = f"the clips of {speaker.name} differ by {spread or 0:.0f} dB in loudness"
        yield from _of_speaker(
            survey, speaker, "levels", spread, sentence, f"run {_again(survey)} --loudness lufs", above=True
        )


def _duplicates(survey: DatasetSurvey) -> Iterator[Finding]:
    by_id = {clip.entry.id: clip for clip in survey.clips}
    second = list({each.second.id: by_id[each.second.id] for each in survey.duplicates}.values())
    crossing = sum(each.first.split != each.second.split for each in survey.duplicates)
    foreign = sum(each.first.speaker != each.second.speaker for each in survey.duplicates)
    sentence = f"{_clips_do(second, 'holds', 'hold')} sound that another clip holds too"
    sentence += f", {crossing} of them for training and the other for validation" if crossing else ""
    sentence += f", {foreign} of them under another speaker's name" if foreign else ""
    advice = f"remove the copies, such as {_named(second)}, and run {_again(survey)}"
    longest = survey.duplicates[0] if survey.duplicates else None
    value = 100 * longest.overlap_s / by_id[longest.second.id].seconds if longest else 0.0
    yield from _of_clips(survey, "duplicates", second, min(100.0, value), sentence, advice)


def _left_out(survey: DatasetSurvey) -> Iterator[Finding]:
    left_out = survey.facts.left_out
    if left_out:
        reasons = Counter(each.reason for each in left_out).most_common(1)
        sentence = f"{_count(len(left_out), 'recording or part', 'recordings or parts')} were left out"
        advice = f"see the list at the end of the report; the most frequent reason is: {reasons[0][0]}"
        value = float(len(left_out))
        yield Finding("left_out", "note", None, 0.0, value, None, "recordings", sentence, advice)


def _again(survey: DatasetSurvey) -> str:
    return f"timbre prepare RECORDINGS -o {shlex.quote(survey.facts.name)}"


def _final_loudness(clip: SurveyedClip) -> float:
    return clip.entry.loudness_lufs + clip.entry.gain_db


def _named(clips: Iterable[SurveyedClip]) -> str:
    """Name up to three clips by where they lie in the recordings."""
    clips = list(clips)
    names = [f"{clip.entry.source} at {clip.entry.start_s:.1f} s" for clip in clips[:3]]
    return ", ".join(names) + (f" and {len(clips) - 3} more" if len(clips) > 3 else "")


def _clips_do(clips: Sequence[SurveyedClip], one: str, many: str) -> str:
    return f"{_count(len(clips), 'clip')} {one if len(clips) == 1 else many}"


def _they(clips: Sequence[SurveyedClip]) -> str:
    return "it" if len(clips) == 1 else "they"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} minutes" if seconds >= 60 else f"{seconds:.0f} seconds"


_RULES: tuple[Callable[[DatasetSurvey], Iterator[Finding]], ...] = (
    _empty,
    _strangers,
    _minutes_to_train,
    _noise_and_room,
    _faulty_clips,
    _duplicates,
    _pitch,
    _lengths_and_levels,
    _left_out,
)
