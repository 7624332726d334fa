"""Reading the files of so-vits-svc: G_*.pth, config.json, diffusion models, cluster and index files, vocoders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from timbre.config.diffusion import read_diffusion_yaml
from timbre.config.sovits import SovitsFiles
from timbre.errors import SettingsError, VoiceError, WeightsError
from timbre.retrieval.foreign import read_index_bytes, read_kmeans
from timbre.vocoder.nsf_hifigan import VOCODER_WEIGHTS, find_vocoder, read_vocoder
from timbre.voice.sovits.parts import DIFFUSION, MODEL, VOCODER, Network, Origin, SovitsParts, release_of
from timbre.weights.catalogue import CATALOGUE
from timbre.weights.digest import sha256_of
from timbre.weights.finding import find_entry, known_weights
from timbre.weights.identify import FileKind, require_kind, suspicious_classes
from timbre.weights.restricted import Checkpoint, read_checkpoint

RETRIEVAL = "retrieval"
_MAX_CONFIG_BYTES = 10 * 2**20
_ENCODINGS = ("utf-8-sig", "gb18030", "latin-1")  # configs were written in the encoding of the machine


@dataclass(frozen=True)
class ReadVoice:
    """What was read, and what its user should know about it."""

    parts: SovitsParts
    notes: tuple[str, ...]


class SovitsReader:
    """Reads the files of one voice and gathers notes."""

    def __init__(self) -> None:
        self._notes: list[str] = []
        self._origins: dict[str, Origin] = {}

    def read(self, files: SovitsFiles, search_folders: list[Path]) -> ReadVoice:
        """Read all of `files`, checking that each is what it was given for.

        `search_folders` are where a vocoder is looked for when none is given. Raises MissingWeightsError or
        WeightsError for a file that is absent, damaged or another kind, SettingsError for an unusable config,
        VoiceError for an incomplete request.
        """
        if not files.names_voice:
            raise VoiceError("neither a main model nor a diffusion model was given; give --model or --diffusion-model")
        main, other, cluster, index = map(files.path, ("model", "diffusion_model", "cluster", "index"))
        model = None if main is None else self._model(main, files.path("config"))
        diffusion = None if other is None else self._diffusion(other, files.path("diffusion_config"))
        release = files.release or (release_of(model.config) if model else "4.1")
        parts = SovitsParts(
            model,
            diffusion,
            self._vocoder(files.path("vocoder"), search_folders),
            release,
            centres={} if cluster is None else self._centres(cluster),
            indexes={} if index is None else self._indexes(index),
            origins=self._origins,
        )
        return ReadVoice(parts, tuple(self._notes))

    def _model(self, path: Path, config: Path | None) -> Network:
        checkpoint = self._checkpoint(path, MODEL)
        require_kind(checkpoint, (FileKind.SOVITS_GENERATOR, FileKind.SOVITS_RELEASE), path)
        return Network(
            _tensors(checkpoint, path), read_config(self._companion(path, config, "config.json", "--config"))
        )

    def _diffusion(self, path: Path, config: Path | None) -> Network:
        checkpoint = self._checkpoint(path, DIFFUSION)
        require_kind(checkpoint, (FileKind.DIFFUSION,), path)
        settings = read_diffusion_yaml(self._companion(path, config, "config.yaml", "--diffusion-config"))
        return Network(_tensors(checkpoint, path), settings)

    def _vocoder(self, folder: Path | None, search_folders: list[Path]) -> Network | None:
        if folder is None and find_entry(CATALOGUE[VOCODER_WEIGHTS], search_folders) is None:
            return None
        with known_weights(VOCODER_WEIGHTS, folder, search_folders) as found:
            weights, _ = find_vocoder(found)
            self._remember(weights, VOCODER)
            return Network(*read_vocoder(found))

    def _centres(self, path: Path) -> Mapping[str, Tensor]:
        checkpoint = self._checkpoint(path, RETRIEVAL)
        require_kind(checkpoint, (FileKind.KMEANS,), path)
        return read_kmeans(checkpoint)

    def _indexes(self, path: Path) -> Mapping[int, bytes]:
        checkpoint = self._checkpoint(path, RETRIEVAL)
        require_kind(checkpoint, (FileKind.FEATURE_INDEX,), path)
        return read_index_bytes(checkpoint)

    def _checkpoint(self, path: Path, role: str) -> Checkpoint:
        checkpoint = read_checkpoint(path)
        self._remember(path, role)
        suspicious = suspicious_classes(checkpoint)
        if suspicious:
            self._notes.append(
                f"{path.name} asks to run {', '.join(suspicious)}, which no voice needs; nothing of it was run, "
                "but do not open this file with other programs"
            )
        return checkpoint

    def _remember(self, path: Path, role: str) -> None:
        self._origins[role] = Origin(path.name, sha256_of(path))

    def _companion(self, path: Path, given: Path | None, usual: str, option: str) -> Path:
        """Return the settings file of a model: the given one, or the one beside it."""
        beside = path.with_name(usual)
        if given is None and not beside.is_file():
            raise VoiceError(
                f"no settings were given for {path.name}, and there is no {usual} beside it; give {option}"
            )
        return given or beside


def read_config(path: Path) -> dict[str, Any]:
    """Read a config.json; raises SettingsError in one sentence where it is missing, damaged or another file."""
    try:
        raw = path.read_bytes() if path.stat().st_size <= _MAX_CONFIG_BYTES else b""
    except OSError as error:
        raise SettingsError(
            f"the config {path} cannot be read ({error.strerror}); give the model's config.json"
        ) from error
    for encoding in _ENCODINGS:
        try:
            value = json.loads(raw.decode(encoding))
        except UnicodeDecodeError:
            continue
        except (ValueError, RecursionError) as error:
            raise SettingsError(f"{path.name} is no JSON file; give the model's config.json") from error
        if not isinstance(value, dict) or not isinstance(value.get("model"), dict):
            raise SettingsError(f"{path.name} has no section 'model'; give the config.json of a so-vits-svc model")
        return value
    raise SettingsError(f"{path.name} is no text file; give the model's config.json")


def _tensors(checkpoint: Checkpoint, path: Path) -> dict[str, Tensor]:
    """Return the network's tensors, without optimizer and counters."""
    data: Any = checkpoint.data
    state = data.get("model", data)
    if not isinstance(state, Mapping):
        raise WeightsError(f"{path.name!r} holds no table of tensors; use another copy")
    return {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
