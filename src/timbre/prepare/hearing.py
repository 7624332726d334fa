"""What is made of each clip and with which weights, known before any network is loaded."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from timbre.config.prepare import PACKAGED_ENCODER, PrepareSettings
from timbre.config.vocoder import USUAL_VOCODER
from timbre.content.contract import HOP_SAMPLES as ENCODER_HOP_SAMPLES
from timbre.content.contract import SAMPLE_RATE_HZ as ENCODER_RATE_HZ
from timbre.content.encoders import ENCODERS
from timbre.dsp import frontend
from timbre.errors import MissingExtraError, MissingWeightsError, SettingsError
from timbre.nn.device import check_device
from timbre.nn.precision import precision_name, reduced_type
from timbre.pitch.trackers import PITCH_TRACKERS, is_installed, resolve_tracker
from timbre.prepare.cut_records import short_hash
from timbre.voice import shelf
from timbre.voice.base import SHAPE_FILE, WEIGHTS_FILE
from timbre.weights.catalogue import find_in_catalogue
from timbre.weights.digest import sha256_of
from timbre.weights.finding import files_of, find_entry, missing
from timbre.weights.ledger import Ledger
from timbre.weights.search import weights_folders

_RULE = 1
"""Changes whenever another number would come out of the same clip, weights and settings."""


@dataclass(frozen=True)
class Hearing:
    """How clips are heard: the frames, the names of what hears, and where each kind of features is kept."""

    frame_rate_hz: int
    hop_samples: int
    encoder: str
    content_width: int
    pitch: str
    precision: str  # in words
    folders: dict[str, str]  # below features/, by kind
    bytes_per_s: dict[str, float]  # what each kind needs on the disk
    base_folder: str  # of the packaged encoder


def choose_hearing(settings: PrepareSettings) -> Hearing:
    """Decide from the settings and the weights on this machine how clips are heard.

    Raises SettingsError for an unknown encoder or tracker, MissingWeightsError and MissingExtraError where something
    is not on this machine, and DeviceError.
    """
    check_device(settings.device)
    tracker = resolve_tracker(settings.pitch)
    if find_spec("pyloudnorm") is None:
        raise MissingExtraError("pyloudnorm", "loudness", "measuring the loudness of clips")
    is_packaged = settings.encoder == PACKAGED_ENCODER
    rate, hop = USUAL_VOCODER.sample_rate_hz, USUAL_VOCODER.hop_samples
    if is_packaged:
        rate, hop = frontend.SAMPLE_RATE_HZ, frontend.HOP_SAMPLES
    width, encoder_sha256 = _packaged_encoder() if is_packaged else _encoder(settings)
    number_type = None if is_packaged else reduced_type(settings.precision, settings.device)
    grid: dict[str, object] = {"rule": _RULE, "rate": rate, "hop": hop}
    depends = {
        "content": {
            "rule": _RULE,
            "encoder": settings.encoder,
            "weights": encoder_sha256,
            "precision": precision_name(number_type),
        },
        "pitch": {**grid, "tracker": tracker, **_tracker_facts(tracker, settings)},
        "loudness": grid,
    }
    fps = rate / hop
    content_fps = fps if is_packaged else ENCODER_RATE_HZ / ENCODER_HOP_SAMPLES
    sizes = {"content": 4 * width * content_fps, "pitch": 5 * fps, "loudness": 4 * fps}
    if settings.diffusion:
        depends["diffusion"] = {**grid, "vocoder": asdict(USUAL_VOCODER), "seed": settings.seed}
        sizes["diffusion"] = 4 * (2 * USUAL_VOCODER.n_mels + 1) * fps
    return Hearing(
        frame_rate_hz=rate,
        hop_samples=hop,
        encoder=settings.encoder,
        content_width=width,
        pitch=tracker,
        precision=precision_name(number_type),
        folders={kind: f"{kind}-{short_hash(facts, 8)}" for kind, facts in depends.items()},
        bytes_per_s=sizes,
        base_folder=str(shelf.ASSETS / "base"),
    )


def _packaged_encoder() -> tuple[int, str]:
    """Return the width of the packaged encoder's content and the hash of its weights."""
    folder = shelf.ASSETS / "base"
    if not (folder / WEIGHTS_FILE).is_file():
        raise MissingWeightsError(f"the packaged encoder is not in {folder}; install timbre again")
    about = json.loads((folder / SHAPE_FILE).read_text(encoding="utf-8"))
    return int(about["shape"]["content"]["content_channels"]), sha256_of(folder / WEIGHTS_FILE)


def _encoder(settings: PrepareSettings) -> tuple[int, str]:
    """Return the width of an encoder of so-vits-svc and the hash of its weights."""
    if settings.encoder not in ENCODERS:
        known = ", ".join((PACKAGED_ENCODER, *ENCODERS))
        raise SettingsError(f"the content encoder is {settings.encoder!r}; it must be one of: {known}")
    spec = ENCODERS[settings.encoder]
    needed_for = f"content encoder {spec.name}"
    return spec.dimensions, _weights_hash(spec.weights, settings.encoder_weights, settings.weights_dir, needed_for)


def _tracker_facts(tracker: str, settings: PrepareSettings) -> dict[str, object]:
    """Return what the answers of a tracker depend on besides its name."""
    spec = PITCH_TRACKERS[tracker]
    if spec.package is not None and not is_installed(tracker):
        raise MissingExtraError(spec.package, "pitch", f"pitch tracker {tracker}")
    if settings.pitch_weights is not None and spec.weights is None:
        raise SettingsError(f"pitch tracker {tracker} takes no weights file; leave {settings.pitch_weights!r} out")
    facts: dict[str, object] = {"threshold": settings.voiced_threshold} if spec.uses_threshold else {}
    if spec.weights is not None:
        facts["weights"] = _weights_hash(spec.weights, settings.pitch_weights, settings.weights_dir, None)
    return facts


def _weights_hash(name: str, given: str | None, weights_dir: str | None, needed_for: str | None) -> str:
    """Return the hash of the weights that would be loaded; raises MissingWeightsError where there are none."""
    entry = find_in_catalogue(name)
    folders = weights_folders(weights_dir)
    path = find_entry(entry, folders) if given is None else Path(given)
    if path is None:
        raise missing(entry, folders, needed_for)
    if not path.exists():
        raise MissingWeightsError(f"there is no weights file {str(path)!r}; give one that is there")
    ledger = Ledger()
    digests = [ledger.known_sha256(file) or sha256_of(file) for file in files_of(entry, path)]
    return short_hash({"files": digests}, 64)
