"""The project files agree with each other and with the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from timbre.doctor.packages import PACKAGES
from timbre.errors import MissingExtraError

tomllib = pytest.importorskip("tomllib")  # Python 3.11; on 3.10 these tests are skipped


def names(requirements: list[str]) -> set[str]:
    """Return the package names of requirement lines."""
    return {re.match(r"[\w.-]+", line).group() for line in requirements if not line.startswith(("#", "timbre["))}  # type: ignore[union-attr]


def project(repository: Path) -> dict:  # type: ignore[type-arg]
    """Return the [project] table."""
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def weights_only(repository: Path) -> set[str]:
    """Return the packages that are installed without their dependencies."""
    return names((repository / "requirements-weights.txt").read_text(encoding="utf-8").splitlines())


def test_doctor_knows_every_dependency(repository: Path) -> None:
    table = project(repository)
    assert set(PACKAGES["core"]) == names(table["dependencies"])
    extras = {extra: names(lines) for extra, lines in table["optional-dependencies"].items()}
    looked_up = set().union(*map(set, PACKAGES.values()))
    assert set().union(*(extras[extra] for extra in extras if extra != "dev")) <= looked_up
    for extra in PACKAGES.keys() - {"core", "weights"}:
        assert set(PACKAGES[extra]) == extras[extra], extra


def test_weights_packages_are_no_normal_dependency(repository: Path) -> None:
    table = project(repository)
    normal = set().union(names(table["dependencies"]), *map(names, table["optional-dependencies"].values()))
    assert weights_only(repository) == set(PACKAGES["weights"])
    assert not weights_only(repository) & normal
    for package in weights_only(repository):
        assert "--no-deps" in str(MissingExtraError(package, "pitch", "this"))


def test_ci_runs_make_test_and_nothing_else(repository: Path) -> None:
    path = repository / ".ci" / "run"
    commands = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert commands == ["set -eu", 'cd "$(dirname "$0")/.."', "exec make test"]
    assert path.stat().st_mode & 0o100


def test_examples_are_small_mono_and_audible(repository: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    paths = [repository / "examples" / name for name in ("spoken.flac", "sung.flac")]
    assert sum(path.stat().st_size for path in paths) < 1_000_000
    for path in paths:
        wave, rate_hz = soundfile.read(path, dtype="float32")
        assert (rate_hz, wave.ndim) == (44_100, 1)
        assert 0.3 < abs(wave).max() < 0.9
        assert 3 < len(wave) / rate_hz < 15


def test_module_and_entry_point_agree(repository: Path) -> None:
    assert project(repository)["scripts"] == {"timbre": "timbre.cli.main:run"}
    done = subprocess.run(
        [sys.executable, "-m", "timbre.cli", "--nonsense"], capture_output=True, text=True, cwd=repository / "src"
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "timbre: no such option: --nonsense; see: timbre --help\n"
