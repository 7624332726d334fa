"""Everything that is measured on one clip."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from timbre.audio.sound import Samples
from timbre.prepare.checkup.bandwidth import measure_bandwidth_hz
from timbre.prepare.checkup.clipping import measure_clipping
from timbre.prepare.checkup.fingerprint import Fingerprint, take_fingerprint
from timbre.prepare.checkup.hum import measure_hum
from timbre.prepare.checkup.noise import measure_noise
from timbre.prepare.checkup.reverberation import measure_reverberation_s
from timbre.prepare.checkup.spectra import band_powers, power_spectra

_LONGEST_MEASURED_S = 60.0  # which bounds the memory


@dataclass(frozen=True)
class ClipMeasures:
    """What was measured on one clip, as it lies in the dataset."""

    voice_db: float  # dB of full scale, as the next
    noise_db: float
    signal_to_noise_db: float
    clipped_share: float  # of the samples
    bandwidth_hz: float
    reverberation_s: float | None
    hum_db: float  # under the voice; -160 for none
    mains_hz: int  # 50, 60 or 0 for no hum
    offset: float  # mean of the samples, full scale 1
    sound_sha256: str  # of the samples


@dataclass(frozen=True)
class HeardClip:
    """A clip's measures and what clips are compared by."""

    measures: ClipMeasures
    fingerprint: Fingerprint
    mean_power: NDArray[np.float32]  # [1025], long-term spectrum


def measured_part(wave: Samples, sample_rate_hz: int) -> Samples:
    """Return the part of a clip [N] that is measured: the first 60 s, all of most clips."""
    return wave[: round(_LONGEST_MEASURED_S * sample_rate_hz)]


def hear_clip(wave: Samples, sample_rate_hz: int) -> HeardClip:
    """Measure a clip [N]; of a long one the first 60 s."""
    digest = hashlib.sha256(np.ascontiguousarray(wave).tobytes()).hexdigest()
    wave = measured_part(wave, sample_rate_hz)
    power = power_spectra(wave)
    bands = band_powers(power)
    noise = measure_noise(power)
    hum_db, mains_hz = measure_hum(wave, sample_rate_hz)
    measures = ClipMeasures(
        voice_db=noise.voice_db,
        noise_db=noise.floor_db,
        signal_to_noise_db=noise.signal_to_noise_db,
        clipped_share=measure_clipping(wave),
        bandwidth_hz=measure_bandwidth_hz(bands, sample_rate_hz),
        reverberation_s=measure_reverberation_s(bands, sample_rate_hz),
        hum_db=hum_db - noise.voice_db if mains_hz else -160.0,
        mains_hz=mains_hz,
        offset=float(np.mean(wave, dtype=np.float64)),
        sound_sha256=digest,
    )
    return HeardClip(measures, take_fingerprint(power), power.mean(axis=0))
