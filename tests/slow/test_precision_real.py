"""The fast path is near the exact one, for full-size networks of every form and real phrases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

import timbre
from benchmarks.compat import signal_to_difference_db, without_offset
from benchmarks.full_size import FORMS, RATE, VOCODER, make_weights, save_model
from timbre.config.vocoder import VocoderShape
from timbre.nn.precision import reduced_type
from timbre.pitch.pm import PmTracker
from timbre.vocoder.mel import VocoderMel

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(reduced_type("auto", "cpu") is None, reason="this processor has no units for bfloat16"),
]

DIFFUSION = [{"shallow_diffusion": True}, {"only_diffusion": True}, {"enhance": True}]
CASES = [(form, {}) for form in FORMS if form != "snake"] + [("4.1", options) for options in DIFFUSION]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("full size")
    make_weights(root)
    return root


@pytest.mark.parametrize(("form", "options"), CASES)
@pytest.mark.parametrize("name", ["spoken.flac", "sung.flac"])
def test_fast_is_near_exact(
    form: str, options: dict[str, Any], name: str, tree: Path, repository: Path, tmp_path: Path
) -> None:
    files = {"diffusion_model": tree / "model_0.pt", "vocoder": tree / "nsf_hifigan"} if options else {}
    voice = timbre.load_sovits_voice(model=save_model(tmp_path, FORMS[form]), weights_dir=tree, **files)
    wave, rate = soundfile.read(repository / "examples" / name, dtype="float32")
    results = [
        voice.convert(
            wave[: 4 * rate],
            rate,
            timbre.ConvertSettings(weights_dir=str(tree), precision=precision, pitch_shift=0.0, **options),
        )
        for precision in ("exact", "fast")
    ]
    assert 35 < signal_to_difference_db(*results) < 100  # farther would be no reduced precision at all
    level = 0.3 / np.abs(without_offset(results[0])).max()
    exact, fast = (level * without_offset(result) for result in results)
    assert np.abs(log_mel(exact) - log_mel(fast)).mean() < 0.05
    if options.get("only_diffusion"):
        return  # a random mel has no pitch
    pitch = [PmTracker().track(sound, RATE, 441).f0_hz for sound in (exact, fast)]
    both = (pitch[0] > 0) & (pitch[1] > 0)
    assert both.mean() > 0.5
    assert np.median(np.abs(1200 * np.log2(pitch[0][both] / pitch[1][both]))) < 1


def log_mel(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mel spectrogram that these models are trained to match."""
    mel = VocoderMel(VocoderShape.from_config(VOCODER | {"num_mels": 80, "fmin": 0, "fmax": RATE / 2}))
    return mel(torch.from_numpy(sound)[None]).numpy()
