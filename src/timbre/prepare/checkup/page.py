"""The report as one HTML page: no network, no script, readable in light and dark."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from timbre.dataset.folder import Dataset
from timbre.prepare.checkup.charts import Bar, Line, bar_chart, histogram, line_chart, picture_chart
from timbre.prepare.checkup.clip_measures import measured_part
from timbre.prepare.checkup.facts import flat_settings
from timbre.prepare.checkup.findings import VERDICTS, Finding, Judgement
from timbre.prepare.checkup.picture import spectrogram_png
from timbre.prepare.checkup.pitch_range import note_name
from timbre.prepare.checkup.reverberation import DRY_S
from timbre.prepare.checkup.spectra import N_FFT, to_db
from timbre.prepare.checkup.style import STYLE
from timbre.prepare.checkup.survey import DatasetSurvey, SpeakerSurvey, SurveyedClip
from timbre.prepare.checkup.thresholds import CLIP_THRESHOLDS, NOTE_HEARD_S, SPEAKER_THRESHOLDS

_MOST_PICTURES, _PICTURES_PER_FINDING = 8, 2
_MOST_CURVES = 6
_MOST_PITCH_CHARTS = 8
_MOST_ROWS = 500
_LEVEL_WORDS = {"stop": "stops", "harm": "harms", "note": "note"}
_SPECTRUM_TICKS_HZ = (50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)
# No source is allowed but what stands in the page itself; scripts are allowed nowhere.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def render_page(dataset: Dataset, survey: DatasetSurvey, judgement: Judgement) -> str:
    """Return the page; the clips that findings point at are read again for their pictures."""
    title = f"Dataset {survey.facts.name}"
    verdict = next(level for level, word in VERDICTS.items() if word == judgement.verdict)
    sections = [
        f"<h1>Dataset {_name(survey.facts.name)}</h1>",
        f'<p class="verdict {verdict}">{escape(judgement.sentence)}</p>',
        _section("What to do", _advice(judgement.findings)),
        _section("Speakers", _speakers(survey)),
        _section("Pictures", _charts(survey)),
        _section("Clips to listen to", _clip_pictures(dataset, survey, judgement.findings)),
        _section("All clips", _clips(survey), folded=True),
        _section("Left out", _left_out(survey), folded=True),
        _section("Settings", _settings(survey), folded=True),
        _section("What is measured, and from where on it counts", _thresholds(), folded=True),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body><main>\n"
        + "\n".join(sections)
        + "\n</main></body></html>\n"
    )


def _section(heading: str, content: str, *, folded: bool = False) -> str:
    if not content:
        return ""
    if folded:
        return f"<details><summary>{escape(heading)}</summary>{content}</details>"
    return f"<section><h2>{escape(heading)}</h2>{content}</section>"


def _advice(findings: Sequence[Finding]) -> str:
    items = [
        f'<li><span class="level {each.level}">{_LEVEL_WORDS[each.level]}</span>'
        f"<div><strong>{escape(_sentence(each.sentence))}</strong><br>{_whole_options(escape(_sentence(each.advice)))}"
        f"{_limit(each)}</div></li>"
        for each in findings
    ]
    return f'<ol class="advice">{"".join(items)}</ol>' if items else "<p>Nothing: no fault was found.</p>"


def _limit(finding: Finding) -> str:
    if finding.value is None or finding.threshold is None:
        return ""
    unit = f" {finding.unit}" if finding.unit else ""
    return f"<br><small>{finding.value:.3g}{escape(unit)}; the limit is {finding.threshold:g}{escape(unit)}</small>"


def _speakers(survey: DatasetSurvey) -> str:
    heads = ("speaker", "clips", "minutes", "to train", "lengths", "loudness", "over noise", "up to", "room", "notes")
    rows = [
        (
            _name(speaker.name),
            str(len(speaker.clips)),
            f"{speaker.facts.seconds / 60:.1f}",
            f"{speaker.facts.train_s / 60:.1f}",
            _span(speaker.facts.shortest_s, speaker.facts.longest_s, "s"),
            _number(speaker.facts.loudness_lufs, "LUFS", 0),
            _number(speaker.signal_to_noise_db, "dB", 0),
            _number(speaker.bandwidth_hz and speaker.bandwidth_hz / 1000, "kHz", 1),
            _room(speaker),
            _notes(speaker),
        )
        for speaker in survey.speakers
    ]
    return _table(heads, rows)


def _charts(survey: DatasetSurvey) -> str:
    clips = survey.clips
    if not clips:
        return ""
    minutes = [clip.seconds / 60 for clip in clips]
    lengths = histogram([clip.seconds for clip in clips], [1.0] * len(clips), 1.0, "s", "clips")
    loudness = histogram([clip.entry.loudness_lufs for clip in clips], minutes, 1.0, "LUFS", "minutes")
    figures = [
        _figure(
            bar_chart("Lengths of clips", lengths, "length of the clip in seconds", "clips", at_edges=True), "Lengths"
        ),
        _figure(
            bar_chart("Loudness before levelling", loudness, "loudness in LUFS", "minutes", at_edges=True),
            "Loudness before levelling",
        ),
        *_spectrum(survey),
        *(_pitch(speaker) for speaker in survey.speakers[:_MOST_PITCH_CHARTS] if speaker.facts.pitch.seconds_per_note),
    ]
    return f'<div class="figures">{"".join(figures)}</div>'


def _spectrum(survey: DatasetSurvey) -> Iterable[str]:
    """Yield the long-term spectrum of the first speakers over a logarithmic scale of frequency."""
    shown = [speaker for speaker in survey.speakers if speaker.clips][:_MOST_CURVES]
    highest_hz = survey.facts.sample_rate_hz / 2
    centres = np.geomspace(_SPECTRUM_TICKS_HZ[0], min(_SPECTRUM_TICKS_HZ[-1], highest_hz), 120)
    bins_hz = np.arange(N_FFT // 2 + 1) * survey.facts.sample_rate_hz / N_FFT
    lines = [
        Line(speaker.name, np.log10(centres).tolist(), np.interp(centres, bins_hz, to_db(speaker.mean_power)).tolist())
        for speaker in shown
    ]
    ticks = [(float(np.log10(hz)), f"{hz / 1000:g}k" if hz >= 1000 else str(hz)) for hz in _SPECTRUM_TICKS_HZ]
    chart = line_chart("Long-term spectrum", lines, ticks, "frequency in Hz", "dB")
    legend = " ".join(f'<span class="key key{number}">{_name(line.name)}</span>' for number, line in enumerate(lines))
    yield _figure(chart, f"Long-term spectrum {legend}")


def _pitch(speaker: SpeakerSurvey) -> str:
    """Return how long each semitone was heard, from the lowest to the highest."""
    seconds = speaker.facts.pitch.seconds_per_note
    notes = [
        note for note, length in seconds.items() if length >= NOTE_HEARD_S / 4
    ]  # stray frames would stretch the scale
    every = max(1, -(-(max(notes) - min(notes) + 1) // 12)) if notes else 1
    bars = [
        Bar(
            note_name(note) if (note - notes[0]) % every == 0 else "",
            seconds.get(note, 0.0),
            f"{note_name(note)}: {seconds.get(note, 0.0):.1f} s",
        )
        for note in (range(min(notes), max(notes) + 1) if notes else ())
    ]
    chart = bar_chart(f"Notes of {speaker.name}", bars, "note", "seconds")
    return _figure(chart, f"Notes of {_name(speaker.name)}")


def _clip_pictures(dataset: Dataset, survey: DatasetSurvey, findings: Sequence[Finding]) -> str:
    """Return spectrograms of the worst clips of each finding."""
    by_id = {clip.entry.id: clip for clip in survey.clips}
    chosen: dict[str, list[str]] = {}
    for finding in findings:
        for clip_id in finding.clips[:_PICTURES_PER_FINDING]:
            chosen.setdefault(clip_id, []).append(finding.code)
    figures = [
        _figure(_spectrogram(dataset, by_id[clip_id]), f"{_place(by_id[clip_id])}: {', '.join(codes)}")
        for clip_id, codes in list(chosen.items())[:_MOST_PICTURES]
    ]
    return f'<div class="figures">{"".join(figures)}</div>' if figures else ""


def _spectrogram(dataset: Dataset, clip: SurveyedClip) -> str:
    rate = dataset.manifest.sample_rate_hz
    wave = measured_part(dataset.wave(clip.entry), rate)
    return picture_chart(f"Spectrogram of {clip.entry.name}", spectrogram_png(wave), len(wave) / rate, rate / 2)


def _clips(survey: DatasetSurvey) -> str:
    heads = ("recording", "speaker", "length", "voiced", "over noise", "up to", "clipped", "hum", "distance", "for")
    rows = [
        (
            _place(clip),
            _name(clip.entry.speaker),
            f"{clip.seconds:.1f} s",
            f"{clip.voiced_s:.1f} s",
            f"{clip.measures.signal_to_noise_db:.0f} dB",
            f"{clip.measures.bandwidth_hz / 1000:.1f} kHz",
            f"{100 * clip.measures.clipped_share:.2f} %" if clip.measures.clipped_share else "",
            f"{clip.measures.hum_db:.0f} dB" if clip.measures.mains_hz else "",
            "" if clip.distance is None else f"{clip.distance:.2f}",
            escape(clip.entry.split),
        )
        for clip in survey.clips[:_MOST_ROWS]
    ]
    rest = len(survey.clips) - len(rows)
    more = f"<p>{rest} more are in report.json.</p>" if rest else ""
    return _table(heads, rows) + more


def _left_out(survey: DatasetSurvey) -> str:
    rows = [
        (_name(each.source), "" if each.start_s is None else f"{each.start_s:.1f} s", escape(each.reason))
        for each in survey.facts.left_out[:_MOST_ROWS]
    ]
    return _table(("recording", "from", "why"), rows) if rows else ""


def _settings(survey: DatasetSurvey) -> str:
    facts = survey.facts
    rows = [("encoder", facts.encoder), ("pitch", facts.pitch), ("sample rate", f"{facts.sample_rate_hz} Hz")]
    rows += [(name, str(value)) for name, value in flat_settings(facts.settings).items()]
    return _table(("setting", "value"), [(escape(name), escape(value)) for name, value in rows])


def _thresholds() -> str:
    rows = [
        (
            escape(each.what),
            f"{each.limit:g} {escape(each.unit)}",
            _share(each.harm_share),
            _share(each.stop_share),
            escape(each.reason),
        )
        for each in CLIP_THRESHOLDS.values()
    ]
    of_clips = _table(("of a clip", "limit", "harms from", "stops from", "why"), rows)
    of_speakers = _table(
        ("of a speaker", "harms from", "stops from", "why"),
        [
            (
                escape(each.what),
                f"{each.harm:g} {escape(each.unit)}",
                "" if each.stop is None else f"{each.stop:g} {escape(each.unit)}",
                escape(each.reason),
            )
            for each in SPEAKER_THRESHOLDS.values()
        ],
    )
    return f"{of_clips}{of_speakers}<p>A note counts as heard from {NOTE_HEARD_S:g} s on.</p>"


def _share(share: float | None) -> str:
    return "" if share is None else f"{100 * share:g} % of the sound"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; cells are HTML already."""
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _figure(picture: str, caption: str) -> str:
    return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"


def _place(clip: SurveyedClip) -> str:
    return f"{_name(clip.entry.source)} at {clip.entry.start_s:.1f} s"


def _name(text: str) -> str:
    """Return a name of any script as HTML that does not turn the text around it."""
    return f"<bdi>{escape(text)}</bdi>"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def _whole_options(html: str) -> str:
    """Keep `--option` on one line."""
    return re.sub(r"--[a-z][a-z-]*", r"<code>\g<0></code>", html)


def _notes(speaker: SpeakerSurvey) -> str:
    notes = speaker.facts.pitch.covered_notes(NOTE_HEARD_S)
    return f"{note_name(notes[0])} to {note_name(notes[-1])}" if notes else "none"


def _room(speaker: SpeakerSurvey) -> str:
    dry = speaker.reverberation_s is not None and speaker.reverberation_s < DRY_S
    return "dry" if dry else _number(speaker.reverberation_s, "s", 1)


def _span(low: float | None, high: float | None, unit: str) -> str:
    return "" if low is None or high is None else f"{low:.1f} to {high:.1f} {unit}"


def _number(value: float | None, unit: str, digits: int) -> str:
    return "unknown" if value is None else f"{value:.{digits}f} {unit}"
