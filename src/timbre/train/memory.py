"""How much memory a piece of work takes at its peak."""

from __future__ import annotations

import threading
from types import TracebackType

import psutil
import torch

_EVERY_S = 0.002


def free_bytes(device: torch.device) -> int:
    """Return how much memory is free on a device; the machine's for all but CUDA."""
    free: int = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    return free


class MemoryPeak:
    """Watches the memory of this process, or of a CUDA device, while a block runs."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._process = device, psutil.Process()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._before = self._peak = 0

    @property
    def risen_bytes(self) -> int:
        """How far it rose above what was taken before the block."""
        return self._peak - self._before

    def __enter__(self) -> MemoryPeak:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            self._before = torch.cuda.memory_allocated(self._device)
        else:
            self._before = self._peak = self._taken()
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._device.type == "cuda":
            self._peak = torch.cuda.max_memory_allocated(self._device)
        else:
            self._done.set()
            self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(_EVERY_S):
            self._peak = max(self._peak, self._taken())

    def _taken(self) -> int:
        taken: int = self._process.memory_info().rss
        return taken
