"""Full-size checkpoints of every form, with random weights, and real phrases: imported, converted, joined."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import timbre
from benchmarks.compat import without_offset
from benchmarks.full_size import FORMS, RATE, make_weights, save_model
from timbre.cli.main import main

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an encoder, a vocoder and a diffusion model of full size."""
    root = tmp_path_factory.mktemp("full size")
    make_weights(root)
    return root


@pytest.mark.parametrize("form", FORMS)
def test_import_and_convert(
    form: str, tree: Path, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIMBRE_VOICES", str(tmp_path / "voices"))
    model = save_model(tmp_path, FORMS[form])
    assert main(["voice", "import", "--model", str(model), "--name", "alice", "--weights-dir", str(tree)]) == 0
    source, result = repository / "examples" / "spoken.flac", tmp_path / "result.wav"
    words = ["convert", str(source), "--voice", "alice", "-o", str(result), "--weights-dir", str(tree)]
    assert main(words) == 0
    wave, rate = soundfile.read(result, dtype="float32")
    info = soundfile.info(source)
    assert rate == RATE and len(wave) == math.ceil(info.frames * RATE / info.samplerate)
    assert np.isfinite(wave).all() and without_offset(wave).std() > 1e-4


def test_chunks_and_their_joins(tree: Path, repository: Path, tmp_path: Path) -> None:
    """Clips of 2 s against the whole: the encoder and the prior hear the whole clip, so they differ a little."""
    voice = timbre.load_sovits_voice(model=save_model(tmp_path, {}), weights_dir=tree)
    wave, rate = soundfile.read(repository / "examples" / "sung.flac", dtype="float32")
    options: dict[str, Any] = {"weights_dir": str(tree), "silence": "convert", "precision": "exact"}
    whole, clips = (
        voice.convert(wave, rate, timbre.ConvertSettings(max_chunk_s=size, **options)) for size in (600.0, 2.0)
    )
    one, other = without_offset(whole), without_offset(clips)
    assert 10 * np.log10(np.mean((one - other) ** 2) / np.mean(one**2)) < -40
    assert 10 * np.log10(np.mean((whole - clips) ** 2) / np.mean(whole**2)) < -50
    jerk = np.abs(np.diff(clips, 2))
    cuts = [round(len(wave) / rate * RATE * part / 4) for part in (1, 2, 3)]
    at_joins = max(jerk[cut - RATE // 10 : cut + RATE // 10].max() for cut in cuts)
    assert at_joins <= jerk.max() and at_joins <= 1.05 * np.abs(np.diff(whole, 2)).max()


@pytest.mark.parametrize(
    "options",
    [
        {"shallow_diffusion": True, "diffusion_steps": 20},
        {"shallow_diffusion": True, "second_encoding": True, "diffusion_steps": 20},
        {"enhance": True, "enhancer_key": 3},
    ],
)
def test_diffusion_and_enhancer(options: dict[str, Any], tree: Path, repository: Path, tmp_path: Path) -> None:
    voice = timbre.load_sovits_voice(
        model=save_model(tmp_path, {}), diffusion_model=tree / "model_0.pt", weights_dir=tree
    )
    wave, rate = soundfile.read(repository / "examples" / "spoken.flac", dtype="float32")
    wave = wave[: 2 * rate]
    settings = timbre.ConvertSettings(weights_dir=str(tree), **options)
    result = voice.convert(wave, rate, settings)
    assert len(result) == math.ceil(len(wave) * RATE / rate) and np.isfinite(result).all()
    plain = voice.convert(wave, rate, timbre.ConvertSettings(weights_dir=str(tree)))
    assert np.abs(result - plain).max() > 1e-3
