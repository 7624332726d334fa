"""The sound formats that can be written, and what each can hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from timbre.errors import OutputError

TAGS = ("title", "artist", "comment", "software", "date", "copyright", "album", "license", "tracknumber", "genre")


@dataclass(frozen=True)
class FormatSpec:
    """One format as libsndfile writes it; `encodings[0]` is the default."""

    container: str
    encodings: tuple[str, ...]
    suffixes: tuple[str, ...]
    max_channels: int
    rates_hz: tuple[int, ...] = ()  # empty: any
    compression: float | None = None  # 0 is the best quality
    max_bytes: int | None = None


# pcm_24 is the default of wav and flac: 144 dB of range, so no audible rounding whatever the level, and, unlike
# float, every player and editor reads it.
# ogg and opus are kept to two channels: with more, libsndfile does not translate the order of wav, and the sixth
# channel is coded as a low-frequency effect, which removes a voice.
FORMATS: dict[str, FormatSpec] = {
    "wav": FormatSpec("WAV", ("pcm_24", "pcm_16", "float"), (".wav", ".wave"), 64, max_bytes=2**32 - 2**16),
    "flac": FormatSpec("FLAC", ("pcm_24", "pcm_16"), (".flac",), 8),
    "ogg": FormatSpec("OGG", ("vorbis",), (".ogg", ".oga"), 2, compression=0.2),
    "opus": FormatSpec("OGG", ("opus",), (".opus",), 2, (8000, 12000, 16000, 24000, 48000), compression=0.6),
    "mp3": FormatSpec(
        "MP3",
        ("mpeg_layer_iii",),
        (".mp3",),
        2,
        (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
        compression=0.1,
    ),
}


def format_of(path: Path, format: str | None) -> str:
    """Return the name of the format asked for, or of the suffix of `path`. Raises OutputError when it is unknown."""
    known = ", ".join(FORMATS)
    if format is not None:
        if format not in FORMATS:
            raise OutputError(f"the sound format {format!r} is unknown; choose one of: {known}")
        return format
    for name, spec in FORMATS.items():
        if path.suffix.lower() in spec.suffixes:
            return name
    raise OutputError(f"{path.name} does not say its sound format; end the name in one of these, or give one: {known}")


def check_fits(format: str, encoding: str | None, sample_rate_hz: int, n_channels: int) -> FormatSpec:
    """Return the spec of `format` when it can hold such a sound; raise OutputError when it cannot."""
    spec = FORMATS[format]
    if encoding is not None and encoding not in spec.encodings:
        raise OutputError(f"{format} cannot hold {encoding!r}; choose one of: {', '.join(spec.encodings)}")
    if not 1 <= n_channels <= spec.max_channels:
        raise OutputError(f"{format} holds 1 to {spec.max_channels} channels, not {n_channels}; choose wav or mix down")
    if spec.rates_hz and sample_rate_hz not in spec.rates_hz:
        rates = ", ".join(str(rate) for rate in spec.rates_hz)
        raise OutputError(f"{format} cannot hold {sample_rate_hz} Hz, only {rates}; resample or choose wav or flac")
    return spec
