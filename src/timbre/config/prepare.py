"""What a user may choose for making a dataset."""

from __future__ import annotations

from dataclasses import dataclass

from timbre.config.options import Settings, option
from timbre.errors import SettingsError

PACKAGED_ENCODER = "timbre"
"""The content encoder of the packaged base, in whose frames voices of the fast family are trained."""

_MACHINE_FIELDS = ("labels", "speaker", "encoder_weights", "pitch_weights", "weights_dir", "device", "workers")


@dataclass(frozen=True, kw_only=True)
class PrepareSettings(Settings):
    """What a user may choose for making a dataset; how recordings are cut stands in `timbre.config.cutting`."""

    speaker: str | None = option(
        None, "name of the one speaker of all recordings; by default that of the folder they lie in"
    )
    labels: str | None = option(
        None,
        "folder of label files (csv, tsv, txt, TextGrid), each named like its recording; they are also found beside it",
    )
    trim: bool = option(True, "cut off the ends of a clip that are 40 dB below its loudest place")
    loudness: str = option(
        "lufs",
        "lufs gives each clip the same loudness, peak the same peak, none leaves the levels",
        choices=("lufs", "peak", "none"),
    )
    target_lufs: float = option(-23.0, "the loudness of clips (LUFS) with loudness lufs", low=-40, high=-10)
    encoder: str = option(PACKAGED_ENCODER, "content encoder: timbre (packaged) or one of so-vits-svc, as vec768l12")
    encoder_weights: str | None = option(None, "weights file of the content encoder, or its Hugging Face folder")
    pitch: str = option("auto", "pitch tracker: auto, pm, dio, harvest, crepe, crepe-tiny, rmvpe or fcpe")
    pitch_weights: str | None = option(None, "weights file of the pitch tracker (see: timbre weights)")
    voiced_threshold: float = option(
        0.05, "confidence above which crepe, rmvpe and fcpe call a frame voiced", low=0, high=1
    )
    vol_aug: bool = option(False, "let the voice learn loudness: its training changes the volume of clips by chance")
    diffusion: bool = option(False, "also make what a diffusion model learns from")
    validation_share: float = option(0.05, "share of the clips that training only listens to", low=0, high=0.5)
    seed: int = option(0, "seed of the choice of these clips and of all that is drawn", low=0, high=2**31 - 1)
    precision: str = option(
        "auto",
        "of the content encoder: exact is float32, fast reduced, auto fast where the processor has units for it",
        choices=("auto", "exact", "fast"),
    )
    weights_dir: str | None = option(None, "folder to look for weights files in, before all others")
    device: str = option("cpu", "where to compute: cpu, cuda, cuda:N or mps")
    workers: int = option(1, "processes that work at once; 0 is one for each core", low=0, high=1024)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.diffusion and self.encoder == PACKAGED_ENCODER:
            raise SettingsError(
                f"diffusion is for voices of so-vits-svc, which do not hear the encoder {self.encoder!r}; "
                "choose another encoder, such as vec768l12, or leave diffusion out"
            )

    @property
    def content_settings(self) -> dict[str, object]:
        """Return what the content of a dataset depends on, without what belongs to one machine."""
        return {name: value for name, value in self.to_mapping().items() if name not in _MACHINE_FIELDS}
