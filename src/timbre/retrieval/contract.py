"""What every way of replacing content by that of a so-vits-svc speaker offers."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class ContentRetrieval(Protocol):
    """Finds for each frame of content what the target speaker has said most like it."""

    def mix(self, content: Tensor, ratio: float) -> Tensor:
        """Move `content` [T, D] by `ratio` (0..1) towards what was found: r * found + (1 - r) * content, [T, D]."""
        ...
