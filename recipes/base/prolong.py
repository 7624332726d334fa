"""Held vowels: a spoken vowel is lengthened as a singer would, by repeating its steady middle."""

import numpy as np
import numpy.typing as npt

_MIN_VOWEL_S = 0.06
_LOOP_S = (0.025, 0.06)  # a few pitch periods
_FADE_S = 0.008


def prolong(
    wave: npt.NDArray[np.int16], start: int, end: int, sample_rate_hz: int, factor: float
) -> tuple[npt.NDArray[np.int16], int]:
    """Return `wave`[start:end] lengthened to about `factor` times, and how many samples were added.

    The middle of the vowel is repeated in loops of whole pitch periods (best autocorrelation between 25 and
    60 ms), joined with 8 ms fades. Vowels under 60 ms stay as they are.
    """
    piece = wave[start:end].astype(np.float64)
    low, high = (int(seconds * sample_rate_hz) for seconds in _LOOP_S)
    fade = int(_FADE_S * sample_rate_hz)
    if len(piece) < int(_MIN_VOWEL_S * sample_rate_hz) or len(piece) < low + 2 * fade + 2 or factor <= 1:
        return wave[start:end], 0
    high = min(high, len(piece) - 2 * fade - 1)
    loop = _best_lag(piece, low, high)
    join = (len(piece) + loop) // 2  # the loop is piece[join - loop : join], in the middle
    n_loops = round((factor - 1) * len(piece) / loop)
    cycle = piece[join - loop : join].copy()
    ramp = np.linspace(0, 1, fade)
    cycle[-fade:] = cycle[-fade:] * (1 - ramp) + piece[join - loop - fade : join - loop] * ramp  # meets its own start
    tail = piece[join - loop :]
    longer = np.concatenate([piece[: join - loop], np.tile(cycle, n_loops), tail])
    return np.clip(np.rint(longer), -32768, 32767).astype(np.int16), n_loops * loop


def _best_lag(piece: npt.NDArray[np.float64], low: int, high: int) -> int:
    centre = len(piece) // 2
    half = min(centre, len(piece) - centre) - high // 2
    half = max(1, min(half, high))
    best, best_score = low, -np.inf
    for lag in range(low, max(low + 1, high), 2):
        first = centre - (lag + half) // 2
        if first < 0 or first + lag + half > len(piece):
            continue
        one, other = piece[first : first + half], piece[first + lag : first + lag + half]
        score = float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other) + 1e-9))
        if score > best_score:
            best, best_score = lag, score
    return best
