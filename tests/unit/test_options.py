"""Settings: defaults, types, ranges, choices, unknown keys."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timbre.config.convert import ConvertSettings
from timbre.config.options import Settings, option
from timbre.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class Toy(Settings):
    """One field of each kind."""

    ratio: float = option(0.5, "a ratio", low=0, high=1)
    count: int = option(3, "a number of things", low=1)
    depth: float = option(0.0, "at most one", high=1)
    shift: float | str = option("auto", "a shift", low=-48, high=48, choices=("auto",))
    kind: str = option("wav", "a kind", choices=("wav", "flac"))
    loud: bool = option(False, "a flag")
    name: str | None = option(None, "a name")


def test_defaults_are_valid_and_kept() -> None:
    toy = Toy()
    assert toy.to_mapping() == {
        "ratio": 0.5,
        "count": 3,
        "depth": 0.0,
        "shift": "auto",
        "kind": "wav",
        "loud": False,
        "name": None,
    }


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"ratio": 1.5}, "ratio is 1.5; it must be from 0 to 1"),
        ({"ratio": float("nan")}, "ratio is nan; it must be from 0 to 1"),
        ({"count": 0}, "count is 0; it must be at least 1"),
        ({"depth": 2.0}, "depth is 2.0; it must be at most 1"),
        ({"count": 1.5}, "count is 1.5; it must be a whole number"),
        ({"count": True}, "count is True; it must be a whole number"),
        ({"ratio": "half"}, "ratio is 'half'; it must be a number"),
        ({"shift": "up"}, "shift is 'up'; it must be a number or one of: auto"),
        ({"shift": 49}, "shift is 49.0; it must be from -48 to 48"),
        ({"kind": "aiff"}, "kind is 'aiff'; it must be one of: wav, flac"),
        ({"loud": 1}, "loud is 1; it must be yes or no"),
        ({"kind": None}, "kind is None; it must be text"),
    ],
)
def test_wrong_value_is_refused_with_one_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Toy(**values)
    assert str(caught.value) == sentence


def test_whole_number_becomes_float() -> None:
    assert type(Toy(ratio=1).ratio) is float
    assert type(Toy(shift=-5).shift) is float


def test_unknown_key_suggests_the_nearest() -> None:
    with pytest.raises(SettingsError, match=r"^unknown setting 'ratoi'; did you mean 'ratio'\?$"):
        Toy.from_mapping({"ratoi": 1.0})


def test_unknown_key_without_a_near_one_lists_all() -> None:
    with pytest.raises(SettingsError, match="unknown setting 'zzz'; known are: ratio, count, depth, shift"):
        Toy.from_mapping({"zzz": 1})


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Toy().ratio = 0.1  # type: ignore[misc]


@settings(deadline=None)
@given(
    ratio=st.floats(0, 1),
    shift=st.one_of(st.just("auto"), st.floats(-48, 48)),
    seed=st.integers(0, 2**31 - 1),
    format=st.sampled_from(["wav", "flac", "ogg", "mp3"]),
)
def test_convert_settings_survive_a_round_trip(ratio: float, shift: float | str, seed: int, format: str) -> None:
    settings = ConvertSettings(retrieval_ratio=ratio, pitch_shift=shift, seed=seed, format=format)
    assert ConvertSettings.from_mapping(settings.to_mapping()) == settings


def test_each_convert_setting_has_help_and_a_valid_default() -> None:
    ConvertSettings()
    for field in dataclasses.fields(ConvertSettings):
        assert field.metadata["help"].strip(), field.name
