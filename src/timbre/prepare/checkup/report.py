"""The findings as plain values for report.json, and both reports written into the dataset."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from timbre.dataset.folder import Dataset
from timbre.dataset.places import write_text
from timbre.prepare.checkup.facts import DatasetFacts, SpeakerFacts
from timbre.prepare.checkup.findings import Judgement
from timbre.prepare.checkup.page import render_page
from timbre.prepare.checkup.survey import DatasetSurvey, SpeakerSurvey, SurveyedClip

JSON_FILE, PAGE_FILE = "report.json", "report.html"


def write_reports(dataset: Dataset, survey: DatasetSurvey, judgement: Judgement) -> tuple[Path, Path]:
    """Write report.json and report.html into the dataset and return where they are.

    Raises OutputError where they cannot be written, DatasetError where a clip that is shown is damaged.
    """
    data, page = dataset.folder / JSON_FILE, dataset.folder / PAGE_FILE
    content = json.dumps(report_values(survey, judgement), ensure_ascii=False, indent=1, allow_nan=False)
    write_text(data, content + "\n")
    write_text(page, render_page(dataset, survey, judgement))
    return data, page


def report_values(survey: DatasetSurvey, judgement: Judgement) -> dict[str, Any]:
    """Return everything that was found as plain values, without places on this machine."""
    return {
        "verdict": judgement.verdict,
        "sentence": judgement.sentence,
        "findings": [dataclasses.asdict(finding) for finding in judgement.findings],
        **facts_values(survey.facts),
        "speakers": [_speaker_values(speaker) for speaker in survey.speakers],
        "clips": [_clip_values(clip) for clip in survey.clips],
        "duplicates": [
            {"first": each.first.id, "second": each.second.id, "overlap_s": each.overlap_s, "exact": each.exact}
            for each in survey.duplicates
        ],
    }


def facts_values(facts: DatasetFacts) -> dict[str, Any]:
    """Return what a dataset holds as plain values."""
    values = {name: getattr(facts, name) for name in ("name", "n_clips", "seconds", "sample_rate_hz", "frame_s")}
    values |= {name: getattr(facts, name) for name in ("encoder", "content_width", "pitch", "diffusion")}
    return values | {
        "settings": dict(facts.settings),
        "speakers": [_facts_of_speaker(speaker) for speaker in facts.speakers],
        "left_out": [dataclasses.asdict(each) for each in facts.left_out],
    }


def _facts_of_speaker(speaker: SpeakerFacts) -> dict[str, Any]:
    values = dataclasses.asdict(speaker)
    values["pitch"]["seconds_per_note"] = {str(note): s for note, s in speaker.pitch.seconds_per_note.items()}
    return values


def _speaker_values(speaker: SpeakerSurvey) -> dict[str, Any]:
    return _facts_of_speaker(speaker.facts) | {
        "signal_to_noise_db": speaker.signal_to_noise_db,
        "bandwidth_hz": speaker.bandwidth_hz,
        "reverberation_s": speaker.reverberation_s,
        "distance": speaker.distance,
    }


def _clip_values(clip: SurveyedClip) -> dict[str, Any]:
    return {
        **dataclasses.asdict(clip.entry),
        "seconds": clip.seconds,
        "voiced_s": clip.voiced_s,
        "distance": clip.distance,
        "is_stranger": clip.is_stranger,
        **dataclasses.asdict(clip.measures),
    }
