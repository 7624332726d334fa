"""Conversion in memory, for Python users: `timbre.load_voice("ada").convert(wave, sample_rate_hz)`."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from timbre.audio.source import ArraySource
from timbre.config.convert import ConvertSettings
from timbre.config.sovits import SovitsFiles
from timbre.convert.pitch_shift import decide_shift
from timbre.convert.render import render_chunks
from timbre.convert.scan import scan, scan_tracker
from timbre.voice import catalog
from timbre.voice.card import VoiceCard, safe_name

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedVoice:
    """A voice that converts arrays; its parts are there for those who want more."""

    voice: catalog.Voice

    @property
    def card(self) -> VoiceCard:
        """What the voice says about itself."""
        return self.voice.card

    @property
    def sample_rate_hz(self) -> int:
        """Rate of what `convert` returns."""
        return self.voice.sample_rate_hz

    def convert(
        self, wave: NDArray[np.float32], sample_rate_hz: int, settings: ConvertSettings | None = None
    ) -> NDArray[np.float32]:
        """Give `wave` [N] or [channels, N] this voice; returns mono sound [M] at `self.sample_rate_hz`.

        `wave` is floating point, nominally within -1..1. The result lasts as long as it, stays below full scale and is
        what `timbre convert` writes for the same sound and settings. Raises AudioError for whole numbers and for an
        empty, NaN or infinite sound.
        """
        settings = settings or ConvertSettings()
        source = ArraySource(wave, sample_rate_hz)
        self.voice.check(settings)
        scanned = scan(source, scan_tracker(self.voice, settings), settings, rumble=self.voice.hears_rumble)
        shift = decide_shift(settings.pitch_shift, scanned.f0_hz, self.card.median_f0_hz)
        chunks = render_chunks(self.voice, source, scanned, shift.semitones, settings)
        return np.concatenate([chunk.samples for chunk in chunks])

    def save(self, folder: str | Path, *, name: str | None = None, force: bool = False) -> VoiceCard:
        """Keep the voice as a folder that `load_voice` reads; errors as in `timbre.voice.saving.new_voice`.

        It is called `name`, by default as the folder is.
        """
        voice = copy.copy(self.voice)
        voice.card = replace(voice.card, name=safe_name(name or Path(folder).resolve().name))
        return voice.save(Path(folder), force=force)


def load_voice(name_or_folder: str | Path, *, device: str = "cpu") -> LoadedVoice:
    """Load a voice by name or folder; see `timbre.voice.catalog.load_voice`."""
    return LoadedVoice(catalog.load_voice(name_or_folder, device=device))


def load_sovits_voice(
    *, weights_dir: str | Path | None = None, device: str = "cpu", **files: str | Path
) -> LoadedVoice:
    """Load a voice from the files of so-vits-svc: model, config, diffusion_model, diffusion_config, vocoder and so on.

    The names are those of `timbre.config.sovits.SovitsFiles`; errors as in `timbre.voice.catalog.sovits_voice`, and
    SettingsError for another name. What the reader has to say is logged as a warning.
    """
    given = SovitsFiles.from_mapping({role: str(path) for role, path in files.items()})
    voice, notes = catalog.sovits_voice(given, weights_dir=weights_dir, device=device)
    for note in notes:
        logger.warning("%s", note)
    return LoadedVoice(voice)


def voice_like(references: str | Path | Sequence[str | Path], *, device: str = "cpu") -> LoadedVoice:
    """Make a voice from reference recordings; see `timbre.voice.catalog.voice_like`."""
    paths = [references] if isinstance(references, (str, Path)) else references
    return LoadedVoice(catalog.voice_like([Path(path) for path in paths], device=device))
