"""What this machine can compute on: processor, its instructions that matter for speed, and accelerators."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

# Names as Linux spells them; each multiplies the speed of matrix products in the networks.
_FAST_INSTRUCTIONS = (
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_tile",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "asimddp",
    "bf16",
    "i8mm",
    "sve",
)


@dataclass(frozen=True)
class Processor:
    """The CPU; `instructions` is None where the system does not tell them."""

    model: str
    usable_cores: int
    instructions: tuple[str, ...] | None


@dataclass(frozen=True)
class Accelerator:
    """One device besides the CPU, under the name that `--device` takes."""

    device: str
    name: str
    memory_gib: float | None  # None where it is shared with the system


def read_processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> Processor:
    """Describe the CPU from the system's own table, or from the platform's name where there is none."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    unnamed = platform.processor() or platform.machine()
    if not cpuinfo.is_file():
        return Processor(unnamed, cores, None)
    facts: dict[str, str] = {}
    for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip().lower(), value.strip())  # the first core speaks for all
    flags = (facts.get("flags") or facts.get("features") or "").split()
    known = tuple(flag for flag in _FAST_INSTRUCTIONS if flag in flags)
    return Processor(facts.get("model name") or unnamed, cores, known if flags else None)


def find_accelerators() -> tuple[Accelerator, ...]:
    """Ask PyTorch for CUDA and Apple devices."""
    import torch

    found = []
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(index)
            found.append(Accelerator(f"cuda:{index}", facts.name, facts.total_memory / 2**30))
    if torch.backends.mps.is_available():
        found.append(Accelerator("mps", "Apple GPU", None))
    return tuple(found)
