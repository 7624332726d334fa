"""Reading and writing sound files."""

from __future__ import annotations

import io
import os
import stat
import sys

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from timbre.audio.mixing import MixMeter, to_mono
from timbre.audio.reader import probe_audio, read_audio, read_blocks, read_tags
from timbre.audio.sound import Sound
from timbre.audio.writer import AudioWriter, write_audio
from timbre.errors import AudioError, OutputError, SettingsError

LOSSLESS = {("wav", "pcm_24"): 2**-23, ("wav", "pcm_16"): 2**-15, ("wav", "float"): 0.0, ("flac", "pcm_24"): 2**-23}


def tone(n_channels: int = 1, sample_rate_hz: int = 44100, duration_s: float = 0.3, level: float = 0.5) -> Sound:
    time = np.arange(round(duration_s * sample_rate_hz)) / sample_rate_hz
    waves = [level * np.sin(2 * np.pi * 220 * (1 + channel) * time) for channel in range(n_channels)]
    return Sound(np.array(waves, dtype=np.float32), sample_rate_hz)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    case=st.sampled_from(sorted(LOSSLESS)),
    rate=st.sampled_from([8000, 16000, 44100, 48000, 96000, 192000]),
    n_channels=st.sampled_from([1, 2, 6]),
    n_samples=st.integers(1, 3000),
    seed=st.integers(0, 1000),
)
def test_lossless_round_trip(tmp_path, case, rate, n_channels, n_samples, seed):
    format, encoding = case
    samples = np.random.default_rng(seed).uniform(-1, 1, (n_channels, n_samples)).astype(np.float32)
    path = tmp_path / "sound.bin"
    assert write_audio(path, Sound(samples, rate), format=format, encoding=encoding, force=True) == 0
    read = read_audio(path)
    assert read.sample_rate_hz == rate and read.samples.dtype == np.float32 and read.samples.shape == samples.shape
    assert np.abs(read.samples - samples).max() <= LOSSLESS[case] * 1.01


@pytest.mark.parametrize(
    ("format", "rate", "n_channels"),
    [
        ("ogg", 8000, 1), ("ogg", 44100, 2), ("ogg", 48000, 2), ("ogg", 96000, 1),
        ("opus", 16000, 1), ("opus", 48000, 2),
        ("mp3", 8000, 1), ("mp3", 22050, 2), ("mp3", 44100, 2), ("mp3", 48000, 1),
    ],
)  # fmt: skip
def test_lossy_round_trip_keeps_length_and_sound(tmp_path, format, rate, n_channels):
    sound = tone(n_channels, rate, duration_s=1.0)
    path = tmp_path / f"sound.{format}"
    write_audio(path, sound)
    read = read_audio(path)
    assert read.samples.shape == sound.samples.shape
    assert read.sample_rate_hz == rate
    error = read.samples - sound.samples
    assert np.sqrt(np.mean(error[:, 2000:-2000] ** 2)) < 0.03 * np.sqrt(np.mean(sound.samples**2))


