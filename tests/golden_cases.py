"""The recorded cases of the main networks: found by their files, judged at the tolerance stored beside them.

A case is a pair NAME.json and NAME.npz in TIMBRE_GOLDEN/models (default ../shared/golden). Another folder of the same
form, with other seeds and lengths, can take its place; tests are made from what is there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from timbre.nn.draws import SeededDraws

REFERENCE_SEED = 52468  # of the original's inference


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
    def weights(self) -> Path:
        """The checkpoint beside the case; skips the test where it is absent."""
        return self.beside(self.facts["weights"])

    def beside(self, name: str) -> Path:
        """Return another file or folder of the golden folder; skips the test where it is absent."""
        path = self.path.parent / name
        if not path.exists():
            pytest.skip(f"{self.name}: {name} is absent")
        return path

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        with np.load(self.path.with_suffix(".npz")) as archive:
            return dict(archive)

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


def parametrize(kind: str) -> Callable[..., Any]:
    """Parametrize a test over the cases of `kind`; without any, one skipped test says so."""
    cases = [case for case in map(Case, sorted(models_folder().glob("*.json"))) if _is_of(case, kind)]
    if not cases:
        absent = pytest.param(None, id=f"no-{kind}", marks=pytest.mark.skip(f"no case of kind {kind} is there"))
        return pytest.mark.parametrize("case", [absent])
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


def _is_of(case: Case, kind: str) -> bool:
    return case.path.with_suffix(".npz").exists() and case.kind == kind
