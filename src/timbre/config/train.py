"""What a user may choose for training a voice."""

from __future__ import annotations

from dataclasses import dataclass

from timbre.config.options import Settings, option
from timbre.errors import SettingsError

_LEGACY_FAMILIES = ("vits", "diffusion", "vocoder")

_FREE_FIELDS = (
    "config",  # what these three hold is compared, wherever it lies
    "start",
    "voice",
    "minutes",
    "steps",
    "epochs",
    "patience",
    "checkpoint_minutes",
    "checkpoint_steps",
    "keep_checkpoints",
    "probe_minutes",
    "learned_share",
    "device",
    "name",
    "licence",
    "attribution",
    "consent",
)


@dataclass(frozen=True, kw_only=True)
class TrainSettings(Settings):
    """What a user may choose for training; raises SettingsError where nothing would ever end it."""

    family: str = option(
        "fast",
        "fast starts from the packaged base; vits, diffusion and vocoder are the networks of so-vits-svc",
        choices=("fast", *_LEGACY_FAMILIES),
    )
    speaker: str | None = option(None, "the speaker of the dataset to learn, where it holds several")
    minutes: float | None = option(None, "stop after so many minutes, probes included", low=0, high=1e6)
    steps: int | None = option(None, "stop after so many steps", low=0, high=10**9)
    epochs: float | None = option(None, "stop when so many times the dataset's sound was heard", low=0, high=1e6)
    patience: int | None = option(
        None, "stop after so many probes without gain, by default 5 (fast) or 30; 0 never does", low=0, high=10**6
    )
    batch_size: int | None = option(None, "items in each step, for each process; else the family's", low=1, high=4096)
    learning_rate: float | None = option(None, "step size of the optimizer; else the family's", low=1e-8, high=0.1)
    config: str | None = option(
        None,
        "config.json for vits or vocoder, diffusion.yaml for diffusion; else the usual values",
        family=_LEGACY_FAMILIES,
    )
    start: str | None = option(
        None,
        "weights to start from: a folder with G_0.pth and D_0.pth, a file model_0.pt, or a vocoder",
        family=_LEGACY_FAMILIES,
    )
    voice: str | None = option(
        None, "the voice, by name or folder, that the result becomes a part of", family=("diffusion", "vocoder")
    )
    segment_s: float | None = option(
        None, "seconds of sound judged in each item, 1.1 if not given", family="fast", low=0.2, high=10
    )
    phrase_share: float | None = option(
        None,
        "share of further items that are packaged phrases to be said in the voice, 0.5 if not given",
        family="fast",
        low=0,
        high=4,
    )
    base_share: float | None = option(
        None,
        "share of further items that hold the base's other voices, and so its words, in place, 0.25 if not given",
        family="fast",
        low=0,
        high=4,
    )
    learned_share: float | None = option(
        None,
        "share of what was learned that goes into the voice, 0.75 if not given; less keeps more of the base's words",
        family="fast",
        low=0,
        high=1,
    )
    seed: int = option(0, "seed of everything that is drawn", low=0, high=2**31 - 1)
    precision: str = option(
        "auto",
        "exact is float32, fast bfloat16, auto fast where the processor has units for it",
        choices=("auto", "exact", "fast"),
    )
    device: str = option("auto", "where to compute: auto takes a GPU where there is one", choices=("auto", "cpu"))
    checkpoint_minutes: float = option(2.0, "minutes between checkpoints", low=0.01, high=1e6)
    checkpoint_steps: int | None = option(None, "steps between checkpoints, instead of minutes", low=1, high=10**9)
    keep_checkpoints: int = option(2, "how many of the newest checkpoints stay, besides the best", low=1, high=10**6)
    probe_minutes: float | None = option(None, "minutes between probes, by default 2 (fast) or 10", low=0.01, high=1e6)
    name: str | None = option(None, "name of the voice; by default that of its speaker")
    licence: str = option("unknown", "licence of the voice, for its card")
    attribution: str = option("", "whom to name where the voice is used, for its card")
    consent: str = option("", "how the speaker agreed to this use, for its card")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_family(self.family, "the one to train")
        if self.minutes is self.steps is self.epochs is None and self.probes_of_patience == 0:
            raise SettingsError("nothing would end the training; give minutes, steps, epochs or patience")

    @property
    def probes_of_patience(self) -> int:
        """`patience` or the family's: those that begin from nothing gain little for long."""
        if self.patience is not None:
            return self.patience
        return 5 if self.family == "fast" else 30

    @property
    def minutes_between_probes(self) -> float:
        """`probe_minutes` or the family's."""
        if self.probe_minutes is not None:
            return self.probe_minutes
        return 2.0 if self.family == "fast" else 10.0

    @property
    def lasting(self) -> dict[str, object]:
        """Return what must stay the same when a run goes on: all but when, and the card."""
        return {name: value for name, value in self.to_mapping().items() if name not in _FREE_FIELDS}
