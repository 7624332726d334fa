"""Reading the files of so-vits-svc: G_*.pth, config.json, diffusion models, cluster and index files, vocoders."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from timbre.config.diffusion import DiffusionShape, read_diffusion_yaml
from timbre.config.json_object import decoded
from timbre.config.sovits import SovitsFiles
from timbre.config.vits import VitsShape
from timbre.config.vocoder import VocoderShape
from timbre.errors import MissingWeightsError, SettingsError, VoiceError, WeightsError
from timbre.models.vits.state import complete_config
from timbre.retrieval.foreign import read_index_bytes, read_kmeans
from timbre.retrieval.foreign_writing import flat_index
from timbre.retrieval.speaker_rows import is_speaker_rows, read_speaker_rows
from timbre.vocoder.nsf_hifigan import VOCODER_WEIGHTS, find_vocoder, read_vocoder
from timbre.voice.sovits.parts import DIFFUSION, MODEL, VOCODER, Network, Origin, SovitsParts, release_of
from timbre.voice.sovits.voice import Frame
from timbre.weights.catalogue import CATALOGUE
from timbre.weights.digest import sha256_of
from timbre.weights.finding import find_entry, known_weights
from timbre.weights.identify import FileKind, identify, network_state, require_kind, suspicious_classes
from timbre.weights.restricted import Checkpoint, read_checkpoint

_MAX_CONFIG_BYTES = 10 * 2**20


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
            centres={} if cluster is None else self._centres(cluster, model, diffusion),
            indexes={} if index is None else self._indexes(index, model, diffusion),
            origins=self._origins,
        )
        return ReadVoice(parts, tuple(self._notes))

    def _model(self, path: Path, config: Path | None) -> Network:
        checkpoint = self._checkpoint(path, MODEL, FileKind.SOVITS_GENERATOR, FileKind.SOVITS_RELEASE)
        settings = read_config(self._companion(path, config, "config.json", "--config"))
        return Network(_tensors(checkpoint, path), settings)

    def _diffusion(self, path: Path, config: Path | None) -> Network:
        checkpoint = self._checkpoint(path, DIFFUSION, FileKind.DIFFUSION)
        settings = read_diffusion_yaml(self._companion(path, config, "config.yaml", "--diffusion-config"))
        return Network(_tensors(checkpoint, path), settings)

    def _vocoder(self, given: Path | None, search_folders: Sequence[Path]) -> Network | None:
        """Read the vocoder that was given, or else the first of a supported kind in the folders."""
        if given is not None:
            return self._read_vocoder(given, ())
        for folder in search_folders:
            place = find_entry(CATALOGUE[VOCODER_WEIGHTS], [folder])
            if place is not None:
                try:
                    return self._read_vocoder(None, [folder])
                except MissingWeightsError:  # so-vits-svc itself brings such a folder with nothing in it
                    continue
                except SettingsError as error:
                    self._notes.append(f"the vocoder found in {place} is left out: {error}")
        return None

    def _read_vocoder(self, given: Path | None, search_folders: Sequence[Path]) -> Network:
        with known_weights(VOCODER_WEIGHTS, given, search_folders) as place:
            weights, _ = find_vocoder(place)
            network = Network(*read_vocoder(place))
            VocoderShape.from_config(network.config)
        self._remember(weights, VOCODER)
        return network

    def _centres(self, path: Path, *networks: Network | None) -> Mapping[str, Tensor]:
        if is_speaker_rows(path):
            return self._speaker_rows(path, "kmeans", "cluster", networks)[0]
        return read_kmeans(self._checkpoint(path, "cluster", FileKind.KMEANS))

    def _indexes(self, path: Path, *networks: Network | None) -> Mapping[int, bytes]:
        if is_speaker_rows(path):
            rows, ids = self._speaker_rows(path, "retrieval", "index", networks)
            return {ids[name]: flat_index(each) for name, each in rows.items()}
        return read_index_bytes(self._checkpoint(path, "index", FileKind.FEATURE_INDEX))

    def _speaker_rows(
        self, path: Path, kind: str, role: str, networks: Sequence[Network | None]
    ) -> tuple[Mapping[str, Tensor], Mapping[str, int]]:
        """Read what `timbre index` made; returns the rows of the voice's speakers, and their numbers."""
        found, frame = read_speaker_rows(path, kind), _frame(*networks)
        if _bare(found.encoder) != _bare(frame.encoder):
            raise VoiceError(
                f"{path.name!r} was made from content of the encoder {found.encoder}, but this voice hears "
                f"{frame.encoder}; prepare its recordings with that encoder and run timbre index"
            )
        rows = {name: each for name, each in found.rows.items() if name in frame.speakers}
        if not rows:
            raise VoiceError(
                f"{path.name!r} is of {', '.join(found.rows)}, but the speakers of this voice are "
                f"{', '.join(frame.speakers)}; give the file of a dataset with one of these names"
            )
        self._remember(path, role)
        return rows, frame.speakers

    def _checkpoint(self, path: Path, role: str, *wanted: FileKind) -> Checkpoint:
        """Read a file of one of the kinds `wanted`; what is suspicious in it is told in either case."""
        checkpoint = read_checkpoint(path)
        asked = ", ".join(suspicious_classes(checkpoint))
        if asked:
            warning = f"{path.name} asks to run {asked}, which no voice needs; nothing of it was run, "
            if identify(checkpoint.data) not in wanted:
                raise WeightsError(f"{warning}and it holds no {role} either: delete it")
            self._notes.append(warning + "but do not open this file with other programs")
        require_kind(checkpoint, wanted, path)
        self._remember(path, role)
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


def _frame(model: Network | None, diffusion: Network | None) -> Frame:
    """Return what the model that leads hears; one of the two is there."""
    if model is not None:
        return Frame.of(VitsShape.from_config(complete_config(model.config, model.tensors)))
    assert diffusion is not None
    return Frame.of(DiffusionShape.from_config(diffusion.config))


def _bare(encoder: str) -> str:
    """Return the name of an encoder without the form of its file."""
    return encoder.removesuffix("-onnx")


def read_config(path: Path) -> dict[str, Any]:
    """Read a config.json; raises SettingsError in one sentence where it is missing, damaged or another file."""
    try:
        raw = path.read_bytes() if path.stat().st_size <= _MAX_CONFIG_BYTES else b""
    except OSError as error:
        raise SettingsError(
            f"the config {path} cannot be read ({error.strerror}); give the model's config.json"
        ) from error
    try:
        value = json.loads(decoded(raw))
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path.name} is no JSON file; give the model's config.json") from error
    if not isinstance(value, dict) or not isinstance(value.get("model"), dict):
        raise SettingsError(f"{path.name} has no section 'model'; give the config.json of a so-vits-svc model")
    return value


def _tensors(checkpoint: Checkpoint, path: Path) -> dict[str, Tensor]:
    """Return the network's tensors, without optimizer and counters."""
    tensors = network_state(checkpoint.data)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise WeightsError(
                f"{path.name!r} holds NaN or infinity in {name}, its training failed; use an earlier one"
            )
    return tensors
