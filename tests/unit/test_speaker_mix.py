"""Speaker mixes: what is refused in one sentence, and the weights of each frame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from timbre.config import speaker_mix
from timbre.config.convert import ConvertSettings
from timbre.config.speaker_mix import read_speaker_mix
from timbre.errors import SettingsError
from timbre.features.speaker_mix import CountedMix, TimedMix

SPEAKERS = {"alice": 0, "björn": 1}
WHOLE = [[0, 1, 1, 1]]
FALL, RISE = [[0.0, 1.0, 1.0, 0.0]], [[0.0, 1.0, 0.0, 1.0]]


def read(tracks: Any, folder: Path, speakers: dict[str, int] = SPEAKERS) -> dict[int, speaker_mix.Track]:
    file = folder / "tracks.json"
    file.write_text(json.dumps(tracks), encoding="utf-8")
    return read_speaker_mix(str(file)).by_number(speakers)


def test_names_and_numbers_are_the_same(tmp_path):
    assert read({"alice": FALL, "björn": RISE}, tmp_path) == read({"1": RISE, "0": FALL}, tmp_path)


def test_a_name_counts_before_a_number(tmp_path):
    tracks = read({"1": FALL, "b": RISE}, tmp_path, {"1": 0, "b": 1})
    assert tracks == read({"alice": FALL, "björn": RISE}, tmp_path)


def test_constant_weights_leave_others_silent():
    tracks = read_speaker_mix("alice = 0.7, 2=.3").by_number({"alice": 0, "b": 1, "c": 2})
    weights = TimedMix(tracks, 0.1).weights(0, 3)
    torch.testing.assert_close(weights, torch.tensor([[0.7, 0.0, 0.3]] * 3))


@pytest.mark.parametrize(
    "text", ["{0: [[0., 1., 1, 0.]], 1: [[0, 1, 0, 1]]}", "# old\nx = 3\ntable: dict = {0: %s, 1: %s}"]
)
def test_a_python_table_is_read_without_running_it(text, tmp_path):
    file = tmp_path / "spkmix.py"
    file.write_text("import os\n" + (text % (FALL, RISE) if "%" in text else text), encoding="utf-8")
    assert read_speaker_mix(str(file)).by_number(SPEAKERS) == read({"alice": FALL, "björn": RISE}, tmp_path)


@pytest.mark.parametrize(
    ("tracks", "says"),
    [
        ([FALL, RISE], "no table of speakers"),
        ({}, "no table of speakers"),
        ({"alice": FALL, "bob": RISE}, "names 'bob', which the voice does not have; its speakers: alice, björn"),
        ({"alice": FALL, "2": RISE}, "names '2'"),
        ({"alice": FALL}, "tracks for 1 of 2 speakers; add one for each of: björn"),
        ({"alice": FALL, "0": RISE, "björn": RISE}, "names 'alice' twice"),
        ({"alice": [], "björn": RISE}, "no list of stretches"),
        ({"alice": 0.7, "björn": 0.3}, "no list of stretches"),
        ({"alice": [0, 1, 1, 1], "björn": RISE}, "has the stretch 0; it must be four numbers"),
        ({"alice": [[0, 1, 1]], "björn": RISE}, "four numbers"),
        ({"alice": [[0, 1, 1, 1, 1]], "björn": RISE}, "four numbers"),
        ({"alice": [[0, 1, "1", 1]], "björn": RISE}, "four numbers"),
        ({"alice": [[0, 1, None, True]], "björn": RISE}, "four numbers"),
        ({"alice": [[0, 1, -0.1, 1]], "björn": RISE}, "weight of speaker 'alice' is -0.1"),
        ({"alice": [[0, 1, 1, float("nan")]], "björn": RISE}, "weight of speaker 'alice' is nan"),
        ({"alice": [[0, 1, 10**400, 1]], "björn": RISE}, "weight of speaker 'alice' is nan"),
        ({"alice": [[0, float("inf"), 1, 1]], "björn": RISE}, "goes from 0 to inf"),
        ({"alice": [[0.5, 0.5, 1, 1]], "björn": RISE}, "goes from 0.5 to 0.5; its start must be before its end"),
        ({"alice": [[0.7, 0.2, 1, 1]], "björn": RISE}, "goes from 0.7 to 0.2"),
        ({"alice": [[0, 0.4, 1, 1], [0.5, 1, 1, 1]], "björn": RISE}, "leaves a gap from 0.4 to 0.5"),
        ({"alice": [[0, 0.6, 1, 1], [0.5, 1, 1, 1]], "björn": RISE}, "overlaps from 0.5 to 0.6"),
        ({"alice": [[0.1, 1, 1, 1]], "björn": RISE}, "starts at 0.1; it must be at 0"),
        ({"alice": FALL, "björn": [[0, 0.9, 1, 1]]}, "'björn' ends at 0.9; it must be at 1"),
    ],
)
def test_refused_tracks(tracks, says, tmp_path):
    with pytest.raises(SettingsError) as caught:
        read(tracks, tmp_path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe{}", b"\0", b"[" * 100_000, b"x = {f(): 1}", b"x = {0: [[0, 1, 1j, 1]]}", b"3"]
)
def test_refused_files(content, tmp_path):
    file = tmp_path / "tracks.json"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"no table of speakers|four numbers"):
        read_speaker_mix(str(file))


def test_a_file_that_is_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(speaker_mix, "MAX_FILE_BYTES", 10)
    with pytest.raises(SettingsError, match="no table of speakers"):
        read({"alice": FALL, "björn": RISE}, tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("absent.json", "there is no speaker mix file 'absent.json'"),
        ("", "there is no speaker mix file"),
        ("alice=0.7,björn", "'björn'; each part must be as in"),
        ("=1", "each part must be as in"),
        ("alice=x", "weight of speaker 'alice' is nan"),
        ("alice=", "weight of speaker 'alice' is nan"),
        ("alice=-1", "weight of speaker 'alice' is -1"),
        ("alice=1,alice=2", "names 'alice' twice"),
        ("alice=0,björn=0", "all weights of the speaker mix are 0"),
    ],
)
def test_refused_weights(text, says):
    with pytest.raises(SettingsError) as caught:
        read_speaker_mix(text)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"speaker": "alice", "speaker_mix": "alice=1"}, "speaker and speaker_mix"),
        ({"retrieval_ratio": 0.5, "speaker_mix": "alice=1"}, "retrieval_ratio and speaker_mix"),
    ],
)
def test_settings_that_exclude_each_other(values, says):
    with pytest.raises(SettingsError, match=says):
        ConvertSettings(**values)


def test_true_time_decides(tmp_path):
    mix = TimedMix(read({"alice": FALL, "björn": RISE}, tmp_path), frame_length=0.1)
    alice = mix.weights(-2, 15)[:, 0]
    torch.testing.assert_close(alice, torch.tensor([1, 1, 1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0, 0, 0]))
    assert torch.equal(mix.weights(4, 3), mix.weights(0, 10)[4:7])


def test_the_later_stretch_counts_where_two_meet(tmp_path):
    tracks = read({"alice": [[0, 0.5, 1, 1], [0.5, 1, 0, 0]], "björn": WHOLE}, tmp_path)
    alice = TimedMix(tracks, 0.25).weights(0, 5)[:, 0]
    assert torch.equal(alice, torch.tensor([0.5, 0.5, 0, 0, 0]))


def test_nobody_heard_means_all_alike(tmp_path):
    silent = [[0, 1, 0, 0]]
    tracks = read({"a": silent, "b": silent, "c": silent}, tmp_path, {"a": 0, "b": 1, "c": 4})
    expected = torch.tensor([[1 / 3, 1 / 3, 0, 0, 1 / 3]] * 6)
    torch.testing.assert_close(TimedMix(tracks, 0.2).weights(0, 6), expected)
    torch.testing.assert_close(CountedMix(tracks, 6).weights(0, 6), expected)


@pytest.mark.parametrize("value", [1e-300, 1e308])
def test_rows_sum_to_one_whatever_the_scale(value, tmp_path):
    tracks = read({"alice": [[0, 1, value, value]], "björn": [[0, 1, value, 0]]}, tmp_path)
    for mix in (TimedMix(tracks, 0.1), CountedMix(tracks, 10)):
        weights = mix.weights(0, 10)
        assert bool((weights >= 0).all())
        torch.testing.assert_close(weights.sum(dim=1), torch.ones(10))


def test_almost_equal_times_are_equal(tmp_path):
    tracks = read({"alice": [[0, 0.3, 1, 1], [0.1 + 0.2, 1 - 1e-9, 1, 1]], "björn": WHOLE}, tmp_path)
    for mix in (TimedMix(tracks, 1 / 999), CountedMix(tracks, 1000)):
        torch.testing.assert_close(mix.weights(0, 1000), torch.full((1000, 2), 0.5))


def test_counted_frames_beyond_the_last_have_its_weights(tmp_path):
    mix = CountedMix(read({"alice": FALL, "björn": RISE}, tmp_path), 10)
    assert torch.equal(mix.weights(8, 4)[1:], mix.weights(9, 1).expand(3, 2))


def test_one_frame(tmp_path):
    tracks = read({"alice": FALL, "björn": RISE}, tmp_path)
    for mix in (TimedMix(tracks, 1.0), CountedMix(tracks, 1)):
        assert torch.equal(mix.weights(0, 1), torch.tensor([[1.0, 0.0]]))
