"""Telling foreign files apart."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from timbre.errors import WeightsError
from timbre.retrieval.foreign import read_index_bytes, read_kmeans
from timbre.weights.identify import FileKind, identify, network_state, require_kind, suspicious_classes
from timbre.weights.inert import inert_class
from timbre.weights.restricted import Checkpoint, read_checkpoint

INDEX = inert_class("faiss.swigfaiss_avx2.IndexIVFFlat")()
INDEX.state = {"this": b"IwFl"}


def tensors(*names: str) -> dict[str, Any]:
    return {name: torch.zeros(1) for name in names}


def of_training(*names: str) -> dict[str, Any]:
    return {"model": tensors(*names), "iteration": 3, "optimizer": None, "learning_rate": 1e-4}


GENERATOR = ("enc_p.enc_.norm.weight", "pre.weight", "emb_g.weight", "dec.conv_pre.bias")
FAIRSEQ = ("feature_extractor.conv_layers.0.0.weight", "encoder.layers.0.self_attn.q_proj.weight")
HUGGING_FACE = ("feature_projection.projection.weight", "encoder.layers.0.attention.q_proj.weight")
CASES = [
    (of_training(*GENERATOR, "enc_q.pre.weight"), FileKind.SOVITS_GENERATOR),
    (of_training(*GENERATOR), FileKind.SOVITS_RELEASE),
    (of_training("enc_p.enc_.norm.weight", "enc_p.pre.weight", "emb_g.weight"), FileKind.SOVITS_3),
    (of_training("decoder.conv.weight", "flow.flows.0.pre.weight"), FileKind.OTHER_VITS),
    (of_training("enc_p.encoder.norm.weight", "dp.pre.weight"), FileKind.OTHER_VITS),
    (of_training("discriminators.0.convs.0.bias", "discriminators.5.convs.0.bias"), FileKind.DISCRIMINATOR),
    (of_training("discriminators.0.convs.0.bias", "discriminators.6.convs.0.bias"), FileKind.RVC_DISCRIMINATOR),
    (of_training("enc_p.emb_phone.weight", "dec.conv_pre.bias", "emb_g.weight"), FileKind.RVC_GENERATOR),
    ({"weight": tensors("enc_p.emb_phone.weight"), "config": [1025, 32], "f0": 1, "sr": "40k"}, FileKind.RVC_VOICE),
    ({"global_step": 1, "model": tensors("unit_embed.weight", "decoder.denoise_fn.mlp.0.bias")}, FileKind.DIFFUSION),
    ({"global_step": 1, "model": tensors("unit2ctrl.stack.0.weight")}, FileKind.DDSP_SVC),
    ({"generator": tensors("m_source.l_linear.weight", "conv_pre.bias")}, FileKind.NSF_HIFIGAN),
    ({"generator": tensors("conv_pre.bias")}, FileKind.HIFIGAN),
    ({"mpd": {}, "msd": {}, "optim_g": {}}, FileKind.HIFIGAN_DISCRIMINATOR),
    ({"args": None, "model": tensors(*FAIRSEQ)}, FileKind.FAIRSEQ_HUBERT),
    ({"cfg": {}, "model": tensors(*FAIRSEQ, "encoder.layers.0.self_attn.grep_linear.bias")}, FileKind.WAVLM),
    (tensors(*HUGGING_FACE), FileKind.HUGGING_FACE_HUBERT),
    (tensors(*(f"hubert.{name}" for name in HUGGING_FACE)), FileKind.HUGGING_FACE_HUBERT),
    (tensors(*HUGGING_FACE, "wavlm.encoder.layers.0.attention.gru_rel_pos_linear.bias"), FileKind.WAVLM),
    (tensors("module.feature_extractor.conv0.weight", "module.positional_embedding.conv.bias"), FileKind.HUBERT_SOFT),
    ({"state_dict": tensors("feature_extractor.dummy_weight"), "config": {}}, FileKind.DPHUBERT),
    ({"dims": {}, "model_state_dict": {}}, FileKind.WHISPER),
    (tensors("encoder.conv1.bias", "encoder.embed_positions.weight", "encoder.layers.0.fc1.bias"), FileKind.WHISPER),
    (tensors("model.encoder.conv1.bias", "model.encoder.embed_positions.weight"), FileKind.WHISPER),
    (tensors("unet.encoder.bn.weight", "fc.1.weight"), FileKind.RMVPE),
    ({"config": {}, "model": tensors("cent_table")}, FileKind.FCPE),
    (tensors("conv1_BN.weight", "classifier.weight"), FileKind.CREPE),
    ({"ada": {"n_features_in_": 2, "_n_threads": 1, "cluster_centers_": np.zeros((1, 2))}}, FileKind.KMEANS),
    ({0: INDEX}, FileKind.FEATURE_INDEX),
    (torch.zeros(1, 768, 10), FileKind.DATASET_FEATURES),
    (torch.zeros(1025, 10), FileKind.BARE_TENSOR),
    (np.zeros(3), FileKind.BARE_TENSOR),
    ({"state": {}, "param_groups": []}, FileKind.OPTIMIZER),
    ({}, FileKind.UNKNOWN),
    ({3: "x", "model": 5}, FileKind.UNKNOWN),
    (tensors("weight"), FileKind.UNKNOWN),
    ([1, 2], FileKind.UNKNOWN),
    (None, FileKind.UNKNOWN),
]


@pytest.mark.parametrize(("data", "kind"), CASES, ids=[kind.name for _, kind in CASES])
def test_each_kind_is_told(data: Any, kind: FileKind) -> None:
    assert identify(data) is kind


def test_every_kind_has_a_case_and_a_sentence() -> None:
    assert {kind for _, kind in CASES} == set(FileKind)
    assert len({kind.description for kind in FileKind}) == len(FileKind)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("G_4.1_vec768l12", FileKind.SOVITS_GENERATOR),
        ("G_tiny", FileKind.SOVITS_GENERATOR),
        ("D", FileKind.DISCRIMINATOR),
    ],
)
def test_complete_networks_are_told_by_their_names(golden_manifest: dict[str, Any], key: str, kind: FileKind) -> None:
    assert identify(of_training(*golden_manifest[key])) is kind


def test_recorded_files_are_told(golden_pipeline: Path, golden_models: Path) -> None:
    expected = {
        golden_pipeline / "hubert_base.pt": FileKind.FAIRSEQ_HUBERT,
        golden_pipeline / "hubert_large.pt": FileKind.FAIRSEQ_HUBERT,
        golden_pipeline / "wavlm_plain.pt": FileKind.WAVLM,
        golden_pipeline / "whisper_tiny.pt": FileKind.WHISPER,
        golden_pipeline / "dphubert_plain.pth": FileKind.DPHUBERT,
        golden_pipeline / "fcpe_tiny.pt": FileKind.FCPE,
        golden_pipeline / "rmvpe_small.pt": FileKind.RMVPE,
        golden_pipeline / "kmeans_10000.pt": FileKind.KMEANS,
        golden_pipeline / "feature_and_index.pkl": FileKind.FEATURE_INDEX,
        golden_models / "nsf_hifigan" / "model": FileKind.NSF_HIFIGAN,
        **{path: FileKind.SOVITS_GENERATOR for path in golden_models.glob("G_*.pth")},
        **{path: FileKind.DIFFUSION for path in golden_models.glob("diffusion_model_*.pt")},
    }
    assert {path: identify(read_checkpoint(path).data) for path in expected} == expected


def test_a_wrong_file_gets_its_own_sentence() -> None:
    wanted = (FileKind.SOVITS_GENERATOR, FileKind.SOVITS_RELEASE)
    give = re.escape("; give a so-vits-svc 4 voice (usually G_*.pth)")
    for data, kind in CASES:
        checkpoint = Checkpoint(data, ())
        if kind in wanted:
            assert require_kind(checkpoint, wanted, Path("x/G_1.pth")) is kind
        else:
            with pytest.raises(WeightsError, match=rf"^'D_1\.pth' is {re.escape(kind.description)}{give}$"):
                require_kind(checkpoint, wanted, Path("x/D_1.pth"))


def test_the_state_is_found_wherever_it_lies() -> None:
    for data in (tensors("a.b"), tensors("module.a.b"), {"model": tensors("hubert.a.b"), "x": torch.zeros(2)}):
        assert list(network_state(data)) == ["a.b"]


@pytest.mark.parametrize(
    "name",
    [
        "fairseq.data.dictionary.Dictionary",
        "omegaconf.dictconfig.DictConfig",
        "argparse.Namespace",
        "faiss.swigfaiss_avx512.IndexIVFFlat",
        "torch.optim.lr_scheduler.ExponentialLR",
        "torch.optim.adamw.AdamW",
        "utils.HParams",
        "pathlib.PosixPath",
        "numpy.float64",
        "typing.Any",
        "collections.Counter",
    ],
)
def test_harmless_classes_are_not_reported(name: str) -> None:
    assert suspicious_classes(Checkpoint({}, (name,))) == ()


@pytest.mark.parametrize(
    "name",
    [
        "posix.system",
        "os.system",
        "builtins.eval",
        "__builtin__.exec",
        "builtins.getattr",
        "subprocess.Popen",
        "numpy.testing._private.utils.runstring",
        "numpy.load",
        "torch.hub.load",
        "torch.optim.evil",
        "argparse.FileType",
        "fairseqs.Dictionary",
        "x.argparse.Namespace",
        "webbrowser.open",
    ],
)
def test_everything_else_is_reported(name: str) -> None:
    assert suspicious_classes(Checkpoint({}, ("numpy.float32", name))) == (name,)


def test_recorded_files_ask_for_nothing_suspicious(golden_pipeline: Path) -> None:
    for name in ("hubert_base.pt", "feature_and_index.pkl"):
        assert suspicious_classes(read_checkpoint(golden_pipeline / name)) == ()


def test_cluster_centres(golden_pipeline: Path) -> None:
    checkpoint = read_checkpoint(golden_pipeline / "kmeans_10000.pt")
    centres = read_kmeans(checkpoint)
    assert centres.keys() == checkpoint.data.keys()
    for name, rows in centres.items():
        assert rows.dtype == torch.float32
        np.testing.assert_array_equal(rows, checkpoint.data[name]["cluster_centers_"])


@pytest.mark.parametrize("rows", [np.zeros(3), np.zeros((0, 3)), np.array([[1, np.nan]]), "text", np.array([["a"]])])
def test_damaged_centres_are_refused(rows: Any) -> None:
    with pytest.raises(WeightsError, match="the cluster centres of speaker 'ada' are damaged"):
        read_kmeans(Checkpoint({"ada": {"cluster_centers_": rows}}, ()))


def test_index_bytes(golden_pipeline: Path) -> None:
    found = read_index_bytes(read_checkpoint(golden_pipeline / "feature_and_index.pkl"))
    assert set(found) == set(range(len(found)))
    assert all(content.startswith(b"IwFl") for content in found.values())


def test_a_damaged_index_is_refused() -> None:
    empty = inert_class("faiss.IndexFlat")()
    for data, message in (({0: empty}, "holds no data of faiss"), ({"ada": INDEX}, "'ada', which is no number")):
        with pytest.raises(WeightsError, match=message):
            read_index_bytes(Checkpoint(data, ()))


def test_clusters_and_index_are_not_confused() -> None:
    with pytest.raises(WeightsError, match=r"the file is a feature index; give a file of cluster centres"):
        read_kmeans(Checkpoint({0: INDEX}, ()))
    with pytest.raises(WeightsError, match=r"the file is of a kind that is not known here; give a feature index"):
        read_index_bytes(Checkpoint({"x": 1}, ()))
