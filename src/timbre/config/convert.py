"""What a user may choose for one conversion."""

from __future__ import annotations

from dataclasses import dataclass

from timbre.config.options import Settings, option
from timbre.errors import SettingsError

DIFFUSION_METHODS = ("ddpm", "ddim", "pndm", "dpm-solver", "dpm-solver++", "unipc")


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
    pitch_weights: str | None = option(None, "weights file of the pitch tracker (see: timbre weights)")
    voiced_threshold: float = option(
        0.05, "confidence above which crepe, rmvpe and fcpe call a frame voiced", low=0, high=1
    )
    retrieval_ratio: float = option(
        0.0, "0 keeps the source's content, 1 replaces it by the nearest of the voice", low=0, high=1
    )
    source_detail: float = option(
        0.0, "share of the source's spectral detail to keep: clearer words, less likeness", low=0, high=1, family="fast"
    )
    retrieval: str = option(
        "auto",
        "where retrieval_ratio looks: cluster centres, feature index, or the one that is there",
        choices=("auto", "clusters", "index"),
        family="sovits",
    )
    slice_threshold_db: float = option(-60.0, "a stretch below this level (dB full scale) is silence", low=-120, high=0)
    silence: str = option(
        "mute",
        "silent stretches: mute writes digital silence, keep the source's own ambience, convert renders them too",
        choices=("mute", "keep", "convert"),
    )
    max_chunk_s: float | None = option(
        None,
        "longest stretch rendered at once, by default 8 (fast) or 30; bounds the memory, not the sound",
        low=0.1,
        high=600,
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
    speaker: str | None = option(None, "which speaker of a voice that holds several", family="sovits")
    speaker_mix: str | None = option(
        None,
        "mix of its speakers: weights such as alice=0.7,bob=0.3, or a JSON file of tracks over time",
        family="sovits",
    )
    noise_scale: float = option(0.4, "how much the voice varies by chance", low=0, high=10, family="sovits")
    predict_pitch: bool = option(
        False, "let the voice choose its own melody: for speech, not for singing", family="sovits"
    )
    shallow_diffusion: bool = option(False, "refine the sound with the voice's diffusion model", family="sovits")
    only_diffusion: bool = option(False, "render with the voice's diffusion model alone", family="sovits")
    diffusion_steps: int = option(
        100, "how deep shallow diffusion goes, in steps of its schedule", low=1, high=1000, family="sovits"
    )
    diffusion_method: str | None = option(
        None, "sampler of the diffusion, by default that of its settings", choices=DIFFUSION_METHODS, family="sovits"
    )
    diffusion_speedup: int | None = option(
        None, "schedule steps taken at once, by default that of its settings", low=1, high=1000, family="sovits"
    )
    second_encoding: bool = option(False, "listen to the first result again before shallow diffusion", family="sovits")
    enhance: bool = option(
        False, "render the result again with the vocoder; helps voices of little training", family="sovits"
    )
    enhancer_key: int = option(
        0, "semitones by which the enhancer is helped to reach high notes", low=-24, high=24, family="sovits"
    )
    context_s: float = option(
        0.5, "sound heard on both sides of a stretch that is rendered at once", low=0, high=10, family="sovits"
    )
    overlap_s: float = option(0.1, "overlap of such stretches", low=0, high=10, family="sovits")
    overlap_retain: float = option(
        0.75, "middle share of the overlap in which one fades into the next", low=0, high=1, family="sovits"
    )
    compatible: bool = option(
        False,
        "cut, pad, join and draw noise exactly as so-vits-svc 4.1 did; holds the whole file in memory",
        family="sovits",
    )
    encoder_weights: str | None = option(
        None, "weights file of the content encoder, or its Hugging Face folder", family="sovits"
    )
    weights_dir: str | None = option(None, "folder to look for weights files in, before all others")
    precision: str = option(
        "auto",
        "exact is float32 throughout, fast reduced where no ear can tell, auto fast where the device has units for it",
        choices=("auto", "exact", "fast"),
    )
    device: str = option("cpu", "where to compute: cpu, cuda, cuda:N or mps")
    threads: int = option(0, "CPU threads; 0 leaves the choice to PyTorch", low=0, high=1024)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shallow_diffusion and self.only_diffusion:
            raise SettingsError("shallow_diffusion and only_diffusion were both asked; use one of them")
        if self.second_encoding and not self.shallow_diffusion:
            raise SettingsError("second_encoding is a part of shallow_diffusion; ask for that too, or leave it out")
        if self.enhance and (self.shallow_diffusion or self.only_diffusion):
            raise SettingsError("enhance and diffusion were both asked; the diffusion ends in the vocoder anyway")
        if self.speaker_mix is not None and self.speaker is not None:
            raise SettingsError("speaker and speaker_mix were both given; use one of them")
        if self.speaker_mix is not None and self.retrieval_ratio > 0:
            raise SettingsError(
                "retrieval_ratio and speaker_mix were both given, but what is retrieved is of one speaker; "
                "leave one of them out"
            )
        if self.compatible and self.silence != "mute":
            raise SettingsError(f"compatible mutes silence, but silence is {self.silence!r}; leave one of them out")

    def check_overlap(self) -> None:
        """Raise SettingsError for stretches that overlap by more than a half, or by all where `compatible`."""
        most_s = self.longest_chunk_s * (1 if self.compatible else 0.5)
        if self.overlap_s > most_s:
            raise SettingsError(
                f"overlap_s is {self.overlap_s:g} and max_chunk_s {self.longest_chunk_s:g}; lower overlap_s to "
                f"{most_s:g} or less"
            )

    @property
    def longest_chunk_s(self) -> float:
        """`max_chunk_s` or the default where chunks are joined."""
        return 30.0 if self.max_chunk_s is None else self.max_chunk_s
