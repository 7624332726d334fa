"""Reading numpy files of other programs, also those that numpy itself would only read by running them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from timbre.errors import MissingWeightsError, WeightsError
from timbre.weights.restricted import read_numpy


def save(path: Path, values: Any) -> Path:
    np.save(path, values, allow_pickle=True)
    return path


@pytest.mark.parametrize(
    "values",
    [np.arange(6, dtype=np.float32).reshape(2, 3), np.asfortranarray(np.eye(3)), np.array(3), np.zeros((0, 4))],
)
def test_plain_arrays(tmp_path: Path, values: np.ndarray[Any, Any]) -> None:
    got = read_numpy(save(tmp_path / "a.npy", values))
    assert got.dtype == values.dtype
    np.testing.assert_array_equal(got, values)


def test_arrays_of_numbers_and_of_arrays_as_objects(tmp_path: Path) -> None:
    pair = np.array([[100.5, 0.0], [1.0, 0.0]], dtype=object)
    np.testing.assert_array_equal(read_numpy(save(tmp_path / "f0.npy", pair)), pair)
    mixed = np.empty(2, dtype=object)
    mixed[:] = [np.ones((3, 4), dtype=np.float32), 2.5]
    got = read_numpy(save(tmp_path / "aug.npy", mixed))
    assert type(got[0]) is np.ndarray
    np.testing.assert_array_equal(got[0], mixed[0])
    assert got[1] == 2.5


class Planted:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.target}",)


def test_a_planted_command_is_not_run_and_refused(tmp_path: Path) -> None:
    target = tmp_path / "was_here"
    path = save(tmp_path / "f0.npy", np.array([Planted(target), 1.0], dtype=object))
    with pytest.raises(WeightsError, match=r"objects of the class (posix|nt)\.system"):
        read_numpy(path)
    assert not target.exists()


def test_a_pickle_that_is_no_array_is_refused(tmp_path: Path) -> None:
    import pickle

    path = save(tmp_path / "f0.npy", np.array([1.0, None], dtype=object))
    head = path.read_bytes()[:128]
    for content in ([1.0, None], np.array([1.0]), np.array([[1.0, None]], dtype=object)):
        path.write_bytes(head + pickle.dumps(content))
        with pytest.raises(WeightsError, match=r"'f0\.npy'"):
            read_numpy(path)


@pytest.mark.parametrize("kept", [0.0, 0.05, 0.5, 0.99])
@pytest.mark.parametrize("dtype", [object, np.float32])
def test_cut_off_files_are_refused(tmp_path: Path, kept: float, dtype: Any) -> None:
    path = save(tmp_path / "a.npy", np.arange(300).astype(dtype))
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(WeightsError, match=r"'a\.npy'"):
        read_numpy(path)


def test_a_header_cannot_ask_for_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (10**14,)})
        file.write(bytes(24))
    with pytest.raises(WeightsError, match="promises more numbers than it holds"):
        read_numpy(path)


@pytest.mark.parametrize("damaged", [b"{'descr': ('<f8'", b"{'descr'}", b"  \n 1\n2", b"'", b"\xff"])
def test_malformed_headers_are_refused(tmp_path: Path, damaged: bytes) -> None:
    path = save(tmp_path / "a.npy", np.zeros(3))
    content = path.read_bytes()
    path.write_bytes(content[:10] + damaged.ljust(118) + content[128:])
    with pytest.raises(WeightsError, match=r"'a\.npy'"):
        read_numpy(path)


def test_missing_files_folders_and_limits(tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match="there is no numpy file"):
        read_numpy(tmp_path / "none.npy")
    with pytest.raises(WeightsError, match="is a folder"):
        read_numpy(tmp_path)
    with pytest.raises(WeightsError, match="more than the allowed 10"):
        read_numpy(save(tmp_path / "a.npy", np.zeros(3)), max_bytes=10)