@pytest.mark.parametrize("encoding", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"])
def test_reads_every_width(tmp_path, encoding):
    sound = tone()
    soundfile.write(tmp_path / "w.wav", sound.samples.T, 44100, subtype=encoding)
    tolerance = 0.02 if encoding in ("PCM_U8", "ULAW", "ALAW") else 1e-4
    assert np.abs(read_audio(tmp_path / "w.wav").samples - sound.samples).max() < tolerance
    assert probe_audio(tmp_path / "w.wav").encoding == encoding.lower()


def test_probe_tells_the_facts(tmp_path):
    write_audio(tmp_path / "голос 声.flac", tone(2, 48000))
    info = probe_audio(tmp_path / "голос 声.flac")
    assert (info.sample_rate_hz, info.n_channels, info.n_samples, info.format) == (48000, 2, 14400, "flac")
    assert info.duration_s == pytest.approx(0.3)


def test_reads_bytes_file_objects_and_pipes(tmp_path):
    path = tmp_path / "a.wav"
    write_audio(path, tone())
    expected = read_audio(path).samples

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    with path.open("rb") as file:
        assert np.array_equal(read_audio(file).samples, expected)
    for source in (str(path), path.read_bytes(), io.BytesIO(path.read_bytes()), Pipe(path.read_bytes())):
        assert np.array_equal(read_audio(source).samples, expected)


@pytest.mark.parametrize("format", ["wav", "flac", "ogg", "mp3"])
def test_blocks_and_stretches_equal_the_whole(tmp_path, format):
    path = tmp_path / f"a.{format}"
    write_audio(path, tone(2, duration_s=0.5))
    whole = read_audio(path).samples
    blocks = list(read_blocks(path, block_s=0.07))
    assert len(blocks) == 8 and blocks[0].n_samples == 3087
    assert np.array_equal(np.concatenate([block.samples for block in blocks], axis=1), whole)
    part = read_audio(path, start_s=0.1, duration_s=0.2).samples
    assert part.shape == (2, 8820)
    assert np.abs(part[:, 2000:] - whole[:, 6410:13230]).max() < 1e-3  # lossy decoders warm up after a seek
    assert read_audio(path, start_s=0.4, duration_s=9).n_samples == 22050 - 17640


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: None, "does not exist"),
        (lambda p: p.mkdir(), "is a folder"),
        (lambda p: p.write_bytes(b""), r"empty \(0 bytes\)"),
        (lambda p: p.write_bytes(b"no sound at all" * 99), "cannot be read here"),
        (lambda p: soundfile.write(p, np.zeros(0), 8000), "0 samples"),
        (lambda p: soundfile.write(p, [0.0, 0.1, np.nan, 0], 8000, subtype="FLOAT"), "NaN or infinity at 0.000 s"),
        (lambda p: soundfile.write(p, [0.0] * 8000 + [np.inf, -np.inf], 8000, subtype="FLOAT"), "infinity at 1.000 s"),
    ],
)
def test_unreadable_sounds_are_one_clear_error(tmp_path, monkeypatch, make, words):
    monkeypatch.setenv("PATH", str(tmp_path))  # no ffmpeg
    make(tmp_path / "x.wav")
    with pytest.raises(AudioError, match=words) as caught:
        read_audio(tmp_path / "x.wav")
    assert "\n" not in str(caught.value)
    with pytest.raises(AudioError, match=words):
        list(read_blocks(tmp_path / "x.wav"))


def test_more_refusals(tmp_path):
    (tmp_path / "x.raw").write_bytes(b"1234")
    with pytest.raises(AudioError, match="raw data without a sample rate"):
        read_audio(tmp_path / "x.raw")
    with pytest.raises(AudioError, match="empty"):
        read_audio(b"")
    write_audio(tmp_path / "x.wav", tone())
    for arguments, words in (
        ({"start_s": -1}, "start_s"),
        ({"start_s": 0.3}, "start_s"),
        ({"duration_s": 0}, "duration"),
    ):
        with pytest.raises(AudioError, match=words):
            read_audio(tmp_path / "x.wav", **arguments)
    with pytest.raises(AudioError, match="block_s"):
        next(read_blocks(tmp_path / "x.wav", block_s=0))
    with pytest.raises(AudioError, match=r"float32 of shape \[channels, samples\]"):
        Sound(np.zeros(3, dtype=np.float32), 8000)
    with pytest.raises(AudioError, match="at least 1"):
        Sound(np.zeros((1, 3), dtype=np.float32), 0)


