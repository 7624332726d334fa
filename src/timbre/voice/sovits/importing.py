"""Making a voice of this program from the files of so-vits-svc, kept on disk or for one use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from timbre.config.sovits import SovitsFiles, VoiceFacts
from timbre.errors import VoiceError
from timbre.voice.card import VoiceCard, safe_name
from timbre.voice.saving import check_replaceable
from timbre.voice.sovits.reading import SovitsReader
from timbre.voice.sovits.voice import FAMILY, SovitsVoice
from timbre.weights.search import weights_folders


def sovits_folders(files: SovitsFiles, weights_dir: str | Path | None = None) -> list[Path]:
    """Return the folders to look for other weights in: the usual ones, then `pretrain/` beside and above the model."""
    main = files.path("model") or files.path("diffusion_model")
    trees = [] if main is None else [parent / "pretrain" for parent in main.resolve().parents[:4]]
    return weights_folders(weights_dir) + trees


def open_sovits_files(
    files: SovitsFiles,
    search_folders: Sequence[Path],
    *,
    name: str | None = None,
    facts: VoiceFacts | None = None,
    device: str = "cpu",
) -> tuple[SovitsVoice, tuple[str, ...]]:
    """Read the files of a voice; returns the voice and notes for its user.

    `name` is by default that of the first file. All weights are fitted to their configs, so that a mismatch is known
    now. Errors as in `SovitsReader.read`, and WeightsError where weights and config differ.
    """
    facts = facts or VoiceFacts()
    read = SovitsReader().read(files, list(search_folders))
    main = files.path("model") or files.path("diffusion_model")
    assert main is not None
    card = VoiceCard(
        name=safe_name(main.stem if name is None else name),
        description=facts.description or f"imported from {main.name}",
        languages=tuple(word.strip() for word in (facts.languages or "").split(",") if word.strip()),
        median_f0_hz=facts.median_pitch,
        licence=facts.licence or "unknown",
        attribution=facts.attribution or "",
        consent=facts.consent or "",
        family=FAMILY,
    )
    voice = SovitsVoice(card, read.parts, device, search_folders)
    if len(voice.speakers) > 1:
        voice.card = replace(card, speakers=tuple(voice.speakers))
    voice.build()
    return voice, read.notes


def import_sovits_voice(
    files: SovitsFiles, name: str, facts: VoiceFacts, folder: Path, search_folders: Sequence[Path], *, force: bool
) -> tuple[VoiceCard, tuple[str, ...]]:
    """Keep the files of a voice as the voice folder `folder`; returns its card and notes for its user.

    Raises VoiceError for a name that no file may have, OutputError where the folder is taken, and all that
    `open_sovits_files` raises. Nothing is left behind when it fails.
    """
    if name != safe_name(name):
        raise VoiceError(f"the name is {name!r}, which not every system takes in a file name; use {safe_name(name)!r}")
    check_replaceable(folder, force=force)
    voice, notes = open_sovits_files(files, search_folders, name=name, facts=facts)
    return voice.save(folder, force=force), notes
