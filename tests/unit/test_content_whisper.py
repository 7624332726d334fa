"""The content encoders with Whisper's network: long sounds, the forms of its files, refusals."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.unit.test_content_hubert import save_fairseq
from timbre.content import whisper
from timbre.content.contract import HOP_SAMPLES, SAMPLE_RATE_HZ
from timbre.content.encoders import ENCODERS
from timbre.content.whisper import FADE_FRAMES, WINDOW_FRAMES, WhisperEncoder, whisper_log_mel, window_starts
from timbre.content.whisper_network import WhisperNetwork, WhisperSizes, read_whisper
from timbre.errors import WeightsError

WIDTH, LAYERS, HEADS, INNER = 8, 2, 2, 12
SHORT_WINDOW_FRAMES = 300


def whisper_state(*, n_mels: int = 80, n_frames: int = WINDOW_FRAMES) -> dict[str, Tensor]:
    """Make random weights by the names of OpenAI's files, with something of a decoder."""
    shapes: dict[str, tuple[int, ...]] = {"encoder.positional_embedding": (n_frames, WIDTH)}
    layers = {"encoder.conv1": (WIDTH, n_mels, 3), "encoder.conv2": (WIDTH, WIDTH, 3), "encoder.ln_post": (WIDTH,)}
    for n in range(LAYERS):
        stem = f"encoder.blocks.{n}."
        layers |= {f"{stem}attn.{name}": (WIDTH, WIDTH) for name in ("query", "key", "value", "out")}
        layers |= {f"{stem}mlp.0": (INNER, WIDTH), f"{stem}mlp.2": (WIDTH, INNER)}
        layers |= {f"{stem}attn_ln": (WIDTH,), f"{stem}mlp_ln": (WIDTH,)}
    for name, shape in layers.items():
        shapes[f"{name}.weight"] = shape
        if not name.endswith(".key"):
            shapes[f"{name}.bias"] = shape[:1]
    shapes |= {"decoder.ln.weight": (WIDTH,), "decoder.blocks.0.attn.key.weight": (WIDTH, WIDTH)}
    generator = torch.Generator().manual_seed(5)
    return {key: torch.randn(shape, generator=generator) * 0.4 for key, shape in shapes.items()}


def save_whisper(path: Path, state: dict[str, Tensor] | None = None) -> Path:
    dims = {"n_audio_head": HEADS, "n_audio_state": WIDTH}
    torch.save({"dims": dims, "model_state_dict": state or whisper_state()}, path)
    return path


@pytest.fixture
def network(tmp_path: Path) -> WhisperNetwork:
    """A network that hears 6 s."""
    return read_whisper(save_whisper(tmp_path / "network.pt", whisper_state(n_frames=SHORT_WINDOW_FRAMES)))


def noise(n_samples: int) -> Tensor:
    return torch.randn(n_samples, generator=torch.Generator().manual_seed(6)) * 0.1


class CountingNetwork(nn.Module):
    """Gives 0 for the first window, 1 for the second, and so on."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes = WhisperSizes(80, SHORT_WINDOW_FRAMES, 1, 0, 1, 1)
        self.positions = nn.Parameter(torch.zeros(1), requires_grad=False)
        self.calls = 0

    def forward(self, log_mel: Tensor) -> Tensor:
        self.calls += 1
        return torch.full((1, SHORT_WINDOW_FRAMES, 1), self.calls - 1.0)


class LoudnessNetwork(CountingNetwork):
    """Gives the mean of each frame's bands."""

    def forward(self, log_mel: Tensor) -> Tensor:
        return log_mel.mean(dim=1).unflatten(-1, (-1, 2)).mean(dim=-1)[..., None]


@pytest.mark.parametrize("n_frames", [1, 299, 300, 301, 399, 400, 499, 500, 501, 700, 701, 12_345])
def test_windows_cover_everything_and_overlap_enough(n_frames: int) -> None:
    starts = window_starts(n_frames, SHORT_WINDOW_FRAMES)
    assert starts[0] == 0
    if n_frames <= SHORT_WINDOW_FRAMES:
        assert starts == [0]
        return
    assert starts[-1] == n_frames - SHORT_WINDOW_FRAMES
    steps = [after - before for before, after in pairwise(starts)]
    assert 0 < max(steps) <= SHORT_WINDOW_FRAMES - FADE_FRAMES
    assert max(steps) - min(steps) <= 1
    one_less = SHORT_WINDOW_FRAMES + (len(starts) - 2) * (SHORT_WINDOW_FRAMES - FADE_FRAMES)
    assert one_less < n_frames


