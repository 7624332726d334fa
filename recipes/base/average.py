"""Stage 9: the weights between two decoders that grew from the same one.

    python -m recipes.base.average --cache CACHE --content third --apart final --joint joint --share 0.15 --name shipped

The run --apart was trained with an encoder that stood still and on converted copies: more likeness. The run --joint
taught the encoder too: more words, more of the source's voice. As both started from the same weights, the line between
them is as good as its ends (Wortsman et al. 2022, model soups), and --share picks a point on it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from recipes.base.training import load_checkpoint

Weights = dict[str, Tensor]


def between(first: Weights, second: Weights, share: float) -> Weights:
    """Return first + share * (second - first), tensor by tensor."""
    return {name: torch.lerp(value, second[name], share) for name, value in first.items()}


def main() -> None:
    """Write CACHE/runs/decoder_NAME.pt."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--content", required=True, help="name of the content encoder run both began with")
    parser.add_argument("--apart", required=True)
    parser.add_argument("--joint", required=True)
    parser.add_argument("--share", type=float, required=True, help="0 is the first run, 1 the joint one")
    parser.add_argument("--name", required=True)
    arguments = parser.parse_args()
    runs = arguments.cache / "runs"
    content = load_checkpoint(runs / f"content_{arguments.content}.pt")["averaged"]
    apart, joint = (load_checkpoint(runs / f"decoder_{name}.pt") for name in (arguments.apart, arguments.joint))
    mixed = {
        "averaged": between(apart["averaged"], joint["averaged"], arguments.share),
        "averaged_encoder": between(content, joint["averaged_encoder"], arguments.share),
    }
    torch.save(mixed, runs / f"decoder_{arguments.name}.pt")


if __name__ == "__main__":
    main()
