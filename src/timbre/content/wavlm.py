"""The content encoder WavLM (S. Chen and others, 2022; pipeline spec 1.4)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from timbre.content.hubert import HubertEncoder, fitting_encoder
from timbre.content.hubert_files import (
    FAIRSEQ_RENAMES,
    HUGGING_FACE_RENAMES,
    build,
    fairseq_traits,
    hugging_face_traits,
)
from timbre.content.hubert_network import HubertNetwork
from timbre.weights.hugging_face import settings_beside, weights_file
from timbre.weights.identify import FileKind, network_state, require_kind
from timbre.weights.restricted import read_checkpoint

if TYPE_CHECKING:
    from timbre.content.encoders import EncoderSpec

_PREPROCESSOR_FILE = "preprocessor_config.json"


def load(spec: EncoderSpec, path: Path) -> HubertEncoder:
    """Make the encoder from WavLM-Base+.pt or a Hugging Face folder; raises WeightsError for an unfitting network."""
    network, normalise_wave = read_wavlm(path)
    return fitting_encoder(network, spec, path, normalise_wave=normalise_wave)


def read_wavlm(path: Path) -> tuple[HubertNetwork, bool]:
    """Read a WavLM file, or a Hugging Face folder or the weights in it.

    Returns the network, ready for evaluation, and whether it was trained on waves of mean 0 and variance 1. Raises
    MissingWeightsError when there is no such file, WeightsError when it is damaged or holds something else.
    """
    file = weights_file(path)
    checkpoint = read_checkpoint(file)
    require_kind(checkpoint, (FileKind.WAVLM,), file)
    state, settings = network_state(checkpoint.data), checkpoint.data.get("cfg")
    if isinstance(settings, dict):
        network = build(state, FAIRSEQ_RENAMES, fairseq_traits(settings), file.name, "WavLM")
        return network, bool(settings.get("normalize"))
    network = build(state, HUGGING_FACE_RENAMES, hugging_face_traits(settings_beside(file)), file.name, "WavLM")
    return network, bool(settings_beside(file, _PREPROCESSOR_FILE).get("do_normalize"))