@pytest.mark.parametrize("n_frames", [301, 400, 470, 500])
def test_features_pass_from_window_to_window_in_the_middle_of_their_overlap(n_frames: int) -> None:
    features = WhisperEncoder(CountingNetwork()).encode(torch.zeros(n_frames * HOP_SAMPLES))[:, 0]  # type: ignore[arg-type]
    assert len(features) == n_frames
    middle = n_frames / 2
    expected = ((torch.arange(n_frames) + 0.5 - middle) / FADE_FRAMES + 0.5).clamp(0, 1)
    torch.testing.assert_close(features, expected)


@pytest.mark.parametrize("n_frames", [200, 700, 1234])
def test_a_click_is_found_where_it_is(n_frames: int) -> None:
    encoder = WhisperEncoder(LoudnessNetwork())  # type: ignore[arg-type]
    for frame in (0, 57, n_frames // 2, n_frames - 1):
        wave = noise(n_frames * HOP_SAMPLES + 17) * 0.01
        wave[frame * HOP_SAMPLES + HOP_SAMPLES // 2] = 1.0
        features = encoder.encode(wave)[:, 0]
        assert len(features) == n_frames
        assert abs(int(features.argmax()) - frame) <= 1


def test_a_long_sound_is_encoded_like_its_parts(network: WhisperNetwork) -> None:
    encoder, start = WhisperEncoder(network), 180
    wave = noise((start + SHORT_WINDOW_FRAMES) * HOP_SAMPLES)
    features = encoder.encode(wave)
    first, last = encoder.encode(wave[: SHORT_WINDOW_FRAMES * HOP_SAMPLES]), encoder.encode(wave[start * HOP_SAMPLES :])
    fade_start = (start + SHORT_WINDOW_FRAMES - FADE_FRAMES) // 2
    torch.testing.assert_close(features[:fade_start], first[:fade_start])
    after = fade_start + FADE_FRAMES
    torch.testing.assert_close(features[after:], last[after - start :])


@pytest.mark.parametrize("n_samples", [0, 1, 319, 320, 639, 640, 96_000, 96_319])
def test_any_length_gives_a_frame(network: WhisperNetwork, n_samples: int) -> None:
    encoder = WhisperEncoder(network)
    features = encoder.encode(noise(n_samples))
    assert features.shape == (max(1, n_samples // HOP_SAMPLES), WIDTH)
    assert features.isfinite().all()
    assert (encoder.dimensions, encoder.sample_rate_hz, encoder.hop_samples) == (WIDTH, 16_000, 320)


def test_a_short_sound_is_followed_by_zeros(network: WhisperNetwork) -> None:
    encoder, wave = WhisperEncoder(network), noise(10_000)
    padded = torch.cat((wave, torch.zeros(SHORT_WINDOW_FRAMES * HOP_SAMPLES - len(wave))))
    assert torch.equal(encoder.encode(wave), encoder.encode(padded)[: 10_000 // HOP_SAMPLES])


def test_each_sound_of_a_batch_has_its_own_range() -> None:
    waves = torch.stack((noise(SAMPLE_RATE_HZ), noise(SAMPLE_RATE_HZ) * 1e-6, torch.zeros(SAMPLE_RATE_HZ)))
    log_mel = whisper_log_mel(waves)
    assert log_mel.shape == (3, 80, 100)
    for wave, alone in zip(waves, log_mel, strict=True):
        torch.testing.assert_close(whisper_log_mel(wave[None])[0], alone)
    assert (log_mel[2] == (-10 + 4) / 4).all()
    quietest, loudest = log_mel.amin(dim=(1, 2)), log_mel.amax(dim=(1, 2))
    assert (loudest - quietest <= 8 / 4 + 1e-6).all()


def hugging_face_name(key: str) -> str:
    renames = {
        r"positional_embedding": "embed_positions.weight",
        r"ln_post": "layer_norm",
        r"blocks\.(\d+)\.": r"layers.\1.",
        r"attn_ln": "self_attn_layer_norm",
        r"mlp_ln": "final_layer_norm",
        r"\.attn\.(q|k|v)(?:uery|ey|alue)": r".self_attn.\1_proj",
        r"\.attn\.out": ".self_attn.out_proj",
        r"mlp\.0": "fc1",
        r"mlp\.2": "fc2",
    }
    for pattern, theirs in renames.items():
        key = re.sub(pattern, theirs, key)
    return key


@pytest.mark.parametrize("prefix", ["model.", ""])
@pytest.mark.parametrize("form", ["pytorch_model.bin", "model.safetensors"])
def test_a_hugging_face_folder_gives_the_same(tmp_path: Path, network: WhisperNetwork, prefix: str, form: str) -> None:
    state = whisper_state(n_frames=SHORT_WINDOW_FRAMES)
    renamed = {prefix + hugging_face_name(key): value for key, value in state.items()}
    save = save_file if form.endswith("safetensors") else torch.save
    save(renamed, tmp_path / form)
    (tmp_path / "config.json").write_text(json.dumps({"encoder_attention_heads": HEADS}))
    wave = noise(SAMPLE_RATE_HZ)
    for path in (tmp_path, tmp_path / form):
        got = read_whisper(path)
        assert got.sizes == network.sizes
        assert torch.equal(WhisperEncoder(got).encode(wave), WhisperEncoder(network).encode(wave))


def test_half_weights_run_in_single(tmp_path: Path) -> None:
    halves = {key: value.half() for key, value in whisper_state(n_frames=SHORT_WINDOW_FRAMES).items()}
    singles = {key: value.float() for key, value in halves.items()}
    wave = noise(SAMPLE_RATE_HZ)
    got, expected = (
        WhisperEncoder(read_whisper(save_whisper(tmp_path / "a.pt", state))).encode(wave) for state in (halves, singles)
    )
    assert got.dtype == torch.float32
    assert torch.equal(got, expected)


def test_the_decoder_is_not_kept(network: WhisperNetwork) -> None:
    assert not any("decoder" in key for key in network.state_dict())


@pytest.mark.parametrize(
    ("state", "dimensions", "message"),
    [
        (whisper_state(n_mels=128), WIDTH, "has 128 mel bands, but toy needs 80; give large-v2.pt"),
        (whisper_state(n_frames=200), WIDTH, "has 200 frames in its window, but toy needs 1500; give large-v2.pt"),
        (whisper_state(), 1280, "has 8 features for each frame, but toy needs 1280; give large-v2.pt"),
    ],
)
def test_another_size_of_whisper_is_refused(
    tmp_path: Path, state: dict[str, Tensor], dimensions: int, message: str
) -> None:
    spec = replace(ENCODERS["whisper-ppg-large"], name="toy", dimensions=dimensions)
    with pytest.raises(WeightsError, match=rf"^'large-v3\.pt' {re.escape(message)}$"):
        whisper.load(spec, save_whisper(tmp_path / "large-v3.pt", state))


def test_the_right_size_is_loaded(tmp_path: Path) -> None:
    spec = replace(ENCODERS["whisper-ppg"], dimensions=WIDTH)
    assert whisper.load(spec, save_whisper(tmp_path / "a.pt")).to("cpu").dimensions == WIDTH


def unfitting_states() -> Iterator[dict[str, Tensor]]:
    for removed in ("encoder.conv1.weight", "encoder.blocks.1.mlp.2.bias", "encoder.blocks.0.attn.query.bias"):
        yield {key: value for key, value in whisper_state().items() if key != removed}
    yield whisper_state() | {"encoder.blocks.5.attn_ln.bias": torch.zeros(WIDTH)}
    yield whisper_state() | {"encoder.conv2.weight": torch.zeros(WIDTH, WIDTH, 5)}


@pytest.mark.parametrize("state", list(unfitting_states()))
def test_an_incomplete_network_is_refused(tmp_path: Path, state: dict[str, Tensor]) -> None:
    with pytest.raises(WeightsError, match=r"'a\.pt' holds no complete Whisper network"):
        read_whisper(save_whisper(tmp_path / "a.pt", state))


def test_damaged_dimensions_are_refused(tmp_path: Path) -> None:
    for dims in ({"n_audio_head": 3}, {"n_audio_head": -2}, {"n_audio_head": "two"}, None):
        torch.save({"dims": dims, "model_state_dict": whisper_state()}, tmp_path / "a.pt")
        with pytest.raises(WeightsError, match="holds no complete Whisper network"):
            read_whisper(tmp_path / "a.pt")


def test_the_file_of_another_encoder_is_refused(tmp_path: Path) -> None:
    message = r"'a\.pt' is a content encoder of the HuBERT family; give a Whisper speech recogniser"
    with pytest.raises(WeightsError, match=message):
        read_whisper(save_fairseq(tmp_path / "a.pt"))
