"""Loudness as people hear it: BS.1770 integrated loudness and the loudness envelope."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from timbre.audio.levels import frame_rms
from timbre.audio.sound import Samples, check_rate
from timbre.errors import AudioError, MissingExtraError

_GATE_S = 0.4  # one gating block of BS.1770
_RMS_FLOOR = 1e-6


def integrated_loudness(samples: Samples, sample_rate_hz: int) -> float:
    """Integrated loudness of [N] or [C, N] in LUFS (ITU-R BS.1770); -inf for silence.

    A sound shorter than 0.4 s, one gating block of the standard, is measured as if it were repeated up to 0.4 s: its
    level counts, not its length. Six channels are taken as L R C LFE Ls Rs, of which the standard leaves out LFE.
    Raises AudioError for more than six channels or no samples, MissingExtraError without pyloudnorm.
    """
    try:
        import pyloudnorm
    except ImportError as error:
        raise MissingExtraError("pyloudnorm", "loudness", "measuring loudness") from error
    check_rate(sample_rate_hz)
    channels = np.atleast_2d(samples)
    n_channels, n_samples = channels.shape
    if n_channels > 6 or n_samples == 0:
        raise AudioError(
            f"a sound of {n_channels} channels and {n_samples} samples was given; "
            "loudness needs 1 to 6 channels and at least one sample: mix it down"
        )
    if n_channels == 6:
        channels = channels[[0, 1, 2, 4, 5]]
    n_needed = int(np.ceil(_GATE_S * sample_rate_hz)) + 1
    if n_samples < n_needed:
        channels = np.tile(channels, (1, -(-n_needed // n_samples)))
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # means of no block, where all blocks are gated
        loudness = float(pyloudnorm.Meter(sample_rate_hz).integrated_loudness(channels.T.astype(np.float64)))
    return loudness if np.isfinite(loudness) else -np.inf


def normalize_loudness(samples: Samples, sample_rate_hz: int, target_lufs: float) -> Samples:
    """Return [N] or [C, N] scaled by one gain to `target_lufs`; silence is returned as it is.

    Peaks may pass +-1 afterwards: see `limit_true_peak`. Errors as in `integrated_loudness`.
    """
    loudness = integrated_loudness(samples, sample_rate_hz)
    if loudness == -np.inf:
        return samples
    return (samples * 10 ** ((target_lufs - loudness) / 20)).astype(np.float32)


def match_loudness_envelope(
    source: Samples, source_rate_hz: int, output: Samples, output_rate_hz: int, ratio: float
) -> Samples:
    """Scale `output` [M] so that its slow loudness follows that of `source` [N] (pipeline spec 6.6).

    `ratio` 1 keeps the output's own loudness, 0 takes the source's. Loudness is RMS over one second, each half second.
    """
    if ratio == 1 or len(output) == 0 or len(source) == 0:
        return output
    wanted = _envelope(source, source_rate_hz, len(output))
    present = np.maximum(_envelope(output, output_rate_hz, len(output)), _RMS_FLOOR)
    return (output * wanted ** (1 - ratio) * present ** (ratio - 1)).astype(np.float32)


def _envelope(samples: Samples, sample_rate_hz: int, n_points: int) -> NDArray[np.float64]:
    """RMS over about a second, spread over `n_points` by linear interpolation between frame centres."""
    check_rate(sample_rate_hz)
    hop = max(1, sample_rate_hz // 2)
    rms = frame_rms(samples, 2 * hop, hop)
    position = (np.arange(n_points) + 0.5) * (len(rms) / n_points) - 0.5
    envelope: NDArray[np.float64] = np.interp(position, np.arange(len(rms)), rms)
    return envelope
