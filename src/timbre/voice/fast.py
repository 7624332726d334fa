"""A voice of the fast family: a base and what it knows of one person's timbre."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from timbre.config.convert import ConvertSettings
from timbre.config.fast import HOP_SAMPLES, SAMPLE_RATE_HZ
from timbre.errors import OutputError, VoiceError
from timbre.features.extract import FrameExtractor
from timbre.features.frames import Frames
from timbre.models.fast.decoder import Timbre
from timbre.voice.base import Base
from timbre.voice.card import VoiceCard
from timbre.voice.render import FastRenderer

REFERENCE_FILE = "reference.safetensors"


@dataclass(frozen=True)
class Reference:
    """What is kept of the recordings a voice was made from."""

    speaker: Tensor  # [D] unit vector
    content: Tensor  # [M, C]
    f0_hz: Tensor  # [M]
    relative_mel: Tensor  # [M, 80]


class FastVoice:
    """A voice ready to render; made by `timbre.voice.catalog`."""

    sample_rate_hz = SAMPLE_RATE_HZ
    hop_samples = HOP_SAMPLES

    def __init__(self, card: VoiceCard, base: Base, reference: Reference) -> None:
        if card.base_sha256 != base.sha256:
            raise VoiceError(
                f"voice {card.name!r} was made for another version of {card.base}; make it again from its recordings"
            )
        self.card, self.base, self.reference = card, base, reference
        self.extractor = FrameExtractor(base.networks.content)
        content, f0_hz, mel = (
            tensor.unsqueeze(0) for tensor in (reference.content, reference.f0_hz, reference.relative_mel)
        )
        with torch.inference_mode():
            bank = base.networks.decoder.bank(content, f0_hz, mel)
        self._timbre = Timbre(reference.speaker.unsqueeze(0), bank)

    def renderer(self, settings: ConvertSettings) -> FastRenderer:
        """Begin a rendering; `settings` gives retrieval ratio and seed."""
        networks, content = self.base.networks, self.reference.content
        return FastRenderer(networks, self._timbre, content, settings.retrieval_ratio, settings.seed)

    def render(self, frames: Frames, settings: ConvertSettings) -> Tensor:
        """Render frames [T] whole; returns sound [T * hop_samples] at `sample_rate_hz`."""
        return self.renderer(settings).push(frames, last=True)

    def save(self, folder: Path, *, force: bool = False) -> VoiceCard:
        """Write the voice as a folder (voice.json, reference.safetensors in half precision), all or nothing."""
        if folder.exists() and not force:
            raise OutputError(f"{folder} exists; choose another folder or use --force")
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            self.card.save(temporary)
            tensors = {name: value.half().contiguous().cpu() for name, value in vars(self.reference).items()}
            save_file(tensors, temporary / REFERENCE_FILE)
            if folder.exists():
                shutil.rmtree(folder)
            os.replace(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return replace(self.card, path=str(folder))


def read_voice(folder: Path, base: Base) -> FastVoice:
    """Read a voice folder written by `FastVoice.save`; raises VoiceError where it is damaged or does not fit `base`."""
    card = VoiceCard.read(folder)
    try:
        tensors = load_file(folder / REFERENCE_FILE)
        reference = Reference(**{name: value.float().to(base.device) for name, value in tensors.items()})
    except (OSError, TypeError, SafetensorError) as error:
        raise VoiceError(f"voice {card.name!r} in {folder} is damaged ({error}); get or make it again") from error
    return FastVoice(card, base, reference)
