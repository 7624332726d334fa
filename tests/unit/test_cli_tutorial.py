"""The tutorial's words become this program's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from timbre.cli.tutorial import OLD_OPTIONS, translate
from timbre.errors import SettingsError


def nothing_found(path: Path) -> bool:
    return False


def words(line: str) -> list[list[str]]:
    return translate(line.split(), find=nothing_found)


def option(arguments: list[str], name: str) -> str:
    return arguments[arguments.index(name) + 1]


def test_own_words_pass_unchanged():
    line = "song.wav --voice ada -o out.wav --pitch-shift -3 --device cpu --enhance"
    assert words(line) == [line.split()]


def test_the_tutorials_first_command():
    (run,) = words("-m logs/44k/G_30400.pth -c configs/config.json -n song.wav -t 0 -s alice")
    assert run[0] == "--model" or "raw/song.wav" in run
    assert option(run, "--model") == "logs/44k/G_30400.pth" and option(run, "--config") == "configs/config.json"
    assert str(Path("raw/song.wav")) in run
    assert option(run, "--pitch-shift") == "0" and option(run, "--speaker") == "alice"
    assert option(run, "--format") == "flac" and option(run, "--slice-threshold-db") == "-40"
    assert option(run, "--output") == str(Path("results/song.wav_0key_alice_sovits_pm.flac"))


def test_every_recording_to_every_speaker_and_missing_shifts_are_the_first():
    runs = words("-m G.pth -n a.wav b -t 2 -s x y -f0p crepe -shd -cr 0.5 -cm k.pt -wf wav -sd -30")
    assert [option(run, "--output") for run in runs] == [
        str(Path("results") / f"{name}_2key_{speaker}_0.5_sovdiff_crepe.wav")
        for name in ("a.wav", "b.wav")
        for speaker in ("x", "y")
    ]
    assert all(option(run, "--slice-threshold-db") == "-30" and "--shallow-diffusion" in run for run in runs)
    assert all(option(run, "--cluster") == "k.pt" and option(run, "--retrieval-ratio") == "0.5" for run in runs)


def test_negative_numbers_are_values():
    (run,) = words("-n a.wav -t -12 -s x")
    assert option(run, "--pitch-shift") == "-12"


def test_a_recording_that_exists_is_taken_from_where_it_is():
    (run,) = translate(["-n", "a.wav"], find=lambda path: path == Path("a.wav"))
    assert "a.wav" in run


@pytest.mark.parametrize("line", ["-cl 0 -lg 0", "--clip 0 --linear_gradient=0"])
def test_zero_means_the_default(line):
    assert words(line) == [[]]


def test_renaming_alone_keeps_the_output_to_the_user():
    (run,) = words("song.wav -m G.pth -o out.wav -ns 0.2 --pad_seconds=1 -fr -cm i.pkl -eh -eak 3")
    assert " ".join(run) == (
        "song.wav -o out.wav --model G.pth --noise-scale 0.2 --context-s 1 --index i.pkl --enhance --enhancer-key 3"
    )


def test_a_feature_index_without_its_file_asks_for_nothing():
    assert words("-fr -eh") == [["--enhance"]]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("-m", "-m stands without a value"),
        ("-n a.wav -t -s x", "-t stands without a value"),
        ("-usm", "not yet available"),
        ("a.wav -s x y", "without -n"),
    ],
)
def test_refusals(line, says):
    with pytest.raises(SettingsError, match=says):
        words(line)


def test_no_spelling_means_two_things():
    spellings = [name for option in OLD_OPTIONS for name in option.names]
    assert len(spellings) == len(set(spellings))