def test_a_cut_off_file_is_read_with_a_warning_or_refused(tmp_path, caplog):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 44100)).astype(np.float32)
    write_audio(tmp_path / "a.flac", Sound(noise, 44100))
    data = (tmp_path / "a.flac").read_bytes()
    try:
        read = read_audio(data[: len(data) // 2])
    except AudioError as error:
        assert "damaged" in str(error)
    else:
        assert 0 < read.n_samples < 44100 and "before its header says so" in caplog.text


@pytest.mark.skipif(sys.platform == "win32", reason="a script stands in for ffmpeg")
def test_other_containers_go_through_ffmpeg(tmp_path, monkeypatch):
    write_audio(tmp_path / "decoded.wav", tone(2))
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "ffmpeg"
    program.write_text(
        f"#!{sys.executable}\nimport shutil, sys\n"
        "name = sys.argv[sys.argv.index('-i') + 1]\n"
        "if b'talk' not in open(name.removeprefix('file:'), 'rb').read(): sys.exit('x\\nno audio stream')\n"
        f"shutil.copy({str(tmp_path / 'decoded.wav')!r}, sys.argv[-1])\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(program.parent))
    (tmp_path / "a.m4a").write_bytes(b"talk talk talk")
    expected = read_audio(tmp_path / "decoded.wav").samples
    assert np.array_equal(read_audio(tmp_path / "a.m4a").samples, expected)
    assert np.array_equal(read_audio(b"talk talk talk").samples, expected)
    (tmp_path / "b.m4a").write_bytes(b"picture")
    with pytest.raises(AudioError, match="no audio stream"):
        read_audio(tmp_path / "b.m4a")


@pytest.mark.parametrize("format", ["wav", "flac", "ogg", "opus", "mp3"])
def test_tags_round_trip(tmp_path, format):
    path = tmp_path / f"a.{format}"
    tags = {"title": "Été 声", "comment": "synthetic voice", "software": "timbre"}
    write_audio(path, tone(sample_rate_hz=48000), tags=tags)
    read = read_tags(path)
    assert read["title"] == tags["title"] and read["comment"] == tags["comment"]
    assert format == "mp3" or read["software"].startswith("timbre")  # mp3 has no place for it


def test_nothing_is_clipped_silently(tmp_path, caplog):
    loud = Sound(np.array([[0.5, 1.5, -2.0, 1.0]], dtype=np.float32), 8000)
    assert write_audio(tmp_path / "a.wav", loud) == 2
    assert "2 samples were beyond full scale" in caplog.text
    assert np.abs(read_audio(tmp_path / "a.wav").samples - [[0.5, 1, -1, 1]]).max() < 1e-6
    assert write_audio(tmp_path / "b.wav", loud, encoding="float") == 0
    assert np.array_equal(read_audio(tmp_path / "b.wav").samples, loud.samples)


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError])
def test_a_failed_write_leaves_nothing_and_keeps_the_old_file(tmp_path, failure):
    path = tmp_path / "a.wav"
    path.write_bytes(b"old")
    with pytest.raises(failure), AudioWriter(path, 8000, 1, force=True) as writer:
        writer.write(np.zeros((1, 100), dtype=np.float32))
        assert len(os.listdir(tmp_path)) == 2
        raise failure
    assert os.listdir(tmp_path) == ["a.wav"] and path.read_bytes() == b"old"


def test_overwriting_needs_force(tmp_path):
    path = tmp_path / "a.wav"
    write_audio(path, tone())
    with pytest.raises(OutputError, match="exists"):
        write_audio(path, tone())
    write_audio(path, tone(2), force=True)
    assert probe_audio(path).n_channels == 2
    with pytest.raises(OutputError, match="exists"), AudioWriter(tmp_path / "b.wav", 8000, 1) as writer:
        writer.write(np.zeros((1, 9), dtype=np.float32))
        (tmp_path / "b.wav").write_bytes(b"another program's")
    assert (tmp_path / "b.wav").read_bytes() == b"another program's"
    assert sorted(os.listdir(tmp_path)) == ["a.wav", "b.wav"]


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("a.mp3", {"rate": 96000}, "mp3 cannot hold 96000 Hz"),
        ("a.mp3", {"n_channels": 6}, "1 to 2 channels"),
        ("a.ogg", {"n_channels": 6}, "ogg holds 1 to 2 channels, not 6"),
        ("a.opus", {"rate": 44100}, "opus cannot hold 44100 Hz"),
        ("a.ogg", {"encoding": "pcm_16"}, "ogg cannot hold 'pcm_16'"),
        ("a.txt", {}, "does not say its sound format"),
        ("a.wav", {"format": "m4a"}, "'m4a' is unknown"),
        ("none/a.wav", {}, "does not exist"),
        ("", {}, "is a folder"),
    ],
)
def test_impossible_outputs_are_refused_at_once(tmp_path, name, arguments, words):
    sound = tone(arguments.pop("n_channels", 1), arguments.pop("rate", 44100))
    arguments.setdefault("format", "wav" if not name else None)
    with pytest.raises(OutputError, match=words):
        write_audio(tmp_path / name, sound, **arguments)
    assert os.listdir(tmp_path) == []


