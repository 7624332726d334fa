"""Spectrogram pictures as PNG, without an imaging library."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from timbre.audio.sound import Samples
from timbre.prepare.checkup.spectra import power_spectra, to_db

RANGE_DB = 90.0
_WIDTH, _HEIGHT = 480, 128
_STOPS = np.array(  # dark to light, each lighter than the one before, so that it reads without colour too
    [[8, 6, 24], [60, 16, 92], [138, 34, 106], [212, 72, 66], [250, 150, 50], [252, 252, 190]], dtype=np.float64
)


def spectrogram_png(wave: Samples) -> bytes:
    """Return a picture of `wave` [N]: time to the right, 0 Hz to half the rate upwards, the loudest 90 dB.

    At most 480 wide and 128 high; where frames are joined to one column the loudest counts.
    """
    level_db = to_db(power_spectra(wave)[:, :-1])  # [T, 1024]
    n_frames, n_bins = level_db.shape
    rows = level_db.reshape(n_frames, _HEIGHT, n_bins // _HEIGHT).max(axis=2)
    starts = np.unique(np.linspace(0, n_frames, min(_WIDTH, n_frames), endpoint=False).astype(int))
    columns = np.maximum.reduceat(rows, starts, axis=0)
    shade = np.clip((columns - columns.max()) / RANGE_DB + 1, 0, 1)
    return encode_png(np.round(255 * shade.T[::-1]).astype(np.uint8))


def encode_png(shades: NDArray[np.uint8]) -> bytes:
    """Return a picture [H, W] of 256 shades, from dark violet to light yellow, as PNG."""
    height, width = shades.shape
    position = np.linspace(0, len(_STOPS) - 1, 256)
    palette = np.stack([np.interp(position, np.arange(len(_STOPS)), channel) for channel in _STOPS.T], axis=1)
    lines = np.pad(shades, ((0, 0), (1, 0)))  # each line begins with the number of its filter, 0
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", palette.round().astype(np.uint8).tobytes()),
        (b"IDAT", zlib.compress(lines.tobytes(), 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in parts)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
