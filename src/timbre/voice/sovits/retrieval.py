"""What a so-vits-svc voice has to retrieve content from, ready for use."""

from __future__ import annotations

import torch

from timbre.errors import SettingsError, VoiceError
from timbre.retrieval.contract import ContentRetrieval
from timbre.retrieval.faiss_file import read_faiss_index
from timbre.retrieval.feature_index import FeatureIndex
from timbre.retrieval.kmeans import ClusterCentres
from timbre.voice.sovits.parts import SovitsParts

_WORDS = {"clusters": "cluster centres", "index": "feature index", "auto": "cluster centres and no feature index"}


def open_retrieval(
    parts: SovitsParts, speaker: str, speaker_id: int, choice: str, content_width: int, device: torch.device
) -> ContentRetrieval:
    """Open the cluster centres or the feature index of one speaker; `choice` is that of the settings.

    Raises SettingsError where there is none, or both and no choice; WeightsError or VoiceError for one that cannot be
    read or was made from other content.
    """
    there = {"clusters": speaker in parts.centres, "index": speaker_id in parts.indexes}
    kinds = [kind for kind, is_there in there.items() if is_there and choice in ("auto", kind)]
    if not kinds:
        raise SettingsError(
            f"retrieval_ratio was given, but speaker {speaker!r} has no {_WORDS[choice]}; leave it out, or give the "
            "file with --cluster or --index beside --model or when you import the voice"
        )
    if len(kinds) > 1:
        raise SettingsError(
            f"speaker {speaker!r} has cluster centres and a feature index; choose with --retrieval clusters or index"
        )
    found = _centres(parts, speaker, device) if kinds == ["clusters"] else _index(parts, speaker_id, device)
    _check_width(found, content_width)
    return found


def check_retrieval(parts: SovitsParts, content_width: int) -> None:
    """Raise WeightsError or VoiceError for centres or indexes that cannot be read or were made from other content."""
    for speaker in parts.centres:
        _check_width(_centres(parts, speaker), content_width)
    for speaker_id in parts.indexes:
        _check_width(_index(parts, speaker_id), content_width)


def _centres(parts: SovitsParts, speaker: str, device: str | torch.device = "cpu") -> ClusterCentres:
    return ClusterCentres(parts.centres[speaker].to(device))


def _index(parts: SovitsParts, speaker_id: int, device: str | torch.device = "cpu") -> FeatureIndex:
    return read_faiss_index(parts.indexes[speaker_id], device)


def _check_width(found: ClusterCentres | FeatureIndex, content_width: int) -> None:
    if found.width != content_width:
        kind = "cluster centres were" if isinstance(found, ClusterCentres) else "feature index was"
        raise VoiceError(
            f"the {kind} made from content {found.width} wide, but this voice has content {content_width} wide; "
            "give the file that was trained beside its model"
        )
