"""Static mixes of models against recorded results: models folder at its tolerance, pipeline folder at 1e-6."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.golden_cases import Case, parametrize
from timbre.voice.sovits.mixing import effective_weights, mix_checkpoints
from timbre.weights.restricted import read_checkpoint

TOLERANCE = 1e-6
RULES = {"0": "softmax", "1": "linear"}  # by the number of the mode
RATES = {"a": (100, 100, 100), "b": (100, 50, 0), "c": (20, 30, 50)}  # golden README


def mix(contents: list[dict[str, Any]], rates: Any, mode: str) -> dict[str, Any]:
    return mix_checkpoints(contents, effective_weights([rate / 100 for rate in rates], RULES[mode]))


@parametrize("mix")
def test_models_folder(case: Case) -> None:
    modes = {name.partition("/")[0].removeprefix("mode") for name in case.expected() if "/" in name}
    got: dict[str, Any] = {}
    for mode in modes:
        contents = [_content(case, number, mode) for number in range(case.call["n_models"])]
        mixed = mix(contents, case.call["rates"], mode)
        got |= {f"mode{mode}/{key}": value for key, value in mixed["model"].items()}
        got[f"mode{mode}.iteration"] = mixed["iteration"]
    case.judge(got)


def _content(case: Case, number: int, mode: str) -> dict[str, Any]:
    """Return one model as a file holds it; where no iteration is recorded, the first has the one that must come out."""
    start = f"in.{number}/"
    model = {key.removeprefix(start): case.tensor(key) for key in case.arrays if key.startswith(start)}
    recorded = case.arrays.get(f"in.{number}.iteration")
    if recorded is None:
        recorded = case.arrays[f"out.mode{mode}.iteration"] + number
    return {"model": model, "iteration": int(recorded), "optimizer": None, "learning_rate": 1e-4}


def test_pipeline_folder(golden_pipeline: Path) -> None:
    n_models = len(RATES["a"])
    contents = [read_checkpoint(golden_pipeline / f"mixmodel_{number}.pth").data for number in range(n_models)]
    with np.load(golden_pipeline / "static_mix.npz") as recorded:
        for name in recorded:
            case, mode, key = name.split("_", 2)
            mixed = mix(contents, RATES[case], mode)
            np.testing.assert_allclose(mixed["model"][key], recorded[name], rtol=0, atol=TOLERANCE, err_msg=name)
            assert mixed["iteration"] == contents[0]["iteration"]
