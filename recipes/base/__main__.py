"""Train the packaged base from the recordings, stage by stage; a finished stage is not run again.

    python -m recipes.base --cache CACHE [--stage NAME] [--device auto|cpu|cuda]

Needs the recordings at $TIMBRE_DATA (default ../shared/data), libespeak-ng (apt: espeak-ng), the extra `evaluate` and
the teacher's weights in CACHE/moonshine (`recipes/base/teacher.py`).
Kill it at any time and run it again: stages resume at their last checkpoint. `recipes/base/README.md` tells what each
stage is for and how long it takes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from recipes.base.recordings import data_folder
from recipes.base.training import add_device

ON_DEVICE = frozenset({"train_content", "train_decoder", "relabel", "taught", "convert_copies"})  # modules that take it


@dataclass(frozen=True)
class Stage:
    """One step: a module of this folder with its arguments; {cache}, {labels} and {data} are filled in."""

    name: str
    module: str
    arguments: str


STAGES = (
    Stage("recordings", "recordings", "--cache {cache}"),
    Stage("synthetic", "synthetic_speech", "--data {data} --out {labels} --hours 14"),
    Stage("content-first", "train_content", "--cache {cache} --name first --steps 782 --synthetic-only"),
    Stage("hypotheses", "hypotheses", "--data {data} --out {labels}"),
    Stage("phonemes", "phonemes", "--data {data} --out {labels}"),
    Stage("relabel-first", "relabel", "--cache {cache} --name first --phones --clusters"),
    Stage("content-second", "train_content", "--cache {cache} --name second --start first --steps 2152"),
    Stage("relabel-second", "relabel", "--cache {cache} --name second --phones --clusters --contents"),
    Stage("content-third", "train_content", "--cache {cache} --name third --start second --steps 3731 --rate 1.5e-3"),
    Stage("relabel-third", "relabel", "--cache {cache} --name third --phones --clusters --contents"),
    Stage("content-fourth", "train_content", "--cache {cache} --name fourth --start third --steps 27200 --rate 1e-3"),
    Stage("relabel-fourth", "relabel", "--cache {cache} --name fourth --phones --contents"),
    Stage("taught", "taught", "--cache {cache}"),
    Stage(
        "content-fifth",
        "train_content",
        "--cache {cache} --name fifth --start fourth --taught --steps 3209 --rate 1e-3",
    ),
    Stage("relabel-fifth", "relabel", "--cache {cache} --name fifth --contents"),
    Stage("decoder-warm", "train_decoder", "--cache {cache} --content second --name warm --steps 1750"),
    Stage("decoder-plain", "train_decoder", "--cache {cache} --content third --name plain --start warm --steps 2300"),
    Stage("copies", "convert_copies", "--cache {cache} --content third --decoder plain"),
    Stage(
        "decoder-final",
        "train_decoder",
        "--cache {cache} --content third --name final --start plain --converted plain --adversarial "
        "--steps 3728 --rate 5e-4",
    ),
    Stage(
        "decoder-plain4",
        "train_decoder",
        "--cache {cache} --content fourth --name plain4 --start final --steps 3148 --rate 1e-3",
    ),
    Stage("copies4", "convert_copies", "--cache {cache} --content fourth --decoder plain4"),
    Stage(
        "decoder-final4",
        "train_decoder",
        "--cache {cache} --content fourth --name final4 --start plain4 --converted plain4 --adversarial "
        "--steps 4944 --rate 5e-4",
    ),
    Stage(
        "joint-fifth",
        "train_decoder",
        "--cache {cache} --content fifth --name joint5 --start final4 --adversarial --joint --labels fourth --teacher "
        "--steps 3000 --rate 8e-4",
    ),
    Stage(
        "joint-echo5",
        "train_decoder",
        "--cache {cache} --content fifth --name echo5 --start joint5 --adversarial --joint --labels fourth --teacher "
        "--steps 2014 --rate 5e-4",
    ),
    Stage(
        "joint-echo6",
        "train_decoder",
        "--cache {cache} --content fifth --name echo6 --start echo5 --adversarial --joint --labels fourth --teacher "
        "--recentre --precise --steps 8520 --rate 8e-4",
    ),
    Stage(
        "joint-echo7",
        "train_decoder",
        "--cache {cache} --content fifth --name echo7 --start echo6 --adversarial --joint --labels fourth --teacher "
        "--recentre --precise --echo --steps 2000 --rate 6e-4",
    ),
    Stage(
        "joint-echo8",
        "train_decoder",
        "--cache {cache} --content fifth --name echo8 --start echo7 --adversarial --joint --labels fourth --teacher "
        "--recentre --precise --echo --steps 7250 --rate 8e-4",
    ),
    Stage(
        "between",
        "average",
        "--cache {cache} --content fifth --first echo5 --second echo8 --share 0.75 --name between",
    ),
    Stage("package", "package", "--cache {cache} --content fifth --decoder between"),
)


def command_of(stage: Stage, cache: Path, device: str) -> list[str]:
    """Return the command line of a stage."""
    fields = {"cache": cache, "labels": cache / "labels", "data": data_folder()}
    command = [sys.executable, "-m", f"recipes.base.{stage.module}"]
    command += [word.format(**fields) for word in stage.arguments.split()]
    return command + (["--device", device] if stage.module in ON_DEVICE else [])


def run(stage: Stage, cache: Path, device: str) -> None:
    """Run one stage in a process of its own, unless its mark says that it is finished."""
    mark = cache / "finished" / stage.name
    if mark.exists():
        print(f"{stage.name}: finished before")
        return
    command = command_of(stage, cache, device)
    print(f"{stage.name}: {' '.join(command[1:])}", flush=True)
    started = time.monotonic()
    # Huge pages save a fifth of the time of a step on Linux; one thread each, so that two stages can share two cores.
    subprocess.run(command, check=True, env={"THP_MEM_ALLOC_ENABLE": "1", "OMP_NUM_THREADS": "1", **os.environ})
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text(f"{(time.monotonic() - started) / 60:.1f} minutes\n")


def main() -> None:
    """Run all stages, or one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder of about 8 GB for what the stages make")
    parser.add_argument("--stage", choices=[stage.name for stage in STAGES], help="run only this one")
    add_device(parser)
    arguments = parser.parse_args()
    for stage in STAGES:
        if arguments.stage in (None, stage.name):
            run(stage, arguments.cache, arguments.device.type)


if __name__ == "__main__":
    main()
