import numpy as np
import pytest
from numpy.typing import NDArray

from timbre.errors import AudioError
from timbre.evaluate.pitch_fidelity import compare_pitch, measure_pitch_fidelity
from timbre.evaluate.waves import MonoWave
from timbre.pitch.contract import PitchTrack


def track(f0_hz: NDArray[np.floating], hop_samples: int = 160) -> PitchTrack:
    return PitchTrack(f0_hz.astype(np.float32), f0_hz > 0, hop_samples, 16_000)


GLIDE = 220.0 * 2.0 ** (np.linspace(-6, 6, 200) / 12.0)


def test_a_transposed_melody_keeps_its_shape() -> None:
    result = compare_pitch(track(GLIDE), track(GLIDE * 2 ** (7 / 12)))
    assert result.shift_semitones == pytest.approx(7.0, abs=1e-4)
    assert result.median_error_cents == pytest.approx(0.0, abs=0.01)
    assert result.log_f0_correlation == pytest.approx(1.0, abs=1e-6)
    assert result.octave_error_fraction == 0.0
    assert result.voicing_disagreement == 0.0
    assert result.shift_error_semitones is None
    assert result.n_voiced_both == 200


def test_an_asked_shift_is_the_reference_of_the_errors() -> None:
    result = compare_pitch(track(GLIDE), track(GLIDE * 2 ** (7.3 / 12)), asked_shift_semitones=7.0)
    assert result.shift_error_semitones == pytest.approx(0.3, abs=1e-4)
    assert result.median_error_cents == pytest.approx(30.0, abs=0.01)


def test_octave_jumps_are_counted() -> None:
    converted = GLIDE.copy()
    converted[:20] *= 2
    result = compare_pitch(track(GLIDE), track(converted))
    assert result.octave_error_fraction == pytest.approx(0.1)
    assert result.median_error_cents == pytest.approx(0.0, abs=0.01)
    assert result.log_f0_correlation is not None and result.log_f0_correlation < 0.9


def test_wobble_is_measured_in_cents() -> None:
    wobble = np.where(np.arange(200) % 2 == 0, 10.0, -10.0)
    result = compare_pitch(track(GLIDE), track(GLIDE * 2 ** (wobble / 1200)), asked_shift_semitones=0.0)
    assert result.median_error_cents == pytest.approx(10.0, abs=0.01)


def test_voicing_disagreement_counts_frames_voiced_in_only_one() -> None:
    source, converted = GLIDE.copy(), GLIDE.copy()
    source[:10] = 0
    converted[5:25] = 0
    assert compare_pitch(track(source), track(converted)).voicing_disagreement == pytest.approx(20 / 200)


def test_a_reversed_melody_correlates_negatively() -> None:
    assert compare_pitch(track(GLIDE), track(GLIDE[::-1])).log_f0_correlation == pytest.approx(-1.0, abs=1e-6)


def test_a_flattened_melody_follows_nothing() -> None:
    assert compare_pitch(track(GLIDE), track(np.full(200, 220.0))).log_f0_correlation == 0.0


def test_one_held_note_has_no_melody() -> None:
    note = np.full(200, 220.0)
    result = compare_pitch(track(note), track(note))
    assert result.log_f0_correlation is None
    assert result.median_error_cents == pytest.approx(0.0)


def test_unvoiced_sounds_have_no_pitch_numbers() -> None:
    result = compare_pitch(track(GLIDE), track(np.zeros(200)))
    assert result.median_error_cents is None and result.shift_semitones is None
    assert result.voicing_disagreement == 1.0


def test_different_grids_are_refused() -> None:
    with pytest.raises(AudioError, match="frame grids"):
        compare_pitch(track(GLIDE, 160), track(GLIDE, 128))


class ZeroCrossings:
    """A tracker for pure tones: one pitch for the whole sound."""

    def track(
        self, wave: NDArray[np.float32], sample_rate_hz: int, hop_samples: int, n_frames: int | None = None
    ) -> PitchTrack:
        crossings = np.flatnonzero((wave[:-1] < 0) & (wave[1:] >= 0))
        f0_hz = sample_rate_hz / float(np.mean(np.diff(crossings)))
        return track(np.full(n_frames or len(wave) // hop_samples, f0_hz), hop_samples)


def test_sounds_of_different_rates_share_one_grid() -> None:
    source = MonoWave(np.sin(2 * np.pi * 200 * np.arange(16_000) / 16_000).astype(np.float32), 16_000)
    converted = MonoWave(np.sin(2 * np.pi * 400 * np.arange(44_100) / 44_100).astype(np.float32), 44_100)
    result = measure_pitch_fidelity(source, converted, tracker=ZeroCrossings())
    assert result.shift_semitones == pytest.approx(12.0, abs=0.05)
    assert result.n_voiced_both == 100


def test_the_default_tracker_follows_a_real_shift() -> None:
    seconds = np.arange(16_000) / 16_000
    phase = 2 * np.pi * np.cumsum(200 * 2 ** (np.sin(2 * np.pi * 2 * seconds) * 3 / 12)) / 16_000
    waves = [
        MonoWave(sum(0.2 / k * np.sin(k * ratio * phase) for k in range(1, 9)).astype(np.float32), 16_000)
        for ratio in (1.0, 1.5)
    ]
    result = measure_pitch_fidelity(waves[0], waves[1])
    assert result.shift_semitones == pytest.approx(12 * np.log2(1.5), abs=0.1)
    assert result.log_f0_correlation is not None and result.log_f0_correlation > 0.99
