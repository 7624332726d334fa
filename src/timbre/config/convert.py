"""What a user may choose for one conversion."""

from __future__ import annotations

from dataclasses import dataclass

from timbre.config.options import Settings, option


@dataclass(frozen=True, kw_only=True)
class ConvertSettings(Settings):
    """What a user may choose for one conversion."""

    pitch_shift: float | str = option(
        "auto",
        "semitones to move the melody up or down, or 'auto': by the two voices' medians, whole octaves for singing",
        low=-48,
        high=48,
        choices=("auto",),
    )
    pitch: str = option("auto", "pitch tracker: auto, pm, dio, harvest, crepe, crepe-tiny, rmvpe or fcpe")
    pitch_weights: str | None = option(None, "weights file of the pitch tracker, for those that need one (rmvpe)")
    voiced_threshold: float = option(
        0.05, "confidence above which crepe, rmvpe and fcpe call a frame voiced", low=0, high=1
    )
    retrieval_ratio: float = option(
        0.0, "0 keeps the source's content, 1 replaces it by the nearest of the voice", low=0, high=1
    )
    slice_threshold_db: float = option(-60.0, "a stretch below this level (dB full scale) is silence", low=-120, high=0)
    keep_silence: bool = option(False, "convert silent stretches too, instead of writing digital silence there")
    max_chunk_s: float = option(
        30.0, "longest stretch rendered at once; bounds the memory, not the sound", low=1, high=600
    )
    crossfade_s: float = option(0.01, "length of the fade at the borders of muted silence and at joins", low=0, high=5)
    loudness_envelope: float = option(
        1.0, "1 keeps the loudness the voice was rendered with, 0 follows the source's loudness exactly", low=0, high=1
    )
    seed: int = option(0, "seed of the noise in breath and consonants", low=0, high=2**31 - 1)
    format: str | None = option(
        None,
        "file format of the result; by default that of OUTPUT's suffix, else wav",
        choices=("wav", "flac", "ogg", "mp3"),
    )
    device: str = option("cpu", "where to compute: cpu, cuda, cuda:N or mps")
    threads: int = option(0, "CPU threads; 0 leaves the choice to PyTorch", low=0, high=1024)
