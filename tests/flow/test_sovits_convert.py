"""`timbre convert` with small so-vits-svc voices: what each option does to the sound, lengths, silence and joins."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import timbre
from tests.flow.sovits_folder import SovitsFolder
from tests.toys import glide
from tests.toys_sovits import CONFIG, HOP, RATE, SovitsTree, save_encoder, save_model
from timbre.audio.reader import probe_audio, read_audio, read_tags
from timbre.audio.source import ArraySource
from timbre.config.convert import DIFFUSION_METHODS, ConvertSettings
from timbre.convert import clips
from timbre.convert.arrays import LoadedVoice
from timbre.convert.render import render_chunks
from timbre.convert.scan import scan
from timbre.errors import MissingWeightsError
from timbre.pitch.pm import PmTracker
from timbre.voice.sovits.voice import SovitsVoice

Wave = np.ndarray
SHORT = glide(0.4, RATE)


@pytest.fixture(scope="module")
def voice(sovits_tree: SovitsTree) -> LoadedVoice:
    return load(sovits_tree)


def load(tree: SovitsTree, **files: Path | str) -> LoadedVoice:
    given: dict[str, Path | str] = {"model": tree.model, "diffusion_model": tree.diffusion, **files}
    return timbre.load_sovits_voice(weights_dir=tree.pretrain, **given)


def convert(voice: LoadedVoice, wave: Wave = SHORT, rate: int = RATE, **options: Any) -> Wave:
    values = {"pitch": "pm", "pitch_shift": 0.0, "speaker": "alice", **options}
    # The same numbers on every processor.
    sound = voice.convert(wave, rate, ConvertSettings.from_mapping({"precision": "exact", **values}))
    assert sound.shape == (-(-wave.shape[-1] * RATE // rate),) and np.isfinite(sound).all()
    return sound


def distance_db(one: Wave, other: Wave) -> float:
    """Return the level of the difference, relative to `other`."""
    return float(10 * np.log10(np.mean((one - other) ** 2) / np.mean(other**2) + 1e-20))


def level_db(sound: Wave) -> float:
    return float(10 * np.log10(np.mean(sound**2)))


def differ(one: Wave, other: Wave, least_db: float = -80) -> bool:
    return distance_db(one, other) > least_db


def median_pitch_hz(sound: Wave) -> float:
    f0_hz = PmTracker().track(sound, RATE, 160).f0_hz
    return float(np.median(f0_hz[f0_hz > 0]))


# What becomes which file.


def test_a_voice_by_name_by_folder_and_by_its_files_is_one(svc: SovitsFolder, alice: Path) -> None:
    files = ["--model", svc.tree_of_files.model, "--config", svc.tree_of_files.config]
    by_files = svc.sing_with(*files)
    np.testing.assert_array_equal(svc.sing_with("--voice", "alice"), by_files)
    np.testing.assert_array_equal(svc.sing_with("--voice", alice), by_files)
    diffusion = ["--diffusion-model", svc.tree_of_files.diffusion, "--shallow-diffusion"]
    refined = svc.sing_with(*files, *diffusion)
    np.testing.assert_array_equal(svc.sing_with("--voice", "alice", "--shallow-diffusion"), refined)
    assert differ(refined, by_files)
    assert sorted(os.listdir(svc.folder)) == ["song.wav", "sung.wav", "voices"]


def test_the_result_says_what_it_is(svc: SovitsFolder, alice: Path) -> None:
    source = svc.sing("song.wav")
    outcome = svc.run("convert", source, "-o", "out", "--voice", "alice", "--speaker", "1", "--json")
    (row,) = outcome.rows
    assert (outcome.err, row["output"], row["seconds"]) == ("", str(Path("out/song_alice.wav")), 0.25)
    shift, computed = row["notes"]
    assert shift == "pitch shift: the voice's own pitch is not known; give --pitch-shift"
    assert computed.startswith("computed in ")
    assert probe_audio(svc / "out/song_alice.wav").n_samples == 4000
    assert "to the voice 'alice' (sovits)" in read_tags(svc / "out/song_alice.wav")["comment"]


def test_the_tutorials_words(svc: SovitsFolder) -> None:
    tree = svc.own_tree()
    svc.sing("raw/song.wav")
    files = ["-m", tree.model, "-c", tree.config]
    outcome = svc.run("convert", *files, "-n", "song.wav", "-t", "0", "-s", "alice")
    assert (outcome.code, outcome.err) == (0, "")
    (result,) = (svc / "results").iterdir()
    assert result.name == "song.wav_0key_alice_sovits_pm.flac" and probe_audio(result).format == "flac"
    own_words = ["--model", tree.model, "--speaker", "alice", "--pitch-shift", "0", "--slice-threshold-db", "-40"]
    assert svc.run("convert", "raw/song.wav", "-o", "own.flac", "--pitch", "pm", *own_words).code == 0
    np.testing.assert_array_equal(read_audio(result).samples, read_audio(svc / "own.flac").samples)


def test_the_tutorials_words_for_several_recordings_and_speakers(svc: SovitsFolder) -> None:
    tree = svc.tree_of_files
    for name in ("raw/a.wav", "raw/b.wav"):
        svc.sing(name, 0.1)
    words = ["-m", tree.model, "-n", "a", "b.wav", "-t", "0", "-5", "-s", "alice", "björn"]
    words += ["-shd", "-dm", tree.diffusion, "-dc", tree.diffusion_config, "-ks", "20", "-wf", "wav"]
    assert svc.run("convert", *words).code == 0
    assert sorted(path.name for path in (svc / "results").iterdir()) == [
        "a.wav_0key_alice_sovdiff_pm.wav",
        "a.wav_0key_björn_sovdiff_pm.wav",
        "b.wav_-5key_alice_sovdiff_pm.wav",
        "b.wav_-5key_björn_sovdiff_pm.wav",
    ]
    svc.refuses_to_run("convert", *words, says="a.wav_0key_alice_sovdiff_pm.wav exists; use --force")


def test_a_speaker_whose_name_is_a_path_leads_nowhere(svc: SovitsFolder) -> None:
    tree = svc.own_tree()
    tree.config.write_text(json.dumps(CONFIG | {"spk": {"../../evil": 0, "b": 1}}), encoding="utf-8")
    svc.sing("raw/song.wav", 0.1)
    outside = set(svc.folder.parent.iterdir())
    assert svc.run("convert", "-m", tree.model, "-n", "song", "-s", "../../evil").code == 0
    assert os.listdir(svc / "results") == ["song.wav_0key__.._evil_sovits_pm.flac"]
    assert set(svc.folder.parent.iterdir()) == outside


@pytest.mark.parametrize("format", ["wav", "flac", "ogg", "mp3"])
def test_formats(svc: SovitsFolder, alice: Path, format: str) -> None:
    words = ["-o", "out", "--voice", "alice", "--speaker", "alice", "--format", format]
    assert svc.run("convert", svc.sing("a.wav"), *words).code == 0
    info = probe_audio(svc / f"out/a_alice.{format}")
    assert (info.format.removeprefix("mpeg"), info.sample_rate_hz, info.n_channels) == (format, RATE, 1) or (
        format == "mp3" and info.sample_rate_hz == RATE
    )


# What each option does to the sound.


def test_speaker_and_seed(voice: LoadedVoice) -> None:
    sung = convert(voice)
    np.testing.assert_array_equal(convert(voice), sung)
    np.testing.assert_array_equal(convert(voice, speaker="0"), sung)
    np.testing.assert_array_equal(convert(voice, seed=0), sung)
    assert differ(convert(voice, speaker="björn"), sung) and differ(convert(voice, seed=1), sung)


def test_noise_scale_widens_the_distance_from_the_mean(voice: LoadedVoice) -> None:
    mean, *others = (convert(voice, noise_scale=scale) for scale in (0.0, 0.2, 0.4, 1.6))
    distances = [distance_db(other, mean) for other in others]
    assert distances == sorted(distances) and distances[0] + 12 < distances[-1]
    np.testing.assert_array_equal(convert(voice), others[1])


def test_the_melody_moves_with_the_shift_unless_the_voice_chooses_its_own(voice: LoadedVoice) -> None:
    wave = glide(1.0, RATE)
    heard_hz = [median_pitch_hz(convert(voice, wave, pitch_shift=shift)) for shift in (0.0, 5.0, 12.0)]
    np.testing.assert_allclose(np.divide(heard_hz, heard_hz[0]), [1, 2 ** (5 / 12), 2], rtol=0.01)
    own, shifted = (convert(voice, wave, predict_pitch=True, pitch_shift=shift) for shift in (0.0, 12.0))
    assert distance_db(shifted, own) < -60 and differ(own, convert(voice, wave))


def test_shallow_diffusion_refines_the_sound_of_the_main_model(voice: LoadedVoice) -> None:
    depths = [convert(voice, shallow_diffusion=True, diffusion_steps=steps) for steps in (1, 50, 100)]
    assert all(differ(*pair) for pair in combinations([convert(voice), *depths], 2))
    np.testing.assert_array_equal(convert(voice, shallow_diffusion=True), depths[-1])
    other = convert(voice, shallow_diffusion=True, speaker="björn")
    assert differ(other, depths[-1]) and differ(convert(voice, shallow_diffusion=True, seed=1), depths[-1])


def test_each_sampler_and_speed_is_heard(voice: LoadedVoice) -> None:
    sounds = {
        method: convert(voice, shallow_diffusion=True, diffusion_method=method, diffusion_speedup=5)
        for method in DIFFUSION_METHODS
    }
    assert all(differ(*pair, least_db=-100) for pair in combinations(sounds.values(), 2))
    unhurried = convert(voice, shallow_diffusion=True, diffusion_method="ddpm", diffusion_speedup=20)
    np.testing.assert_array_equal(unhurried, sounds["ddpm"])
    assert differ(convert(voice, shallow_diffusion=True, diffusion_method="unipc"), sounds["unipc"])


def test_a_diffusion_model_needs_no_main_model(voice: LoadedVoice, sovits_tree: SovitsTree) -> None:
    alone = timbre.load_sovits_voice(weights_dir=sovits_tree.pretrain, diffusion_model=sovits_tree.diffusion)
    rendered = convert(alone, only_diffusion=True)
    np.testing.assert_array_equal(convert(voice, only_diffusion=True), rendered)
    assert differ(rendered, convert(voice, shallow_diffusion=True))
    assert differ(convert(alone, only_diffusion=True, speaker="björn"), rendered)


def test_second_encoding_listens_again(voice: LoadedVoice) -> None:
    once = convert(voice, shallow_diffusion=True)
    assert differ(convert(voice, shallow_diffusion=True, second_encoding=True), once)


def test_the_enhancer_and_its_key(voice: LoadedVoice) -> None:
    enhanced = convert(voice, enhance=True)
    assert differ(enhanced, convert(voice)) and differ(convert(voice, enhance=True, enhancer_key=5), enhanced)
    np.testing.assert_array_equal(convert(voice, enhance=True, enhancer_key=0), enhanced)


def test_the_compatible_way_has_one_seed_of_its_own(voice: LoadedVoice) -> None:
    compatible = convert(voice, compatible=True)
    np.testing.assert_array_equal(convert(voice, compatible=True, seed=7), compatible)
    assert differ(compatible, convert(voice))
    cut = convert(voice, glide(2.5, RATE), compatible=True, max_chunk_s=1.0)
    assert differ(cut, convert(voice, glide(2.5, RATE), compatible=True))
    assert differ(convert(voice, compatible=True, context_s=0.2), compatible)


@pytest.mark.parametrize("compatible", [False, True])
def test_loudness_envelope_follows_the_source(voice: LoadedVoice, compatible: bool) -> None:
    wave = glide(6.0, RATE)
    wave[3 * RATE :] *= 0.1
    middles = [slice(RATE, 2 * RATE), slice(4 * RATE, 5 * RATE)]

    def drop_db(**options: Any) -> float:
        sound = convert(voice, wave, compatible=compatible, **options)
        first, second = (level_db(sound[middle]) for middle in middles)
        return first - second

    own, half, followed = (drop_db(loudness_envelope=rate) for rate in (1.0, 0.5, 0.0))
    assert abs(own) < 1 and abs(half - 10) < 2 and abs(followed - 20) < 2


def test_what_counts_as_silence(voice: LoadedVoice) -> None:
    wave = glide(3.0, RATE)
    wave[RATE : 2 * RATE] *= 0.02  # about -50 dB
    middle = slice(int(1.35 * RATE), int(1.65 * RATE))
    assert (convert(voice, wave, slice_threshold_db=-40.0)[middle] == 0).all()
    for options in ({"slice_threshold_db": -60.0}, {"slice_threshold_db": -40.0, "silence": "convert"}):
        assert (convert(voice, wave, **options)[middle] != 0).all()
    kept = convert(voice, wave, slice_threshold_db=-40.0, silence="keep")
    np.testing.assert_array_equal(kept[middle], wave[middle])


def test_the_sound_around_a_stretch_is_heard(voice: LoadedVoice) -> None:
    assert differ(convert(voice, context_s=0.0), convert(voice))


def test_the_encoder_may_be_named(voice: LoadedVoice, tmp_path: Path) -> None:
    save_encoder(tmp_path / "other.pt", width=6)
    assert differ(convert(voice, encoder_weights=str(tmp_path / "other.pt")), convert(voice))


def test_each_release_has_its_ways(voice: LoadedVoice, sovits_tree: SovitsTree) -> None:
    first, latest = (load(sovits_tree, release=release) for release in ("4.0", "4.1-latest"))
    high = {"pitch_shift": 30.0}  # beyond the highest pitch that models tell apart
    assert differ(convert(first, **high), convert(voice, **high))
    np.testing.assert_array_equal(convert(first), convert(voice))
    assert differ(convert(latest), convert(voice))


def test_a_voice_that_hears_loudness(tmp_path: Path, sovits_tree: SovitsTree) -> None:
    config = CONFIG | {"model": CONFIG["model"] | {"vol_embedding": True}}
    save_model(tmp_path / "G_1.pth", config)
    loud = load(sovits_tree, model=tmp_path / "G_1.pth")
    for options in ({}, {"shallow_diffusion": True}):
        assert differ(convert(loud, 0.3 * SHORT, **options), convert(loud, **options))


# Lengths and silence.


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("compatible", [False, True])
def test_the_length_is_exact_at_every_rate(voice: LoadedVoice, rate: int, compatible: bool) -> None:
    for n_samples in (rate // 5, rate // 3 + 1):  # `convert` checks the length
        assert np.abs(convert(voice, glide(n_samples / rate, rate), rate, compatible=compatible)).max() > 0.01


@pytest.mark.parametrize("options", [{}, {"shallow_diffusion": True}, {"only_diffusion": True}, {"enhance": True}])
@pytest.mark.parametrize("context_s", [0.0, 0.5])
@pytest.mark.parametrize("n_samples", [1, HOP - 1, HOP, HOP + 1, 400])
def test_the_shortest_sounds(voice: LoadedVoice, n_samples: int, context_s: float, options: dict[str, bool]) -> None:
    wave = SHORT[1000 : 1000 + n_samples]
    assert convert(voice, wave, context_s=context_s, **options).any()
    assert not convert(voice, np.zeros_like(wave), context_s=context_s, **options).any()


@pytest.mark.parametrize("n_samples", [1, HOP - 1, HOP + 1, 400])
def test_the_shortest_sounds_in_the_compatible_way(voice: LoadedVoice, n_samples: int) -> None:
    for wave in (SHORT[1000 : 1000 + n_samples], np.zeros(n_samples, dtype=np.float32)):
        convert(voice, wave, compatible=True)  # which checks the length


@pytest.mark.parametrize("options", [{}, {"shallow_diffusion": True}, {"loudness_envelope": 0.0}, {"compatible": True}])
def test_silence_stays_digital_silence(voice: LoadedVoice, options: dict[str, Any]) -> None:
    kept_s = 5.1 if "compatible" in options else 0.5  # of the silence at the ends of sound
    gap_s = 2 * kept_s + 0.5
    gap = np.zeros(int(gap_s * RATE), dtype=np.float32)
    sound = convert(voice, np.concatenate((glide(2.0, RATE), gap, glide(2.0, RATE), gap)), **options)
    for start_s in (2.0, 4.0 + gap_s):
        assert (sound[int((start_s + kept_s) * RATE) : int((start_s + gap_s - kept_s) * RATE)] == 0).all()
        assert np.abs(sound[int((start_s - 1.5) * RATE) : int((start_s - 0.5) * RATE)]).max() > 0.05
    assert not convert(voice, np.zeros(3 * RATE, dtype=np.float32), **options)[HOP:].any()


# Joins.

LONG = glide(4.0, RATE)
WAYS: list[dict[str, Any]] = [
    {},
    {"predict_pitch": True},
    {"shallow_diffusion": True},
    {"only_diffusion": True},
    {"enhance": True},
    {"pitch_shift": 7.0, "seed": 3},
]


@pytest.mark.parametrize("options", WAYS, ids=str)
def test_clips_join_without_a_trace(voice: LoadedVoice, options: dict[str, Any]) -> None:
    whole = convert(voice, LONG, **options)
    for max_chunk_s in (1.0, 2.0):
        joined = convert(voice, LONG, max_chunk_s=max_chunk_s, **options)
        assert distance_db(joined, whole) < -45
        bends, whole_bends = np.abs(np.diff(joined, 2)), np.abs(np.diff(whole, 2))
        for join in np.arange(max_chunk_s, 4.0, max_chunk_s) * RATE:
            near = slice(int(join) - RATE // 10, int(join) + RATE // 10)
            assert bends[near].max() < 1.1 * whole_bends[near].max()
            assert abs(level_db(joined[near]) - level_db(whole[near])) < 0.1


def test_clips_of_another_grid_join_without_a_click(voice: LoadedVoice) -> None:
    options = {"enhance": True, "enhancer_key": 3}
    bends = np.abs(np.diff(convert(voice, LONG, max_chunk_s=2.0, **options), 2))
    near = slice(int(1.9 * RATE), int(2.1 * RATE))
    assert bends[near].max() < 1.1 * max(bends[: near.start].max(), bends[near.stop :].max())


def test_the_overlap_is_heard_where_clips_join_and_nowhere_else(voice: LoadedVoice) -> None:
    usual = convert(voice, LONG, max_chunk_s=2.0)
    join, away = slice(int(1.9 * RATE), int(2.1 * RATE)), slice(0, int(1.9 * RATE))
    for options in ({"overlap_s": 0.3}, {"overlap_s": 0.0}, {"overlap_retain": 0.2}):
        other = convert(voice, LONG, max_chunk_s=2.0, **options)
        assert (other[join] != usual[join]).any()
        assert distance_db(other[away], usual[away]) < -50


def test_a_stretch_after_silence_does_not_depend_on_what_was_before(voice: LoadedVoice) -> None:
    silence = np.zeros(2 * RATE, dtype=np.float32)
    first = convert(voice, np.concatenate((glide(1.5, RATE), silence, LONG[: 2 * RATE])), context_s=0.1)
    second = convert(
        voice, np.concatenate((0.5 * glide(1.5, RATE, 300, 150), silence, LONG[: 2 * RATE])), context_s=0.1
    )
    np.testing.assert_array_equal(first[int(3.6 * RATE) :], second[int(3.6 * RATE) :])


class CountingSource(ArraySource):
    """Hands out a sound in blocks of half a second and counts them."""

    n_read = 0

    def blocks(self) -> Iterator[np.ndarray]:
        for whole in super().blocks():
            for start in range(0, whole.shape[1], RATE // 2):
                self.n_read = min(start + RATE // 2, whole.shape[1])
                yield whole[:, start : start + RATE // 2]


def test_no_more_is_read_ahead_than_one_clip_needs(voice: LoadedVoice) -> None:
    wave = np.concatenate((glide(5.0, RATE), np.zeros(5 * RATE, dtype=np.float32), glide(5.0, RATE)))
    source = CountingSource(wave, RATE)
    settings = ConvertSettings(pitch="pm", speaker="alice", max_chunk_s=1.0, precision="exact")
    scanned = scan(source, None, settings, rumble=True)
    n_written, ahead = 0, 0
    for chunk in render_chunks(voice.voice, source, scanned, 0.0, settings):
        n_written += len(chunk.samples)
        ahead = max(ahead, source.n_read - n_written)
    assert n_written == len(wave)
    assert ahead < 3 * RATE


def test_a_helper_beside_the_rendering_changes_nothing(voice: LoadedVoice, monkeypatch: pytest.MonkeyPatch) -> None:
    wave, options = glide(3.5, RATE), {"max_chunk_s": 1.0, "shallow_diffusion": True, "second_encoding": True}
    alone = convert(voice, wave, **options)
    monkeypatch.setattr(clips, "_helper", lambda device: ThreadPoolExecutor(1))
    np.testing.assert_array_equal(convert(voice, wave, **options), alone)


# What comes in, and what must not be touched.


@pytest.mark.parametrize(
    ("rate", "n_channels", "subtype"),
    [(48_000, 2, "PCM_16"), (8_000, 1, "PCM_16"), (44_100, 1, "PCM_24"), (16_000, 1, "FLOAT"), (22_050, 6, "PCM_16")],
)
def test_kinds_of_recordings(svc: SovitsFolder, alice: Path, rate: int, n_channels: int, subtype: str) -> None:
    wave = glide(0.31, rate)
    soundfile.write(svc / "a.wav", np.stack([wave] * n_channels, axis=1), rate, subtype=subtype)
    words = ["--voice", "alice", "--speaker", "alice", "--pitch", "pm"]
    assert svc.run("convert", "a.wav", "-o", "b.wav", *words).code == 0
    info = probe_audio(svc / "b.wav")
    assert (info.n_channels, info.sample_rate_hz, info.n_samples) == (1, RATE, -(-len(wave) * RATE // rate))
    soundfile.write(svc / "mono.wav", wave, rate, subtype=subtype)
    assert svc.run("convert", "mono.wav", "-o", "c.wav", *words).code == 0
    mixed, alone = (read_audio(svc / name).samples[0] for name in ("b.wav", "c.wav"))
    assert distance_db(mixed, alone) < -40 and np.abs(alone).max() > 0.01


def test_nothing_touches_the_global_generators(sovits_tree: SovitsTree) -> None:
    torch.manual_seed(11)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    voice = load(sovits_tree)
    for options in (*WAYS[2:], {"compatible": True}, {"second_encoding": True, "shallow_diffusion": True}):
        convert(voice, **options)
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpy_before).all()
    torch.manual_seed(12)
    np.testing.assert_array_equal(convert(voice), convert(load(sovits_tree)))


def test_the_pitch_tracker_is_loaded_once_for_the_same_settings(voice: LoadedVoice) -> None:
    sovits, settings = voice.voice, ConvertSettings(pitch="fcpe", voiced_threshold=0.1, speaker="alice", seed=1)
    assert isinstance(sovits, SovitsVoice)
    tracker = sovits.tracker(settings)
    assert sovits.tracker(replace(settings, seed=2)) is tracker
    assert sovits.tracker(replace(settings, voiced_threshold=0.9)) is not tracker
    with pytest.raises(MissingWeightsError, match="rmvpe"):
        sovits.check(replace(settings, pitch="rmvpe", weights_dir=None))
