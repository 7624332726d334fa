"""What a so-vits-svc voice is made of, as plain tensors and settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

# The roles of its weights.
MODEL, DIFFUSION, VOCODER = "model", "diffusion", "vocoder"


@dataclass(frozen=True)
class Network:
    """The weights of one network and the settings it was built from, both as the original files hold them."""

    tensors: Mapping[str, Tensor]  # original names and types
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Origin:
    """The file that a part was read from."""

    file: str  # its name, without folders
    sha256: str


@dataclass(frozen=True)
class SovitsParts:
    """All parts of one voice; at least one of `model` and `diffusion` is there."""

    model: Network | None
    diffusion: Network | None
    vocoder: Network | None
    release: str  # whose behaviour it was trained with (models spec 1.5)
    centres: Mapping[str, Tensor] = field(default_factory=dict)  # k-means centres [K, D] by speaker name
    indexes: Mapping[int, bytes] = field(default_factory=dict)  # serialised faiss indexes by speaker id
    origins: Mapping[str, Origin] = field(default_factory=dict)  # by role

    def networks(self) -> dict[str, Network]:
        """Return the networks that are there, by role."""
        all_three = {MODEL: self.model, DIFFUSION: self.diffusion, VOCODER: self.vocoder}
        return {role: network for role, network in all_three.items() if network is not None}


def release_of(config: Mapping[str, Any]) -> str:
    """Return the release that a config.json is from, "4.0" or "4.1": nothing in it tells the latter's branches apart.

    4.0 wrote nothing after `n_speakers` into its model section, and no stretch mode (models spec 1.5).
    """
    model, data = config.get("model"), config.get("data")
    later = {"speech_encoder", "vocoder_name", "vol_embedding", "use_automatic_f0_prediction", "n_flow_layer"}
    is_first = isinstance(model, Mapping) and not later & model.keys()
    is_left = not isinstance(data, Mapping) or "unit_interpolate_mode" not in data
    return "4.0" if is_first and is_left else "4.1"
