"""HuBERT networks against recorded results: 1e-4, HuBERT-Soft 1e-3."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.rule_weights import rule_tensor
from timbre.content.hubert import SOFT_PADDING_SAMPLES, HubertEncoder
from timbre.content.hubert_files import build_hubert_soft, read_hubert

TOLERANCE = 1e-4
SOFT_TOLERANCE = 1e-3


@pytest.mark.parametrize("name", ["hubert_base", "hubert_large"])
def test_every_layer_and_length(golden_pipeline: Path, name: str) -> None:
    recorded = dict(np.load(golden_pipeline / f"{name}.npz"))
    network = read_hubert(golden_pipeline / f"{name}.pt")
    wave = torch.from_numpy(recorded.pop("wav"))
    projected_layer = int(recorded.pop("layer"))
    for key, expected in recorded.items():
        if key == "final_proj_of_layer":
            got = HubertEncoder(network, projected_layer, projected=True).encode(wave)
        elif key.startswith("hidden_"):
            got = HubertEncoder(network, int(key.removeprefix("hidden_"))).encode(wave)
        else:  # "last", or the length after a word
            length = re.search(r"\d+$", key)
            got = HubertEncoder(network).encode(wave[: int(length.group())] if length else wave)
        np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE, err_msg=key)


def test_hubert_soft(golden_pipeline: Path) -> None:
    facts = json.loads((golden_pipeline / "encoders.json").read_text())["hubert_soft"]
    state = {key: rule_tensor(key, shape, facts["rule_seed"]) for key, shape in facts["keys"].items()}
    network = build_hubert_soft(state, "the rule's weights")
    recorded = dict(np.load(golden_pipeline / "hubert_soft.npz"))
    wave = torch.from_numpy(recorded.pop("wav"))
    for key, expected in recorded.items():
        layer = re.fullmatch(r"layer(\d+)(?:_first(\d+))?", key)
        number = int(layer[1]) if layer else None
        encoder = HubertEncoder(network, number, projected=not layer, padding_samples=SOFT_PADDING_SAMPLES)
        got = encoder.encode(wave)
        got = got[: int(layer[2] or len(got))] if layer else got.T
        np.testing.assert_allclose(got, expected, rtol=0, atol=SOFT_TOLERANCE, err_msg=key)
