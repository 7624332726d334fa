"""Stretching, volume and resampling against recorded results (tolerances of the golden README)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.golden_cases import read_arrays
from timbre.dsp.sinc_resample import sinc_resample
from timbre.dsp.stretch import stretch
from timbre.dsp.volume import frame_volume


def test_stretch_picks_the_recorded_source_frames(golden_dir: Path) -> None:
    recorded = read_arrays(golden_dir / "stretch.npz")
    names = [name for name in recorded if name.startswith(("left_", "nearest_"))]
    assert names
    for name in names:
        mode, n_source, n_frames = name.split("_")
        source = torch.arange(int(n_source), dtype=torch.float32)[None]
        assert torch.equal(stretch(source, int(n_frames), mode)[0], torch.from_numpy(recorded[name])), name


@pytest.mark.parametrize("mode", ["linear", "area"])
def test_stretch_passes_other_modes_through(golden_dir: Path, mode: str) -> None:
    recorded = read_arrays(golden_dir / "stretch.npz")
    names = [name for name in recorded if name.startswith(f"rand_{mode}_")]
    assert names
    for name in names:
        stretched = stretch(torch.from_numpy(recorded["rand_in"]), recorded[name].shape[-1], mode)
        np.testing.assert_allclose(stretched.numpy(), recorded[name], atol=1e-6)


def test_volume(golden_dir: Path) -> None:
    recorded = read_arrays(golden_dir / "volume.npz")
    names = [name.removeprefix("in_") for name in recorded if name.startswith("in_")]
    assert names
    for name in names:
        volume = frame_volume(torch.from_numpy(recorded[f"in_{name}"]), int(name.split("_")[0]))
        np.testing.assert_allclose(volume.numpy(), recorded[f"out_{name}"], atol=1e-6, err_msg=name)


def test_sinc_resampler(golden_dir: Path) -> None:
    recorded = read_arrays(golden_dir / "f0_rmvpe.npz")
    resampled = sinc_resample(torch.from_numpy(recorded["sing_x"]), 44_100, 16_000, 128)
    assert len(resampled) == len(recorded["sing_a16"])
    np.testing.assert_allclose(resampled.numpy(), recorded["sing_a16"], atol=2e-6)
