"""What the training of a vocoder starts from (models spec 10.1)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from timbre.config.diffusion import DiffusionShape
from timbre.config.train import TrainSettings
from timbre.config.vocoder import VocoderShape
from timbre.errors import SettingsError
from timbre.files.writing import new_folder
from timbre.train.item_draws import seeded
from timbre.train.sovits_voice import search_folders
from timbre.vocoder.nsf_hifigan import CONFIG_FILE, VOCODER_WEIGHTS, NsfHifigan, read_vocoder
from timbre.voice.card import VoiceCard
from timbre.voice.sovits.parts import Network, SovitsParts
from timbre.voice.sovits.voice import SovitsVoice
from timbre.voice.sovits.workshop import find_sovits_voice
from timbre.weights.finding import known_weights

WEIGHTS_FILE = "model"


@dataclass(frozen=True, eq=False)
class VocoderSetup:
    """The vocoder to train, unfolded, and where it belongs."""

    vocoder: NsfHifigan
    config: Mapping[str, Any]
    is_new: bool  # it starts from nothing
    card: VoiceCard | None  # of the voice that it becomes a part of, and its parts
    parts: SovitsParts | None

    @property
    def network(self) -> Network:
        """The vocoder as it is now."""
        return Network(self.vocoder.tensors_for_file(), self.config)

    @property
    def digest(self) -> str:
        """SHA-256 of its weights."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.network.tensors.items()):
            digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()


def set_up(settings: TrainSettings) -> VocoderSetup:
    """Return the vocoder of --start, else a new one of --config, else that of --voice, else the one on this machine.

    Raises MissingWeightsError where there is none, WeightsError where weights and config differ, SettingsError for an
    unusable config, VoiceError where it does not fit the voice.
    """
    card, parts = (None, None) if settings.voice is None else find_sovits_voice(settings.voice)
    start = None if settings.config is not None and settings.start is None else _start(settings, parts)
    config = _read_config(Path(settings.config)) if settings.config is not None else start.config if start else {}
    shape, is_log10 = VocoderShape.from_config(config), _hears_log10(parts)
    with seeded(settings.seed):
        vocoder = NsfHifigan(shape, log10_mel=is_log10)
    if start is not None:
        vocoder.fill(start.tensors)
    setup = VocoderSetup(vocoder, config, start is None, card, parts)
    if card is not None and parts is not None:
        SovitsVoice(card, replace(parts, vocoder=setup.network))
    return setup


def save_vocoder_files(folder: Path, network: Network, extras: Mapping[str, bytes]) -> Path:
    """Write a vocoder in the layout of models spec 10.1, in the place of what lies there, with more files by name.

    Returns the file with the weights. Raises OutputError where it cannot be written.
    """
    with new_folder(folder) as temporary:
        torch.save({"generator": dict(network.tensors)}, temporary / WEIGHTS_FILE)
        (temporary / CONFIG_FILE).write_text(json.dumps(network.config, indent=2) + "\n", encoding="ascii")
        for name, content in extras.items():
            (temporary / name).write_bytes(content)
    return folder / WEIGHTS_FILE


def _start(settings: TrainSettings, parts: SovitsParts | None) -> Network:
    if settings.start is not None:
        return Network(*read_vocoder(Path(settings.start)))
    if parts is not None and parts.vocoder is not None:
        return parts.vocoder
    with known_weights(VOCODER_WEIGHTS, None, search_folders(None), needed_for="training a vocoder") as place:
        return Network(*read_vocoder(place))


def _hears_log10(parts: SovitsParts | None) -> bool:
    """Say whether the diffusion model of a voice is for a vocoder that hears decimal logarithms."""
    if parts is None or parts.diffusion is None:
        return False
    return DiffusionShape.from_config(parts.diffusion.config).is_log10


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(f"{path} cannot be read; give the config.json of an NSF-HiFiGAN vocoder") from error
    if not isinstance(config, dict):
        raise SettingsError(f"{path} holds no JSON object; give the config.json of an NSF-HiFiGAN vocoder")
    return config
