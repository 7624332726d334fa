"""The tutorial's model compression: what only training needs is left out (models spec 11)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

TRAINING_ONLY = "enc_q."  # how the names of its tensors begin


def slim_state(tensors: Mapping[str, Tensor], *, half: bool) -> dict[str, Tensor]:
    """Return the tensors without the posterior encoder; with `half` floating point ones in float16."""
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(TRAINING_ONLY)}
    return {name: tensor.half() if half and tensor.is_floating_point() else tensor for name, tensor in kept.items()}
