"""What a user may choose for making an index of a dataset."""

from __future__ import annotations

from dataclasses import dataclass

from timbre.config.options import Settings, option

KINDS = ("kmeans", "retrieval")


@dataclass(frozen=True, kw_only=True)
class IndexSettings(Settings):
    """What a user may choose for making an index of a dataset."""

    kind: str = option(
        "kmeans", "kmeans: centres of each speaker's content; retrieval: that content itself", choices=KINDS
    )
    centres: int = option(
        10_000, "centres for each speaker, at most one for ten frames (kmeans alone)", low=1, high=1_000_000
    )
    seed: int = option(0, "seed of all that is drawn", low=0, high=2**31 - 1)
    device: str = option("cpu", "where to compute: cpu, cuda, cuda:N or mps")
