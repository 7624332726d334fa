"""Stage 8: the weights between two runs, of which one grew from the other or both from the same.

    python -m recipes.base.average --cache CACHE --content fifth --first echo5 --second echo8 --share 0.75 --name mix

The line between them is as good as its ends, or better (Wortsman et al. 2022, model soups), and --share picks a point
on it: one end has more of the voice, the other more of the words.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from recipes.base.training import load_voice_run

Weights = dict[str, Tensor]


def between(first: Weights, second: Weights, share: float) -> Weights:
    """Return first + share * (second - first), tensor by tensor."""
    return {name: torch.lerp(value, second[name], share) for name, value in first.items()}


def parse(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Read this stage's arguments, those of the command line where none are given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--content", required=True, help="content encoder of a run that did not teach its own")
    parser.add_argument("--first", required=True)
    parser.add_argument("--second", required=True)
    parser.add_argument("--share", type=float, required=True, help="0 is the first run, 1 the second")
    parser.add_argument("--name", required=True)
    return parser.parse_args(given)


def main() -> None:
    """Write CACHE/runs/decoder_NAME.pt."""
    arguments = parse()
    cache, ends = arguments.cache, (arguments.first, arguments.second)
    first, second = (load_voice_run(cache, name, arguments.content) for name in ends)
    mixed = {part: between(first[part], second[part], arguments.share) for part in ("averaged", "averaged_encoder")}
    torch.save(mixed, cache / "runs" / f"decoder_{arguments.name}.pt")


if __name__ == "__main__":
    main()
