"""The pitch tracker that settings ask for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from timbre.config.convert import ConvertSettings
from timbre.pitch.contract import PitchTracker
from timbre.pitch.trackers import load_tracker
from timbre.weights.search import weights_folders


def open_tracker(settings: ConvertSettings, more_folders: Sequence[Path] = ()) -> PitchTracker:
    """Load the pitch tracker that `settings` ask for; errors as in `timbre.pitch.trackers.load_tracker`.

    Its weights are looked for in `more_folders` too, after the usual ones.
    """
    return load_tracker(
        settings.pitch,
        voiced_threshold=settings.voiced_threshold,
        device=settings.device,
        weights_file=settings.pitch_weights,
        search_folders=[*weights_folders(settings.weights_dir), *more_folders],
    )
