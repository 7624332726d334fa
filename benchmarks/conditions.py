"""The conditions every benchmark prints above its numbers."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch

from timbre import __version__


def conditions() -> str:
    """Return one line: processor, cores, threads, versions."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    return (
        f"timbre {__version__}, torch {torch.__version__}, {torch.get_num_threads()} thread(s), {model}, "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}"
    )
