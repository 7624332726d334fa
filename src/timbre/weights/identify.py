"""Telling what a foreign file holds by the names in it, so that a wrong file gets a sentence of its own."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from torch import Tensor

from timbre.errors import WeightsError
from timbre.weights.inert import InertStub
from timbre.weights.restricted import Checkpoint


class FileKind(Enum):
    """What a file holds: a description for sentences, and the name by which it is usually found."""

    SOVITS_GENERATOR = "a so-vits-svc 4 voice", "G_*.pth"
    SOVITS_RELEASE = "a so-vits-svc 4 voice without the part that training needs", "G_*_release.pth"
    SOVITS_3 = "a so-vits-svc 3 voice, which is another network and not supported", ""
    OTHER_VITS = "a voice of another network than so-vits-svc 4.0 or 4.1, such as 4.0-v2, and not supported", ""
    DISCRIMINATOR = "a discriminator, which is needed only to go on training", "D_*.pth"
    DIFFUSION = "a diffusion model of so-vits-svc", "model_*.pt"
    DDSP_SVC = "a DDSP-SVC model, which is not supported", ""
    NSF_HIFIGAN = "an NSF-HiFiGAN vocoder", "nsf_hifigan/model"
    HIFIGAN = "a HiFi-GAN vocoder, which hears no pitch and is not supported", ""
    HIFIGAN_DISCRIMINATOR = "the discriminator of a HiFi-GAN vocoder, which is not supported", ""
    RVC_VOICE = "an RVC voice, which is not supported", ""
    RVC_GENERATOR = "an RVC generator for training, which is not supported", ""
    RVC_DISCRIMINATOR = "an RVC discriminator for training, which is not supported", ""
    FAIRSEQ_HUBERT = "a content encoder of the HuBERT family", "checkpoint_best_legacy_500.pt"
    HUGGING_FACE_HUBERT = "a content encoder of the HuBERT family as Hugging Face stores it", "model.safetensors"
    HUBERT_SOFT = "the content encoder HuBERT-Soft", "hubert-soft-0d54a1f4.pt"
    DPHUBERT = "the content encoder DPHuBERT", "DPHuBERT-sp0.75.pth"
    WAVLM = "the content encoder WavLM", "WavLM-Base+.pt"
    WHISPER = "a Whisper speech recogniser", "medium.pt"
    RMVPE = "the pitch tracker RMVPE", "rmvpe.pt"
    FCPE = "the pitch tracker FCPE", "fcpe.pt"
    CREPE = "the pitch tracker CREPE", "full.pth"
    KMEANS = "a file of cluster centres", "kmeans_10000.pt"
    FEATURE_INDEX = "a feature index", "feature_and_index.pkl"
    DATASET_FEATURES = "the features of one recording of a dataset, not a network", "*.soft.pt"
    BARE_TENSOR = "a single tensor or array, not a network", ""
    OPTIMIZER = "the state of an optimizer without its network", ""
    UNKNOWN = "of a kind that is not known here", ""

    def __init__(self, description: str, usual_name: str) -> None:
        self.description = description
        self.usual_name = usual_name


@dataclass(frozen=True)
class _Signature:
    """A kind is recognised by top-level `entries` and by beginnings of tensor names, all of them present."""

    kind: FileKind
    names: tuple[str, ...] = ()
    entries: frozenset[str] = frozenset()

    def fits(self, names: Collection[str], entries: Collection[str]) -> bool:
        """Say whether a file with these tensor names and top-level entries is of this kind."""
        return self.entries.issubset(entries) and all(_begins_any(names, start) for start in self.names)


# The first that fits is taken: a signature stands before those that ask for less.
_SIGNATURES = (
    _Signature(FileKind.RVC_VOICE, entries=frozenset({"weight", "config"})),
    _Signature(FileKind.WHISPER, entries=frozenset({"dims", "model_state_dict"})),
    _Signature(FileKind.WHISPER, ("encoder.embed_positions.", "encoder.conv1.")),
    _Signature(FileKind.WHISPER, ("model.encoder.embed_positions.", "model.encoder.conv1.")),
    _Signature(FileKind.HIFIGAN_DISCRIMINATOR, entries=frozenset({"mpd", "msd"})),
    _Signature(FileKind.DPHUBERT, ("feature_extractor.dummy_weight",)),
    _Signature(FileKind.WAVLM, ("encoder.layers.0.self_attn.grep_linear.",)),
    _Signature(FileKind.WAVLM, ("encoder.layers.0.attention.gru_rel_pos_linear.",)),
    _Signature(FileKind.FAIRSEQ_HUBERT, ("feature_extractor.conv_layers.0.0.", "encoder.layers.0.self_attn.q_proj.")),
    _Signature(FileKind.HUGGING_FACE_HUBERT, ("feature_projection.projection.", "encoder.layers.0.attention.q_proj.")),
    _Signature(FileKind.HUBERT_SOFT, ("feature_extractor.conv0.", "positional_embedding.conv.")),
    _Signature(FileKind.RVC_GENERATOR, ("enc_p.emb_phone.",)),
    _Signature(FileKind.RVC_DISCRIMINATOR, ("discriminators.6.",)),  # so-vits-svc has six, numbered from 0
    _Signature(FileKind.DISCRIMINATOR, ("discriminators.0.convs.",)),
    _Signature(FileKind.SOVITS_GENERATOR, ("enc_p.enc_.", "pre.", "emb_g.", "enc_q.")),
    _Signature(FileKind.SOVITS_RELEASE, ("enc_p.enc_.", "pre.", "emb_g.")),
    _Signature(FileKind.SOVITS_3, ("enc_p.enc_.",)),
    _Signature(FileKind.DIFFUSION, ("decoder.denoise_fn.", "unit_embed.")),
    _Signature(FileKind.DDSP_SVC, ("unit2ctrl.",)),
    _Signature(FileKind.DDSP_SVC, ("ddsp_model.",)),
    _Signature(FileKind.NSF_HIFIGAN, ("m_source.l_linear.",), frozenset({"generator"})),
    _Signature(FileKind.HIFIGAN, ("conv_pre.",), frozenset({"generator"})),
    _Signature(FileKind.RMVPE, ("unet.encoder.", "fc.")),
    _Signature(FileKind.FCPE, ("cent_table",)),
    _Signature(FileKind.CREPE, ("conv1_BN.", "classifier.")),
    _Signature(FileKind.OTHER_VITS, entries=frozenset({"model", "iteration", "learning_rate"})),
    _Signature(FileKind.OPTIMIZER, entries=frozenset({"state", "param_groups"})),
)
_STATE_ENTRIES = ("model", "model_state_dict", "state_dict", "generator")
_WRAPPERS = re.compile(r"^(?:module|hubert|wavlm)\.")


def identify(data: Any) -> FileKind:
    """Tell what the content of a checkpoint is; file names do not count (models spec 3, 6.1, 7.3, 9, 10.1)."""
    if not isinstance(data, dict):
        return _kind_of_single(data)
    if data and all(_is_index(entry) for entry in data.values()):
        return FileKind.FEATURE_INDEX
    if data and all(isinstance(entry, dict) and "cluster_centers_" in entry for entry in data.values()):
        return FileKind.KMEANS
    names, entries = network_state(data), {key for key in data if isinstance(key, str)}
    fitting = (signature.kind for signature in _SIGNATURES if signature.fits(names, entries))
    return next(fitting, FileKind.UNKNOWN)


def network_state(data: dict[Any, Any]) -> dict[str, Tensor]:
    """Return the tensors of the network in a checkpoint, wherever they lie in it, by their names in the network."""
    state = next((data[key] for key in _STATE_ENTRIES if isinstance(data.get(key), dict)), data)
    tensors = ((key, value) for key, value in state.items() if isinstance(key, str) and isinstance(value, Tensor))
    return {_WRAPPERS.sub("", key): value for key, value in tensors}


def require_kind(checkpoint: Checkpoint, wanted: Sequence[FileKind], path: Path) -> FileKind:
    """Return which of the kinds `wanted` the checkpoint is.

    Raises WeightsError for any other, with a sentence that says what it is and, by the first of `wanted`, what to give.
    """
    found = identify(checkpoint.data)
    if found not in wanted:
        raise WeightsError(f"{path.name!r} is {found.description}; {_request(wanted[0])}")
    return found


def wrong_kind(checkpoint: Checkpoint, wanted: FileKind) -> WeightsError:
    """Return the error of a file that is not what it was given for, where its name is not known."""
    return WeightsError(f"the file is {identify(checkpoint.data).description}; {_request(wanted)}")


def _request(wanted: FileKind) -> str:
    return f"give {wanted.description} (usually {wanted.usual_name})"


def _kind_of_single(data: Any) -> FileKind:
    if isinstance(data, Tensor) and data.ndim == 3 and len(data) == 1:
        return FileKind.DATASET_FEATURES
    return FileKind.BARE_TENSOR if hasattr(data, "shape") else FileKind.UNKNOWN


def _is_index(entry: Any) -> bool:
    return isinstance(entry, InertStub) and entry.dotted_name.startswith("faiss.")


def _begins_any(names: Collection[str], start: str) -> bool:
    return any(name.startswith(start) for name in names)


# Modules whose classes (capitalised; functions are not meant) come from ordinary training programs.
_HARMLESS_CLASSES = re.compile(
    r"(?:fairseq|omegaconf|faiss|pathlib|typing|collections|pytorch_lightning|lightning"
    r"|torch\.(?:optim|nn|amp|cuda\.amp|torch_version))(?:\.\w+)*\.[A-Z]\w*"
    r"|argparse\.Namespace"
    r"|(?:\w+\.)*utils\.HParams"
)
_HARMLESS_VALUES = re.compile(
    r"numpy\.(?:bool_?|u?int(?:8|16|32|64|p|c)?|longlong|float(?:16|32|64)|complex(?:64|128)|dtypes\.\w+DType)"
    r"|numpy\.random\._pickle\.__\w+_ctor"
    r"|(?:builtins|__builtin__)\.(?:int|float|str|bool|bytes|object|type)"
    r"|datetime\.(?:date|time|datetime|timedelta)"
    r"|torch\._utils\._rebuild_\w+"
    r"|torch\.serialization\._get_layout"
)


def suspicious_classes(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return the dotted names in the file that no ordinary training program leaves there.

    Nothing of them was run and the rest of the file is whole, but a file that asks for, say, `posix.system` was
    made to do harm elsewhere, which its user should know.
    """
    known = (_HARMLESS_CLASSES, _HARMLESS_VALUES)
    return tuple(name for name in checkpoint.unknown_classes if not any(pattern.fullmatch(name) for pattern in known))
