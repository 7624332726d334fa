"""Reading foreign checkpoints: the same content as torch, nothing executed, clear refusals."""

from __future__ import annotations

import argparse
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from timbre.errors import MissingWeightsError, WeightsError
from timbre.weights.inert import InertStub
from timbre.weights.restricted import read_checkpoint

SHARED = torch.arange(12, dtype=torch.float32)
CONTENT = {
    "half": torch.tensor([1.5, -2.0], dtype=torch.float16),
    "brain": torch.ones(3, dtype=torch.bfloat16),
    "whole": torch.tensor(7),
    "flag": torch.tensor([True, False]),
    "view": SHARED.view(3, 4).T,
    "slice": SHARED[2:5],
    "empty": torch.zeros(0, 4),
    "state": OrderedDict(weight=torch.randn(2, 3)),
    "plain": [1, "två", 2.5, None, (True, {"x": b"y"}), {3, 4}],
}


class Planted:
    """Asks to run a command when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, (f"touch {self.target}",)


class Unknown:
    def __init__(self) -> None:
        self.symbols = ["a", "b"]
        self.table = np.arange(3)


def same(left: Any, right: Any) -> bool:
    if isinstance(left, torch.Tensor):
        return type(right) is torch.Tensor and left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return isinstance(right, dict) and left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    return bool(left == right)


def save(content: Any, path: Path, form: str) -> Path:
    if form == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    return path


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_content_comes_back_as_stored(tmp_path: Path, form: str) -> None:
    checkpoint = read_checkpoint(save(CONTENT, tmp_path / "a.pth", form))
    assert checkpoint.unknown_classes == ()
    assert same(CONTENT, checkpoint.data)
    assert type(checkpoint.data["state"]) is OrderedDict


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_a_planted_command_is_not_run_but_reported(tmp_path: Path, form: str) -> None:
    target = tmp_path / "was_here"
    path = save({"model": [1, 2], "bad": Planted(target)}, tmp_path / "bad.pth", form)
    checkpoint = read_checkpoint(path)
    assert not target.exists()
    assert checkpoint.data["model"] == [1, 2]
    assert checkpoint.unknown_classes in (("posix.system",), ("nt.system",))
    assert isinstance(checkpoint.data["bad"], InertStub)
    assert checkpoint.data["bad"].args == (f"touch {target}",)


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_unknown_objects_keep_their_state(tmp_path: Path, form: str, protocol: int) -> None:
    content = {"task": Unknown(), "args": argparse.Namespace(layers=12, name="base")}
    path = tmp_path / "a.pkl"
    if form == "pickle":
        path.write_bytes(pickle.dumps(content, protocol=protocol))
    else:
        torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=form == "zip")
    checkpoint = read_checkpoint(path)
    assert checkpoint.unknown_classes == ("argparse.Namespace", f"{__name__}.Unknown")
    assert checkpoint.data["args"].state == {"layers": 12, "name": "base"}
    state = checkpoint.data["task"].state
    assert state["symbols"] == ["a", "b"]
    assert type(state["table"]) is np.ndarray
    assert state["table"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("protocol", range(2, 6))
def test_numpy_arrays_and_numbers(tmp_path: Path, protocol: int) -> None:
    arrays = {
        "real": np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3),
        "columns": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "big": np.arange(3, dtype=">i2"),
        "text": np.array(["a", "bc"]),
        "objects": np.array([{"x": np.arange(2)}, None], dtype=object),
        "number": np.float64(2.5),
    }
    path = tmp_path / "arrays.pkl"
    path.write_bytes(pickle.dumps(arrays, protocol=protocol))
    checkpoint = read_checkpoint(path)
    assert checkpoint.unknown_classes == ()
    for name in ("real", "columns", "big", "text"):
        assert type(checkpoint.data[name]) is np.ndarray
        np.testing.assert_array_equal(checkpoint.data[name], arrays[name])
    assert checkpoint.data["number"] == 2.5
    assert type(checkpoint.data["objects"][0]["x"]) is np.ndarray


def test_raw_bytes_never_become_objects(tmp_path: Path) -> None:
    class Forged:
        def __reduce__(self) -> tuple[Any, ...]:
            reconstruct = np.arange(1).__reduce__()[0]
            return reconstruct, (np.ndarray, (0,), b"b"), (1, (1,), np.dtype("O"), False, b"\x41" * 8)

    class ForgedRecord(Forged):
        def __reduce__(self) -> tuple[Any, ...]:
            call, arguments, _ = super().__reduce__()
            return call, arguments, (1, (1,), np.dtype([("a", "O")]), False, b"\x41" * 8)

    for forged in (Forged(), ForgedRecord()):
        with pytest.raises(WeightsError, match="only numbers and text are allowed"):
            read_checkpoint(save(forged, tmp_path / "a.pkl", "pickle"))


def test_parameters_come_back_as_tensors(tmp_path: Path) -> None:
    layer = torch.nn.Linear(2, 2)
    data = read_checkpoint(save({"w": layer.weight}, tmp_path / "a.pt", "zip")).data
    assert type(data["w"]) is torch.Tensor
    assert not data["w"].requires_grad
    assert torch.equal(data["w"], layer.weight)


def test_tensors_may_share_their_data(tmp_path: Path) -> None:
    data = read_checkpoint(save([SHARED, SHARED], tmp_path / "a.pt", "zip")).data
    data[0][0] = 5
    assert data[1][0] == 5


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
@pytest.mark.parametrize("kept", [0.3, 0.9, 0.99])
def test_a_cut_off_file_is_refused(tmp_path: Path, form: str, kept: float) -> None:
    path = save({"w": [1.0] * 500} if form == "pickle" else {"w": torch.randn(500)}, tmp_path / "a.pth", form)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(WeightsError, match=r"'a\.pth'"):
        read_checkpoint(path)


def test_safetensors_are_known_by_their_content(tmp_path: Path) -> None:
    content = {"weight": torch.randn(3, 4), "half": torch.ones(2, dtype=torch.bfloat16), "empty": torch.zeros(0, 2)}
    path = tmp_path / "model.pth"
    save_file(content, path, metadata={"format": "pt"})
    checkpoint = read_checkpoint(path)
    assert same(content, checkpoint.data)
    assert checkpoint.unknown_classes == ()


def test_damaged_safetensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.randn(100)}, path)
    whole = path.read_bytes()
    header_bytes = int.from_bytes(whole[:8], "little")
    longer_than_the_file = (len(whole) + 1).to_bytes(8, "little") + whole[8:]
    larger_tensor = whole.replace(b"[100]", b"[999]")
    for content in (whole[:9], whole[: 8 + header_bytes], whole[:-1], longer_than_the_file, larger_tensor):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=r"'model\.safetensors' is cut off, damaged or not a checkpoint"):
            read_checkpoint(path)


def test_changed_bytes_are_noticed(tmp_path: Path) -> None:
    path = save({"w": torch.ones(500)}, tmp_path / "a.pth", "zip")
    content = bytearray(path.read_bytes())
    position = content.index(torch.ones(4).numpy().tobytes())
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="damaged"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"\n<!DOCTYPE html>", "web page"),
        (b"RIFF....WAVE", "not a torch file, pickle or safetensors file"),
        (b'{"data":{"sampling_rate": 44100}}', "a text of settings, not a checkpoint"),
        (b"# made by hand\ndata:\n  sampling_rate: 44100\n", "a text of settings, not a checkpoint"),
        (b"\x80\x02" + b"\xff" * 20, "damaged or not a checkpoint"),
        (b"\x80\x02]r\xff\xff\xff\x7f.", "pickle is malformed"),
        (b"\x80\x02\x82\x01.", "extension registry"),
    ],
)
def test_other_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        read_checkpoint(path)


def test_missing_folders_and_limits(tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match="there is no weights file"):
        read_checkpoint(tmp_path / "none.pth")
    with pytest.raises(WeightsError, match="is a folder"):
        read_checkpoint(tmp_path)
    with pytest.raises(WeightsError, match="more than the allowed 10"):
        read_checkpoint(save(CONTENT, tmp_path / "a.pth", "zip"), max_bytes=10)


def write_zip(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_zip_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    empty = pickle.dumps({}, protocol=2)
    with pytest.raises(WeightsError, match="without torch data"):
        read_checkpoint(write_zip(tmp_path / "a.zip", {"word/document.xml": b"<x/>"}))
    with pytest.raises(WeightsError, match="absurd size"):
        members = {"a/data.pkl": empty, "a/data/0": bytes(10**6)}
        read_checkpoint(write_zip(tmp_path / "b.zip", members, zipfile.ZIP_DEFLATED))
    with pytest.raises(WeightsError, match="TorchScript"):
        read_checkpoint(write_zip(tmp_path / "c.zip", {"a/data.pkl": empty, "a/code/x.py": b""}))
    with pytest.raises(WeightsError, match="big-endian"):
        read_checkpoint(write_zip(tmp_path / "d.zip", {"a/data.pkl": empty, "a/byteorder": b"big"}))


def forged_tensor(size: tuple[int, ...], stride: tuple[int, ...], offset: int) -> bytes:
    """Pickle a tensor of four stored numbers with another shape."""
    numbers = ["".join(f"I{number}\n" for number in part) for part in (size, stride)]
    storage = "(Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI4\ntQ"
    arguments = f"({storage}I{offset}\n({numbers[0]}t({numbers[1]}tI00\nNt"
    return f"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n{arguments}R.".encode("latin1")


@pytest.mark.parametrize(
    ("size", "stride", "offset", "message"),
    [((5,), (1,), 0, "larger than its data"), ((2,), (1,), 3, "larger than"), ((-1,), (1,), 0, "impossible shape")],
)
def test_tensors_never_reach_beyond_their_data(
    tmp_path: Path, size: tuple[int, ...], stride: tuple[int, ...], offset: int, message: str
) -> None:
    members = {"a/data.pkl": forged_tensor((4,), (1,), 0), "a/data/0": np.arange(4, dtype=np.float32).tobytes()}
    assert read_checkpoint(write_zip(tmp_path / "good.zip", members)).data.tolist() == [0, 1, 2, 3]
    members["a/data.pkl"] = forged_tensor(size, stride, offset)
    with pytest.raises(WeightsError, match=message):
        read_checkpoint(write_zip(tmp_path / "bad.zip", members))


def test_a_pickle_cannot_change_the_reader(tmp_path: Path) -> None:
    # GLOBAL torch._utils _rebuild_tensor_v2, then BUILD with (None, {"_call": 1}) on it.
    forged = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(N}V_call\nI1\nstb."
    path = tmp_path / "a.pkl"
    path.write_bytes(forged)
    with pytest.raises(WeightsError, match="damaged or not a checkpoint"):
        read_checkpoint(path)


def test_memory_is_not_asked_for_by_numbers(tmp_path: Path) -> None:
    class Huge:
        def __reduce__(self) -> tuple[Any, ...]:
            return bytearray, (10**14,)

    with pytest.raises(WeightsError, match="unknown form"):
        read_checkpoint(save(Huge(), tmp_path / "a.pkl", "pickle"))


def test_hubert_with_an_unknown_class(golden_dir: Path) -> None:
    checkpoint = read_checkpoint(golden_dir / "hubert_base.pt")
    assert checkpoint.unknown_classes == ("fairseq.data.dictionary.Dictionary",)
    assert all(type(value) is torch.Tensor for value in checkpoint.data["model"].values())
    assert "encoder_layers" in checkpoint.data["cfg"]["model"]


def test_cluster_and_index_files(golden_dir: Path) -> None:
    clusters = read_checkpoint(golden_dir / "kmeans_10000.pt")
    assert clusters.unknown_classes == ()
    speaker = next(iter(clusters.data.values()))
    assert type(speaker["cluster_centers_"]) is np.ndarray
    index = read_checkpoint(golden_dir / "feature_and_index.pkl")
    assert all(name.startswith("faiss.") for name in index.unknown_classes)
    assert all(bytes(stub.state["this"])[:4] == b"IwFl" for stub in index.data.values())


def test_the_same_as_torch_on_a_real_file(golden_dir: Path) -> None:
    path = golden_dir / "rmvpe_small.pt"
    assert same(torch.load(path, weights_only=True), read_checkpoint(path).data)
