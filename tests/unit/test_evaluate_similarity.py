from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from timbre.errors import AudioError, MissingExtraError, WeightsError
from timbre.evaluate import similarity, speaker_encoder
from timbre.evaluate.similarity import Similarity, embed_speaker, mean_voice, measure_similarity
from timbre.evaluate.speaker_encoder import SpeakerEncoder, mel_power
from timbre.evaluate.waves import MonoWave

RATE = 16_000


@pytest.fixture
def toy_encoder(monkeypatch: pytest.MonkeyPatch) -> SpeakerEncoder:
    """The same network with eight units and random weights, large enough for voices to differ."""
    torch.manual_seed(0)
    encoder = SpeakerEncoder(width=8).eval().requires_grad_(False)
    for weights in encoder.parameters():
        weights.mul_(4)
    monkeypatch.setattr(similarity, "load_speaker_encoder", lambda: encoder)
    return encoder


def noise(seconds: float, seed: int = 0, level: float = 0.1) -> NDArray[np.float32]:
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def buzz(hz: float, seconds: float = 2.0) -> MonoWave:
    time_s = np.arange(round(seconds * RATE)) / RATE
    return MonoWave(sum(0.1 / k * np.sin(2 * np.pi * k * hz * time_s) for k in range(1, 20)).astype(np.float32), RATE)


def test_mel_power_of_a_tone() -> None:
    amplitude, hz = 0.5, 1000.0
    tone = amplitude * torch.sin(2 * torch.pi * hz * torch.arange(RATE) / RATE)
    mel = mel_power(tone)
    assert mel.shape == (101, 40)
    # a Hann window of 400 sums to 200, so the peak bin holds 50^2 and its neighbours, 40 Hz away, a quarter
    frame = mel[50].double()
    step_mel = (15 + np.log(8) / (np.log(6.4) / 27)) / 41  # bands lie evenly on the mel scale, 1 kHz is at 15
    centre = int(np.argmax(frame.numpy()))
    assert abs((centre + 1) * step_mel - 15) < 0.5 * step_mel
    assert float(frame.sum()) == pytest.approx(_band_power_of_tone(hz, amplitude), rel=1e-3)
    assert float(mel_power(2 * tone)[50].sum() / mel[50].sum()) == pytest.approx(4.0, rel=1e-4)


def _band_power_of_tone(hz: float, amplitude: float) -> float:
    """Sum over all bands, from the triangles' definition, of the three bins that a Hann window gives a tone."""
    log_step = np.log(6.4) / 27
    mel = np.linspace(0, 15 + np.log(8) / log_step, 42)
    edges = np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * log_step))
    peak = (amplitude / 2 * 200) ** 2
    total = 0.0
    for bin_hz, power in ((hz - 40, peak / 4), (hz, peak), (hz + 40, peak / 4)):
        for low, mid, high in zip(edges[:-2], edges[1:-1], edges[2:], strict=True):
            weight = max(0.0, min((bin_hz - low) / (mid - low), (high - bin_hz) / (high - mid)))
            total += power * weight * 2 / (high - low)
    return total


def test_network_output_is_of_unit_length_and_not_negative(toy_encoder: SpeakerEncoder) -> None:
    vectors = toy_encoder(torch.rand(3, 20, 40))
    assert vectors.shape == (3, 8)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(3), atol=1e-5)
    assert bool((vectors >= 0).all())


@pytest.mark.parametrize(
    ("seconds", "starts"),
    [
        (0.5, [0]),  # one part, however short
        (1.6, [0]),
        (1.7, [0]),  # the second part would be 0.58 full
        (2.1, [0, 77]),  # 0.83 full
        (4.0, [0, 77, 154, 231]),
    ],
)
def test_partial_utterances(seconds: float, starts: list[int]) -> None:
    assert similarity._partial_starts(round(seconds * RATE)) == starts


def test_long_silence_is_cut_and_short_pauses_stay() -> None:
    pause = np.zeros(round(0.3 * RATE), dtype=np.float32)
    long_pause = np.zeros(3 * RATE, dtype=np.float32)
    assert len(similarity._trim_long_silence(np.concatenate([noise(1), pause, noise(1)]))) == pytest.approx(2.3 * RATE)
    kept = len(similarity._trim_long_silence(np.concatenate([noise(1), long_pause, noise(1)]))) / RATE
    assert kept == pytest.approx(2.4, abs=0.1)


def test_quiet_sounds_are_raised_and_loud_ones_left() -> None:
    rms = np.sqrt(np.mean(similarity._raise_level(noise(1, level=0.001)) ** 2))
    assert 20 * np.log10(rms) == pytest.approx(-30.0, abs=1e-3)
    assert np.array_equal(similarity._raise_level(noise(1, level=0.2)), noise(1, level=0.2))


def test_level_and_surrounding_silence_do_not_change_the_voice(toy_encoder: SpeakerEncoder) -> None:
    voice = buzz(150)
    quiet = MonoWave(voice.samples * np.float32(0.01), RATE)
    quieter = MonoWave(voice.samples * np.float32(0.001), RATE)
    assert embed_speaker(quiet) == pytest.approx(embed_speaker(quieter), abs=1e-5)


def test_silence_is_refused(toy_encoder: SpeakerEncoder) -> None:
    with pytest.raises(AudioError, match=r"0\.00 s of sound"):
        embed_speaker(MonoWave(np.zeros(RATE, dtype=np.float32), RATE))
    with pytest.raises(AudioError, match="no reference"):
        mean_voice([])


def test_similarity_of_known_cases(toy_encoder: SpeakerEncoder) -> None:
    source, target = buzz(120), buzz(300)
    copied = measure_similarity(source, target, [target, target])
    assert copied.to_target == pytest.approx(1.0, abs=1e-5)
    assert copied.ceiling == pytest.approx(1.0, abs=1e-5)
    assert copied.to_source == pytest.approx(copied.floor, abs=1e-6)
    assert copied.floor < 0.999
    unchanged = measure_similarity(source, source, [target])
    assert unchanged.to_target == pytest.approx(unchanged.floor)
    assert unchanged.to_source == pytest.approx(1.0, abs=1e-5)
    assert unchanged.ceiling is None


def test_a_silent_result_resembles_nobody(toy_encoder: SpeakerEncoder) -> None:
    result = measure_similarity(buzz(120), MonoWave(np.zeros(RATE, dtype=np.float32), RATE), [buzz(300)])
    assert result == Similarity(0.0, 0.0, result.floor, None)


def test_missing_and_wrong_weights_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wrong = tmp_path / "pretrained.pt"
    torch.save({"model_state": {"linear.weight": torch.zeros(2, 2)}}, wrong)
    monkeypatch.setattr(speaker_encoder, "packaged_asset", lambda *names, **told: wrong)
    with pytest.raises(WeightsError, match="do not fit"):
        speaker_encoder.load_speaker_encoder.__wrapped__()

    def not_installed(package: str, *names: str, extra: str, needed_for: str) -> Path:
        raise MissingExtraError(package, extra, needed_for)

    monkeypatch.setattr(speaker_encoder, "packaged_asset", not_installed)
    with pytest.raises(MissingExtraError, match="speaker similarity needs the package 'resemblyzer'"):
        speaker_encoder.load_speaker_encoder.__wrapped__()
