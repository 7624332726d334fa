"""The tutorial's words become this program's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from timbre.cli.tutorial import DIFFUSION_FILE, OLD_OPTIONS, translate
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


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("-o out", "out/a.wav_0key_x_sovits_pm.flac"),
        ("--output=out", "out/a.wav_0key_x_sovits_pm.flac"),
        ("--output b.wav", "b.wav"),
    ],
)
def test_another_place_for_the_results(place, expected):
    (run,) = words(f"-m G.pth {place} -n a -s x")
    assert option(run, "--output") == str(Path(expected)) and "-o" not in run
    assert ("--format" in run) == expected.endswith(".flac")


def test_what_is_asked_twice_is_done_once():
    assert words("-n a a.wav -s x x") == words("-n a -s x")


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
        "song.wav -o out.wav --model G.pth --noise-scale 0.2 --context-s 1 --retrieval index --enhance "
        "--enhancer-key 3 --index i.pkl"
    )


def test_a_feature_index_without_its_file_is_that_of_the_voice():
    assert words("-fr -cr 0.5") == [["--retrieval", "index", "--retrieval-ratio", "0.5"]]


@pytest.mark.parametrize(
    ("line", "option_name", "file"),
    [
        ("-m G.pth -n a.wav -cr 0.5", "--cluster", "logs/44k/kmeans_10000.pt"),
        ("-m G.pth -n a.wav -cr 0.5 -fr", "--index", "logs/44k/feature_and_index.pkl"),
    ],
)
def test_retrieval_without_its_file_takes_that_of_the_tree(line, option_name, file):
    (run,) = words(line)
    assert option(run, option_name) == str(Path(file))


@pytest.mark.parametrize(
    "line", ["-m G.pth -n a.wav -cr 0", "-n a.wav -cr 0.5", "a.wav -m G.pth -cr 0.5", "-m G.pth -n a.wav -cr 0.5 -usm"]
)
def test_no_file_of_the_tree_is_asked_for_where_none_is_needed(line):
    (run,) = words(line)
    assert "--cluster" not in run and "--index" not in run


def test_no_cluster_file_may_be_written_as_an_empty_one():
    assert "--cluster" not in translate(["-n", "a", "-cm", ""])[0]


@pytest.mark.parametrize(
    ("line", "is_taken"), [("-shd", True), ("-od", True), ("-shd -dm m.pt", False), ("-ks 9", False)]
)
def test_diffusion_without_its_model_takes_that_of_the_tree(line, is_taken):
    for there in (True, False):
        (run,) = translate(f"-m G.pth -n a {line}".split(), find=lambda path, there=there: there)
        assert (str(DIFFUSION_FILE) in run) == (is_taken and there)


def test_a_speaker_mix_replaces_speakers_and_retrieval():
    (run,) = words("-m G.pth -n a.wav -s x y -usm -cr 0.5 -cm k.pt")
    assert option(run, "--speaker-mix") == "spkmix.json" and option(run, "--cluster") == "k.pt"
    assert "--speaker" not in run and "--retrieval-ratio" not in run
    assert option(run, "--output") == str(Path("results/a.wav_0key_spk_mix_0.5_sovits_pm.flac"))


@pytest.mark.parametrize(
    ("line", "there", "expected"),
    [
        ("-usm", (), "spkmix.json"),
        ("-usm", ("spkmix.py",), "spkmix.py"),
        ("-usm", ("spkmix.py", "spkmix.json"), "spkmix.json"),
        ("-usm tracks.json", ("spkmix.json",), "tracks.json"),
        ("-usm a=0.7,b=0.3", (), "a=0.7,b=0.3"),
        ("--use_spk_mix=tracks.json", (), "tracks.json"),
    ],
)
def test_where_the_speaker_mix_comes_from(line, there, expected):
    assert translate(line.split(), find=lambda path: str(path) in there) == [["--speaker-mix", expected]]


def test_a_speaker_mix_does_not_swallow_what_follows():
    assert words("-usm song.wav -eh") == [["song.wav", "--speaker-mix", "spkmix.json", "--enhance"]]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("-m", "-m stands without a value"),
        ("-n a.wav -t -s x", "-t stands without a value"),
        ("a.wav -s x y", "without -n"),
        ("-n a.wav -s x -o", "-o stands without a value"),
        ("-n a b -s x -o c.wav", "several results would become c.wav"),
        ("-n x/a.wav y/a.wav -s x", "several results would become"),
    ],
)
def test_refusals(line, says):
    with pytest.raises(SettingsError, match=says):
        words(line)


def test_no_spelling_means_two_things():
    spellings = [name for option in OLD_OPTIONS for name in option.names]
    assert len(spellings) == len(set(spellings))
