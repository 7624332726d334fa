"""The recorded cases of the main networks: found by their files, judged at the tolerance stored beside them.

A case is a pair NAME.json and NAME.npz in TIMBRE_GOLDEN/models (default ../shared/golden). Another folder of the same
form, with other seeds and lengths, can take its place; tests are made from what is there, and one that needs an absent
file is skipped by name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from timbre.nn.draws import SeededDraws
from timbre.weights.identify import network_state
from timbre.weights.restricted import read_checkpoint

REFERENCE_SEED = 52468  # of the original's inference
KINDS = {"dataset", "diff", "diff_net", "disc", "enhancer", "losses", "mix", "onnx", "small", "spec", "step"}
KINDS |= {"synth_infer", "synth_train", "vocmel", "vocoder"}


def models_folder() -> Path:
    """Return the folder of cases, which need not exist."""
    root = os.environ.get("TIMBRE_GOLDEN") or Path(__file__).resolve().parents[2] / "shared" / "golden"
    return Path(root) / "models"


@dataclass(frozen=True)
class Case:
    """One recorded case."""

    path: Path  # of its json

    @property
    def name(self) -> str:
        return self.path.stem

    @cached_property
    def facts(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        return loaded

    @property
    def kind(self) -> str:
        return str(self.facts.get("kind"))

    @property
    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = self.facts["config"]
        return config

    @property
    def call(self) -> dict[str, Any]:
        call: dict[str, Any] = self.facts.get("call") or {}
        return call

    @property
    def tolerance(self) -> float:
        return float(self.facts["tolerance"])

    @property
    def arrays_file(self) -> Path:
        return self.path.with_suffix(".npz")

    def state(self) -> dict[str, Tensor]:
        """Return the network's tensors in the checkpoint beside the case; skips the test where it is absent."""
        return network_state(read_checkpoint(self.beside(self.facts["weights"])).data)

    def beside(self, name: str) -> Path:
        """Return another file or folder of the golden folder; skips the test where it is absent."""
        path = self.path.parent / name
        if not path.exists():
            pytest.skip(f"{self.name}: {name} is absent")
        return path

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        return read_arrays(self.arrays_file)

    def tensor(self, key: str) -> Tensor:
        """Return one stored array."""
        return torch.from_numpy(self.arrays[key])

    def optional(self, key: str) -> Tensor | None:
        """Return one stored array, or None where the case has none of that name."""
        return self.tensor(key) if key in self.arrays else None

    def expected(self) -> dict[str, NDArray[Any]]:
        """Return all results, without their prefix `out.`."""
        return {key[4:]: value for key, value in self.arrays.items() if key.startswith("out.")}

    def draws(self) -> CaseDraws | SeededDraws:
        """Return what this case uses for random numbers."""
        if self.call.get("draws") == "real":
            return SeededDraws(REFERENCE_SEED)
        given = [self.tensor(f"draw.{index}") for index in range(self.call.get("n_draws", 0))]
        return CaseDraws(given if self.call.get("draws") == "inject" else None)

    def judge(self, got: dict[str, Any]) -> None:
        """Compare results with all that were recorded, none left out."""
        expected = self.expected()
        assert expected, f"{self.name}: no results are recorded"
        missing = expected.keys() - got.keys()
        assert not missing, f"{self.name}: not computed: {sorted(missing)}"
        errors = {key: relative_error(got[key], value) for key, value in expected.items()}
        bad = {key: error for key, error in errors.items() if not error <= self.tolerance}
        assert not bad, f"{self.name}: tolerance {self.tolerance}, exceeded by {bad}"


class CaseDraws:
    """Zeros, or the recorded numbers in the order of the requests."""

    def __init__(self, given: list[Tensor] | None) -> None:
        self._given = given

    def normal(self, *shape: int) -> Tensor:
        return self._next(shape)

    uniform = normal

    def _next(self, shape: tuple[int, ...]) -> Tensor:
        if self._given is None:
            return torch.zeros(shape)
        drawn = self._given.pop(0)
        assert tuple(drawn.shape) == shape
        return drawn


def relative_error(got: Any, expected: Any) -> float:
    """Return max |got - expected| / (1 + |expected|); infinite where the shapes differ."""
    a = np.asarray(got.detach().cpu() if isinstance(got, Tensor) else got, dtype=np.float64)
    b = np.asarray(expected, dtype=np.float64)
    if a.shape != b.shape:
        return float("inf")
    return float(np.max(np.abs(a - b) / (1 + np.abs(b)), initial=0.0))


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return all arrays of an npz file by name."""
    with np.load(path) as archive:
        return dict(archive)


def training_file(folder: Path) -> Path:
    """Return the checkpoint of the synthesizer with its optimizer state; skips the test where there is none."""
    files = sorted(folder.glob("G_*[0-9].pth"))
    if not files:
        pytest.skip(f"G_*.pth is absent from {folder}")
    return files[0]


@cache
def all_cases() -> list[Case]:
    """Return every case that is there, also without its arrays."""
    return [case for case in map(Case, sorted(models_folder().glob("*.json"))) if "kind" in case.facts]


def parametrize(kind: str) -> Callable[..., Any]:
    """Parametrize a test over the cases of `kind`; without any, one skipped test says so."""
    assert kind in KINDS
    params = [pytest.param(case, id=case.name, marks=_absence(case)) for case in all_cases() if case.kind == kind]
    absent = pytest.param(None, id=f"no-{kind}", marks=pytest.mark.skip(f"no case of kind {kind} is there"))
    return pytest.mark.parametrize("case", params or [absent])


def _absence(case: Case) -> list[pytest.MarkDecorator]:
    return [] if case.arrays_file.exists() else [pytest.mark.skip(f"{case.arrays_file.name} is absent")]
