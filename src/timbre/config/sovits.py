"""The files of a so-vits-svc voice, and what is told about it when it is imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from timbre.config.options import Settings, option

RELEASES = ("4.0", "4.1", "4.1-latest")


@dataclass(frozen=True, kw_only=True)
class SovitsFiles(Settings):
    """The files of a so-vits-svc voice; at least a main model or a diffusion model is needed."""

    model: str | None = option(None, "so-vits-svc main model, G_*.pth")
    config: str | None = option(None, "its config.json, by default the one beside it")
    diffusion_model: str | None = option(None, "so-vits-svc diffusion model, model_*.pt")
    diffusion_config: str | None = option(None, "its yaml, by default the config.yaml beside it")
    cluster: str | None = option(None, "cluster centres of the voice, kmeans_*.pt, or those of timbre index")
    index: str | None = option(None, "feature index of the voice, feature_and_index.pkl, or that of timbre index")
    vocoder: str | None = option(
        None, "folder of the NSF-HiFiGAN vocoder for diffusion and the enhancer, by default the one on this machine"
    )
    release: str | None = option(
        None, "behaviour of which so-vits-svc release, by default told from the config", choices=RELEASES
    )

    def path(self, role: str) -> Path | None:
        """Return the file given for `role`, a field's name."""
        value: str | None = getattr(self, role)
        return None if value is None else Path(value)

    @property
    def names_voice(self) -> bool:
        """Whether they hold a voice, and not only parts that belong to one."""
        return self.model is not None or self.diffusion_model is not None


@dataclass(frozen=True, kw_only=True)
class VoiceFacts(Settings):
    """What the files of a voice do not tell about it."""

    description: str | None = option(None, "a line that tells what the voice is")
    languages: str | None = option(None, "languages it was trained on, separated by commas")
    licence: str | None = option(None, "licence of the voice")
    attribution: str | None = option(None, "whom to name")
    consent: str | None = option(None, "how the speaker agreed to this use")
    median_pitch: float = option(
        0.0, "median pitch of the voice in Hz, so that 'auto' can shift to it", low=0, high=2000
    )