def test_writer_checks_its_blocks(tmp_path):
    path = tmp_path / "a.wav"
    with pytest.raises(OutputError, match="NaN"), AudioWriter(path, 8000, 1) as writer:
        writer.write(np.array([[np.nan]], dtype=np.float32))
    with pytest.raises(OutputError, match=r"must be \[2, samples\]"), AudioWriter(path, 8000, 2) as writer:
        writer.write(np.zeros((1, 4), dtype=np.float32))
    with pytest.raises(OutputError, match="no samples"), AudioWriter(path, 8000, 1):
        pass
    with pytest.raises(OutputError, match="with statement"):
        AudioWriter(path, 8000, 1).write(np.zeros((1, 4), dtype=np.float32))
    with pytest.raises(SettingsError, match="unknown tag 'singer'"):
        AudioWriter(path, 8000, 1, tags={"singer": "me"})
    assert os.listdir(tmp_path) == []


def test_mono_is_the_mean_unless_the_channels_cancel():
    left = np.sin(np.arange(800) / 9).astype(np.float32)
    assert np.allclose(to_mono(np.stack([left, 0 * left])), left / 2)
    assert np.allclose(to_mono(np.stack([left, 0.9 * left, -0.1 * left])), left * 0.6)
    assert np.allclose(to_mono(np.stack([0.9 * left, -left])), -0.05 * left, atol=1e-6)  # -26 dB: still the mean
    assert np.array_equal(to_mono(np.stack([0.99 * left, -left])), -left)  # -46 dB: the louder channel alone
    assert np.array_equal(to_mono(np.stack([left, -left])), left)
    assert np.array_equal(to_mono(np.zeros((2, 5), dtype=np.float32)), np.zeros(5))
    assert to_mono(left) is left


def test_mix_is_decided_once_for_blocks():
    left = np.random.default_rng(1).uniform(-1, 1, 900).astype(np.float32)
    stereo = np.stack([left, np.concatenate([left[:300], -left[300:]])])
    meter = MixMeter()
    for start in range(0, 900, 100):
        meter.push(stereo[:, start : start + 100])
    blocks = [to_mono(stereo[:, start : start + 100], meter.weights()) for start in range(0, 900, 100)]
    assert np.array_equal(np.concatenate(blocks), to_mono(stereo))
    with pytest.raises(AudioError, match="channels"):
        meter.push(stereo[:1])
    with pytest.raises(AudioError, match="no sound"):
        MixMeter().weights()


@pytest.mark.parametrize("format", ["wav", "flac", "ogg", "opus", "mp3"])
def test_damaged_files_are_read_or_refused_but_nothing_else(tmp_path, monkeypatch, format):
    monkeypatch.setenv("PATH", str(tmp_path))  # no ffmpeg
    rng = np.random.default_rng(1)
    noise = rng.uniform(-0.3, 0.3, (1, 9600)).astype(np.float32)
    write_audio(tmp_path / "a", Sound(noise, 48000), format=format)
    data = (tmp_path / "a").read_bytes()
    n_refused = 0
    for turn in range(40):
        damaged = bytearray(data[: rng.integers(1, len(data))] if turn % 2 else data)
        for position in rng.integers(0, min(len(damaged), 200 if turn % 4 else len(data)), 10):
            damaged[position] = rng.integers(256)
        try:
            read = read_audio(bytes(damaged))
        except AudioError:
            n_refused += 1
        else:
            assert read.n_samples > 0 and np.isfinite(read.samples).all()
    assert n_refused > 0
