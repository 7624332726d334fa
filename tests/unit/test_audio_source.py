"""Sounds that are heard more than once, and finding them in folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from timbre.audio.listing import find_sounds
from timbre.audio.source import ArraySource, FileSource, mix_weights, mono_blocks
from timbre.errors import AudioError

RATE = 8_000


def write_noise(path: Path, seconds: float = 25.0, n_channels: int = 2) -> np.ndarray:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (round(seconds * RATE), n_channels)).astype(np.float32)
    soundfile.write(path, samples, RATE, **({"subtype": "FLOAT"} if path.suffix == ".wav" else {}))
    return samples.T


def test_file_is_the_same_as_the_array_and_every_time(tmp_path: Path) -> None:
    samples = write_noise(tmp_path / "a.wav")
    file, array = FileSource(tmp_path / "a.wav"), ArraySource(samples, RATE)
    for _ in range(2):
        blocks = list(file.blocks())
        assert [block.shape[1] for block in blocks] == [10 * RATE, 10 * RATE, 5 * RATE]
        np.testing.assert_array_equal(np.concatenate(blocks, axis=1), samples)
    from_file, from_array = (
        np.concatenate(list(mono_blocks(source, mix_weights(source), 16_000))) for source in (file, array)
    )
    np.testing.assert_allclose(from_file, from_array, atol=1e-6)
    assert (file.seconds, file.is_cut_off) == (25.0, False)


def test_length_that_the_header_does_not_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no ffmpeg
    path = tmp_path / "piped.flac"
    write_noise(path, 1.0, n_channels=1)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)  # a program that wrote to a pipe could not come back to fill in the number of samples
    path.write_bytes(data)
    with pytest.raises(AudioError, match=r"piped.flac does not say its length, .* convert it, or install"):
        FileSource(path)


@pytest.mark.parametrize("promised", [0x7FFF_F024, 0xFFFF_FFFF])
def test_wav_from_a_pipe_is_not_called_cut_off(tmp_path: Path, promised: int) -> None:
    path = tmp_path / "a.wav"
    write_noise(path, 0.5)
    data = bytearray(path.read_bytes())
    for changed, cut_off in ((promised, False), (len(data) + 1000, True)):
        data[4:8] = changed.to_bytes(4, "little")
        path.write_bytes(data)
        assert FileSource(path).is_cut_off is cut_off


def test_sounds_of_a_folder_are_found_in_order(tmp_path: Path) -> None:
    for name in ("b.wav", "A/z.MP3", ".hidden.wav", ".cache/x.wav", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.wav").mkdir()
    assert find_sounds(tmp_path) == [tmp_path / "A/z.MP3", tmp_path / "b.wav"]
    with pytest.raises(AudioError, match="holds no sound files"):
        find_sounds(tmp_path / "folder.wav")


def test_rates_that_no_voice_has_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "slow.wav", np.zeros(100), 48)
    with pytest.raises(AudioError, match=r"slow.wav has a sample rate of 48 Hz, and voices need at least 1000"):
        FileSource(tmp_path / "slow.wav")
    with pytest.raises(AudioError, match="give the rate in Hz"):
        ArraySource(np.zeros(100), 48)
