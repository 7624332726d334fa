"""What is done with finished voices: slimming, mixing; for voices by name and for G_*.pth files alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from timbre.errors import OutputError, VoiceError
from timbre.voice.card import VoiceCard, safe_name
from timbre.voice.saving import check_replaceable
from timbre.voice.shelf import find_voice_or_folder
from timbre.voice.sovits.export import generator_content, write_generator
from timbre.voice.sovits.folder import read_parts, save_sovits_voice
from timbre.voice.sovits.mixing import effective_weights, mix_checkpoints, mix_states
from timbre.voice.sovits.parts import Network, SovitsParts
from timbre.voice.sovits.slimming import slim_state
from timbre.voice.sovits.voice import FAMILY
from timbre.weights.identify import FileKind, network_state, require_kind
from timbre.weights.restricted import read_checkpoint

_MODEL_SUFFIXES = (".pth", ".pt")


@dataclass(frozen=True)
class Slimmed:
    """Sizes before and after, in bytes of tensors."""

    before: int
    after: int


def find_sovits_voice(name: str) -> tuple[VoiceCard, SovitsParts]:
    """Return card and parts of a voice by name or folder; raises VoiceError where it is of another family."""
    card = find_voice_or_folder(name)
    if card.family != FAMILY:
        raise VoiceError(f"voice {card.name!r} is of the family {card.family}; only so-vits-svc voices can do that")
    return card, read_parts(Path(card.path))


def slim_voice(name: str, *, half: bool) -> Slimmed:
    """Leave out of a voice what only training needs; it converts as before. Errors as in `find_sovits_voice`."""
    card, parts = find_sovits_voice(name)
    model = _main(card, parts)
    slim = Network(slim_state(model.tensors, half=half), model.config)
    save_sovits_voice(card, replace(parts, model=slim), Path(card.path), force=True)
    return Slimmed(_n_bytes(model.tensors.values()), _n_bytes(slim.tensors.values()))


def slim_file(path: Path, output: Path | None, *, half: bool, force: bool) -> tuple[Path, Slimmed]:
    """Write a G_*.pth without what only training needs; `output` is by default NAME_release.pth or _release_half.pth.

    Raises OutputError where the output exists without `force`, WeightsError for another kind of file.
    """
    output = output or path.with_name(f"{path.stem}_release{'_half' if half else ''}.pth")
    _check_new(output, force)
    tensors = network_state(_generator(path))
    slim = slim_state(tensors, half=half)
    write_generator(generator_content(slim), output)
    return output, Slimmed(_n_bytes(tensors.values()), _n_bytes(slim.values()))


def mix_voices(
    names: Sequence[str], weights: Sequence[float], rule: str, new_name: str, folder: Path, *, force: bool
) -> tuple[VoiceCard, list[float]]:
    """Make a voice whose main model is a mix of those of several; returns its card and what each counted for.

    Vocoder and settings are those of the first voice; diffusion, clusters and indexes belong to one voice and are left
    out. Raises VoiceError for voices without main models or of different configs, and the errors of `mix_states`.
    """
    if new_name != safe_name(new_name):
        raise VoiceError(f"the name is {new_name!r}, which not every system takes; use {safe_name(new_name)!r}")
    check_replaceable(folder, force=force)
    shares = effective_weights(weights, rule)
    found = [find_sovits_voice(name) for name in names]
    models = [_main(card, parts) for card, parts in found]
    for (card, _), model in zip(found, models, strict=True):
        if model.config.get("model") != models[0].config.get("model"):
            raise VoiceError(
                f"voice {card.name!r} has another config than {found[0][0].name!r}; "
                "only models of one shape can be mixed"
            )
    first_card, first_parts = found[0]
    mixed = Network(mix_states([model.tensors for model in models], shares), models[0].config)
    parts = SovitsParts(mixed, None, first_parts.vocoder, first_parts.release)
    ingredients = ", ".join(f"{share:.3f} {card.name}" for share, (card, _) in zip(shares, found, strict=True))
    licences = dict.fromkeys(card.licence for card, _ in found)
    card = replace(
        first_card,
        name=new_name,
        description=f"mix of {ingredients}",
        licence="; ".join(licences),
        attribution="; ".join(dict.fromkeys(card.attribution for card, _ in found if card.attribution)),
        consent="; ".join(dict.fromkeys(card.consent for card, _ in found if card.consent)),
    )
    return save_sovits_voice(card, parts, folder, force=force), shares


def mix_files(paths: Sequence[Path], weights: Sequence[float], rule: str, output: Path, *, force: bool) -> list[float]:
    """Write a G_*.pth that is a mix of several; returns what each counted for.

    Raises OutputError where the output exists without `force`, WeightsError for files that do not fit each other.
    """
    _check_new(output, force)
    shares = effective_weights(weights, rule)
    write_generator(mix_checkpoints([_generator(path) for path in paths], shares), output)
    return shares


def is_model_file(name: str) -> bool:
    """Say whether `name` is meant as a file of a model, not as a voice."""
    return name.endswith(_MODEL_SUFFIXES)


def _main(card: VoiceCard, parts: SovitsParts) -> Network:
    if parts.model is None:
        raise VoiceError(f"voice {card.name!r} is a diffusion model alone, without a main model; choose another voice")
    return parts.model


def _generator(path: Path) -> dict[Any, Any]:
    """Return the content of a G_*.pth."""
    checkpoint = read_checkpoint(path)
    require_kind(checkpoint, (FileKind.SOVITS_GENERATOR, FileKind.SOVITS_RELEASE), path)
    content: dict[Any, Any] = checkpoint.data
    return content


def _check_new(output: Path, force: bool) -> None:
    if output.exists() and not force:
        raise OutputError(f"{output} exists; choose another name or use --force")


def _n_bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
