"""What the decoder's training draws, how it recentres content, and how it judges envelopes."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from recipes.base.corpus import FRAME_16K, FRAME_44K, Recordings, waves
from recipes.base.decoder_batches import (
    AGAIN,
    CONTEXT_FRAMES,
    COPIES,
    CROP_FRAMES,
    ECHOES,
    EXCHANGED,
    Batch,
    BatchSampler,
)
from recipes.base.decoder_content import LearnedContent
from recipes.base.decoder_rendering import FADING_FRAMES, RENDERED_FRAMES, Renderer, VoiceNetworks
from recipes.base.losses import LEVEL_TOLERANCE, EnvelopeLoss, level_loss
from recipes.base.recentring import ContentMeans, without_mean_of_change
from recipes.base.resampling import stretch_time
from timbre.config.fast import ContentShape, DecoderShape
from timbre.content.fast import FastContentEncoder
from timbre.dsp.frontend import SpectralFrontend
from timbre.voice.recentre import TRUST_FRAMES

CPU = torch.device("cpu")
N_FRAMES = (700, 650, 500, 450, 420)
SPEAKERS = ("a", "a", "b", "c", "c")


@pytest.fixture
def recordings(tmp_path: Path) -> Recordings:
    """Five recordings of noise by three speakers, who differ in level and colour."""
    rng, folder = np.random.default_rng(0), tmp_path / "recordings"
    folder.mkdir()
    total = sum(N_FRAMES)
    narrow = rng.normal(0, 2000, total * FRAME_16K)
    edges = np.cumsum((0, *N_FRAMES))
    for file, (start, end) in enumerate(zip(edges[:-1] * FRAME_16K, edges[1:] * FRAME_16K, strict=True)):
        smoothed = np.convolve(narrow[start:end], np.ones(1 + file) / (1 + file), mode="same")
        narrow[start:end] = smoothed * np.linspace(0.2, 1, end - start)
    np.save(folder / "wave_16k.npy", narrow.astype(np.int16))
    np.save(folder / "wave_44k.npy", np.zeros(total * FRAME_44K, dtype=np.int16))
    np.save(folder / "f0.npy", np.repeat((100, 110, 200, 150, 160), N_FRAMES).astype(np.float32))
    index = [
        {"speaker": speaker, "source": "made", "first_frame": int(first), "n_frames": n, "bandwidth_hz": 8000.0}
        for speaker, first, n in zip(SPEAKERS, edges[:-1], N_FRAMES, strict=True)
    ]
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")
    return Recordings(tmp_path)


class EveryTenthBand(nn.Module):
    """Eight bands of the log-mel, as if they were content."""

    def forward(self, log_mel: Tensor) -> Tensor:
        return log_mel[..., ::10]


def mean_of_louder_frames(recordings: Recordings, file: int, n_frames: int) -> Tensor:
    frontend = SpectralFrontend()
    start = recordings.first_frame[file : file + 1]
    power = frontend.power(waves(recordings.wave_16k, start, n_frames, FRAME_16K, CPU))
    loudness = frontend.loudness(power)[0]
    return EveryTenthBand()(frontend.log_mel(power))[0][loudness >= loudness.mean()].mean(dim=0)


def test_at_full_trust_a_files_mean_is_brought_to_the_voices(recordings: Recordings) -> None:
    means = ContentMeans(recordings, SpectralFrontend())
    means.keep_fresh(EveryTenthBand())
    trust = means.trust
    means.trust = torch.ones_like(trust)
    files, voices = np.array([0, 3]), np.array([2, 1])
    whole, half = (means.moves(files, voices, np.full(2, share)) for share in (1.0, 0.5))
    for item, (file, voice) in enumerate(zip(files, voices, strict=True)):
        before, wanted = (mean_of_louder_frames(recordings, number, 400) for number in (file, voice))
        assert (wanted - before).abs().max() > 0.1
        torch.testing.assert_close(before + whole[item, 0], wanted, atol=0.05, rtol=0)  # heard in bfloat16
        torch.testing.assert_close(half[item], 0.5 * whole[item])
    means.trust = trust
    expected = (trust[files] * trust[voices]).unsqueeze(1) * whole
    torch.testing.assert_close(means.moves(files, voices, np.ones(2)), expected)
    assert trust.min() > 100 / (100 + TRUST_FRAMES) and trust.max() < 1


def test_means_are_heard_again_once_in_a_while(recordings: Recordings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recipes.base.recentring.STEPS_BETWEEN", 3)
    means = ContentMeans(recordings, SpectralFrontend())
    heard = []
    for _ in range(4):
        means.keep_fresh(EveryTenthBand())
        heard.append(means.means)
    assert heard[0] is heard[1] is heard[2]
    assert heard[3] is not heard[2]


def test_a_change_keeps_the_plain_mean_and_its_own_variation_over_time() -> None:
    torch.manual_seed(0)
    changed, plain = torch.randn(2, 30, 4) + 3, torch.randn(2, 30, 4)
    moved = without_mean_of_change(changed, plain)
    torch.testing.assert_close(moved.mean(dim=1), plain.mean(dim=1))
    torch.testing.assert_close(moved.diff(dim=1), changed.diff(dim=1))


def faded_sine(frequency_hz: float) -> Tensor:
    tone = torch.sin(2 * math.pi * frequency_hz * torch.arange(16_000) / 16_000)
    return (0.1 * tone * torch.hann_window(16_000)).unsqueeze(0)


@pytest.fixture
def noise() -> Tensor:
    return 0.02 * torch.randn(1, 16_000, generator=torch.Generator().manual_seed(1))


def test_the_envelope_loss_is_the_difference_in_nats(noise: Tensor) -> None:
    loss = EnvelopeLoss(SpectralFrontend())
    full_hz = torch.tensor([8000.0])
    assert loss(noise, noise, full_hz).item() == 0
    assert loss(2 * noise, noise, full_hz).item() == pytest.approx(math.log(4), abs=0.01)
    assert loss(0.5 * noise, noise, full_hz).item() == pytest.approx(math.log(4), abs=0.01)


def test_the_envelope_loss_is_blind_above_nine_tenths_of_the_bandwidth(noise: Tensor) -> None:
    loss = EnvelopeLoss(SpectralFrontend())
    bandwidth_hz = torch.tensor([7000.0])
    for frequency_hz in (6800.0, 7500.0):
        assert loss(noise + faded_sine(frequency_hz), noise, bandwidth_hz).item() < 3e-3
    assert loss(noise + faded_sine(6000.0), noise, bandwidth_hz).item() > 0.02
    assert loss(noise + faded_sine(6800.0), noise, torch.tensor([8000.0])).item() > 0.02


def sampler(recordings: Recordings, seed: int = 0) -> BatchSampler:
    rng = np.random.default_rng(seed)
    return BatchSampler(recordings, rng, strangers=True, converted=False, recentred=True, noisy=True)


def test_copies_keep_their_voice_and_the_others_take_a_strangers(recordings: Recordings) -> None:
    speaker_of, draws = recordings.speaker_of, sampler(recordings)
    for _ in range(20):
        batch = draws.draw()
        assert len(batch.files) == COPIES + EXCHANGED and batch.n_copies == COPIES
        np.testing.assert_array_equal(batch.voices[:COPIES], batch.files[:COPIES])
        assert (speaker_of[batch.voices[COPIES:]] != speaker_of[batch.files[COPIES:]]).all()
        np.testing.assert_allclose(batch.pitch_ratios[:COPIES], 1)


def test_what_took_a_strangers_voice_comes_again_as_a_copy(recordings: Recordings) -> None:
    draws = sampler(recordings)
    batches = [draws.draw() for _ in range(20)]
    plain = [batch for batch in batches if batch.warp == 1]
    assert 2 < len(plain) < len(batches)
    for before, after in itertools.pairwise(plain):
        last = slice(COPIES, COPIES + AGAIN)
        np.testing.assert_array_equal(after.files[:AGAIN], before.files[last])
        np.testing.assert_array_equal(after.starts[:AGAIN], before.starts[last])
    exchanged = {tuple(batch.starts[COPIES : COPIES + AGAIN]) for batch in batches}
    assert not any(tuple(batch.starts[:AGAIN]) in exchanged for batch in batches if batch.warp != 1)


def test_a_seed_draws_the_same_batches(recordings: Recordings) -> None:
    one, other = (sampler(recordings, seed=4) for _ in range(2))
    for _ in range(3):
        first, second = one.draw(), other.draw()
        for name, value in vars(first).items():
            np.testing.assert_array_equal(value, getattr(second, name))


def test_only_what_a_stage_asks_for_is_drawn(recordings: Recordings) -> None:
    rng = np.random.default_rng(0)
    batch = BatchSampler(recordings, rng, strangers=False, converted=True, recentred=False, noisy=False).draw()
    assert batch.n_copies == len(batch.files) == 12
    assert batch.converted is not None and batch.move_shares is None and batch.noise_db is None


class EchoNoter:
    """Content of silence, which notes the echoes that it is given."""

    def __init__(self) -> None:
        self.echoes: list[Tensor | None] = []

    def of_source(self, batch: Batch, log_mel: Tensor, echo: Tensor | None) -> Tensor:
        self.echoes.append(echo)
        return torch.zeros(*log_mel.shape[:2], DecoderShape().content_channels)

    def of_reference(self, batch: Batch, log_mel: Tensor) -> Tensor:
        return torch.zeros(*log_mel.shape[:2], DecoderShape().content_channels)


def plain_batches(recordings: Recordings) -> tuple[Batch, Batch]:
    draws = sampler(recordings)
    first, second = itertools.islice((batch for batch in iter(draws.draw, None) if batch.warp == 1), 2)
    return first, second


@pytest.mark.parametrize("echoes", [False, True])
def test_what_comes_again_is_heard_in_the_voice_that_it_took(recordings: Recordings, echoes: bool) -> None:
    torch.manual_seed(0)
    content = EchoNoter()
    renderer = Renderer(recordings, VoiceNetworks(), content, None, echoes=echoes)
    first, second = plain_batches(recordings)
    with torch.no_grad():
        made = renderer.attempt(first).made[COPIES : COPIES + ECHOES]
        renderer.attempt(second)
    before, echo = content.echoes
    assert before is None
    if not echoes:
        assert echo is None
        return
    assert echo is not None and echo.shape == (ECHOES, (RENDERED_FRAMES - FADING_FRAMES) * FRAME_16K)
    wanted = stretch_time(made, made.shape[1] // FRAME_44K * FRAME_16K)
    inner = slice(FRAME_16K * 4, -FRAME_16K * 4)  # where resampling a part and the whole do not differ
    heard = echo[:, CONTEXT_FRAMES * FRAME_16K :]
    torch.testing.assert_close(heard[:, inner], wanted[:, inner], atol=0.01 * float(made.abs().max()), rtol=0)


def test_an_echo_takes_the_place_of_the_perturbed_copy(recordings: Recordings) -> None:
    torch.manual_seed(0)
    encoder = FastContentEncoder(**vars(ContentShape()))
    generator = torch.Generator().manual_seed(0)
    content = LearnedContent(encoder, recordings, generator, recentred=False)
    _, batch = plain_batches(recordings)
    echo = 0.1 * torch.randn(ECHOES, (RENDERED_FRAMES - FADING_FRAMES) * FRAME_16K)
    log_mel = torch.zeros(len(batch.files), CROP_FRAMES, 80)
    with torch.no_grad():
        generator.manual_seed(1)
        without = content.of_source(batch, log_mel, None)
        generator.manual_seed(1)
        heard = content.of_source(batch, log_mel, echo)
        with torch.autocast("cpu", torch.bfloat16):
            frontend = encoder.frontend
            wanted = encoder(frontend.log_mel(frontend.power(echo)))
    settled = slice(CONTEXT_FRAMES, RENDERED_FRAMES - FADING_FRAMES - 8)  # before the encoder sees the echo's end
    torch.testing.assert_close(heard[:ECHOES, settled], wanted[:, settled].float(), atol=0.02, rtol=0.02)
    assert (heard[:ECHOES] - without[:ECHOES]).abs().mean() > 0.1
    torch.testing.assert_close(heard[ECHOES:], without[ECHOES:])


def test_levels_may_differ_by_the_tolerance_only() -> None:
    level = torch.linspace(-4, -2, 200).expand(2, -1)
    assert level_loss(level + 0.9 * LEVEL_TOLERANCE, level).item() == 0
    for difference in (1.5, -1.5):
        assert level_loss(level + difference, level).item() == pytest.approx(1.5 - LEVEL_TOLERANCE, abs=1e-5)


def test_level_is_slow_and_pauses_do_not_count() -> None:
    level = torch.full((1, 200), -2.0)
    flutter = level + 0.2 * torch.tensor([1.0, -1.0]).repeat(100)
    assert level_loss(flutter, level).item() == 0
    paused = torch.cat((level, level - 10), dim=1)
    louder_pause = torch.cat((level, level - 5), dim=1)
    assert level_loss(louder_pause, paused).item() < 0.05
