"""A voice of the fast family: a base and what it knows of one person's timbre."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file
from safetensors.torch import save as serialize
from torch import Tensor

from timbre.config.convert import ConvertSettings
from timbre.config.fast import HOP_SAMPLES, SAMPLE_RATE_HZ
from timbre.dsp.frontend import N_MELS
from timbre.errors import VoiceError
from timbre.features.extract import FrameExtractor
from timbre.features.frames import Frames
from timbre.models.fast.decoder import FastDecoder, Timbre
from timbre.nn.precision import precision_name, reduced_type
from timbre.voice.bands import make_bands
from timbre.voice.base import Base, with_decoder, with_reduced_products
from timbre.voice.card import VoiceCard
from timbre.voice.equaliser import make_equaliser
from timbre.voice.mean_spectra import MeanSpectra, SpectralRecentring
from timbre.voice.render import FastRenderer
from timbre.voice.saving import new_voice
from timbre.voice.source_detail import SourceDetail

REFERENCE_FILE, DECODER_FILE = "reference.safetensors", "decoder.safetensors"


@dataclass(frozen=True)
class Reference:
    """What is kept of the recordings a voice was made from."""

    speaker: Tensor  # [D] unit vector
    content: Tensor  # [M, C]
    f0_hz: Tensor  # [M]
    relative_mel: Tensor  # [M, 80]
    correction: Tensor  # [M, 80], see timbre.voice.equaliser
    class_directions: Tensor  # [K, C], see timbre.voice.mean_spectra
    class_log_powers: Tensor  # [K, 80]
    class_frames: Tensor  # [K]

    def timbre(self, decoder: FastDecoder) -> Timbre:
        """Return the timbre as the decoder needs it."""
        parts = (self.speaker, self.content, self.f0_hz, self.relative_mel)
        return decoder.timbre(*(part.unsqueeze(0) for part in parts))

    @property
    def mean_spectra(self) -> MeanSpectra:
        """The mean spectra of the voice by class of sounds."""
        return MeanSpectra(self.class_directions, self.class_log_powers, self.class_frames)


class FastVoice:
    """A voice ready to render; made by `timbre.voice.catalog`."""

    sample_rate_hz = SAMPLE_RATE_HZ
    hop_samples = HOP_SAMPLES
    hears_rumble = False  # which so-vits-svc does, and its voices are to sound as they did

    def __init__(self, card: VoiceCard, base: Base, reference: Reference) -> None:
        _check_base(card, base)
        self.card, self.base, self.reference = card, base, reference
        self._bands = make_bands(base.networks.content.frontend)
        with torch.inference_mode():
            self._timbre = reference.timbre(base.networks.decoder)
            self._equaliser = make_equaliser(reference.content, reference.correction, self._bands)

    def check(self, settings: ConvertSettings) -> None:
        """Raise SettingsError for settings that this family does not know, DeviceError for a precision out of reach."""
        settings.check_family("fast", repr(self.card.name))
        reduced_type(settings.precision, self.base.device)

    def computing(self, settings: ConvertSettings) -> tuple[str, ...]:
        """Return notes on how it computes."""
        return (f"computed in {precision_name(reduced_type(settings.precision, self.base.device))}",)

    def extractor(self, settings: ConvertSettings) -> FrameExtractor:
        """Return what hears the source."""
        return FrameExtractor(self._base_at(settings).networks.content)

    def renderer(self, settings: ConvertSettings) -> FastRenderer:
        """Begin a rendering; `settings` gives retrieval ratio, source detail, precision and seed."""
        goal, basis = self.reference.mean_spectra, self.base.networks.content.frontend.mel_basis
        share = settings.source_detail
        return FastRenderer(
            self._base_at(settings).networks,
            self._timbre,
            self._equaliser,
            SpectralRecentring(goal, self.reference.content, self._bands),
            SourceDetail(share, goal.directions, basis, self._bands) if share else None,
            self.reference.content,
            settings.retrieval_ratio,
            settings.seed,
        )

    def render(self, frames: Frames, settings: ConvertSettings) -> Tensor:
        """Render frames [T] whole; returns sound [T * hop_samples] at `sample_rate_hz`."""
        return self.renderer(settings).push(frames, last=True)

    def _base_at(self, settings: ConvertSettings) -> Base:
        """Return the base that computes as precisely as `settings` say; DeviceError where the device cannot."""
        number_type = reduced_type(settings.precision, self.base.device)
        return self.base if number_type is None else with_reduced_products(self.base, number_type)

    def save(self, folder: Path, *, force: bool = False, extras: Mapping[str, bytes] | None = None) -> VoiceCard:
        """Write the voice as a folder, all or nothing: voice.json, and in half precision reference.safetensors.

        A voice that was trained brings its decoder.safetensors too. `extras` are more files for its users, by name.
        Raises OutputError where `folder` exists without `force`, or is anything but a voice: only a voice is replaced.
        """
        decoder = _halved(self.base.networks.decoder.state_dict()) if self.base.is_tuned else None
        card = replace(self.card, decoder_sha256="" if decoder is None else hashlib.sha256(decoder).hexdigest())
        with new_voice(folder, force=force) as temporary:
            card.save(temporary)
            (temporary / REFERENCE_FILE).write_bytes(_halved(vars(self.reference)))
            if decoder is not None:
                (temporary / DECODER_FILE).write_bytes(decoder)
            for name, content in (extras or {}).items():
                (temporary / name).write_bytes(content)
        return replace(card, path=str(folder))


def _halved(tensors: Mapping[str, Tensor]) -> bytes:
    return serialize({name: tensor.half().contiguous().cpu() for name, tensor in tensors.items()})


def read_voice(folder: Path, base: Base) -> FastVoice:
    """Read a voice folder written by `FastVoice.save`; raises VoiceError where it is damaged or does not fit `base`."""
    card = VoiceCard.read(folder)
    _check_base(card, base)
    if card.decoder_sha256:
        base = _with_own_decoder(card, folder, base)
    try:
        tensors = load_file(folder / REFERENCE_FILE)
        reference = Reference(**{name: value.float().to(base.device) for name, value in tensors.items()})
    except (OSError, TypeError, SafetensorError) as error:
        raise VoiceError(f"voice {card.name!r} in {folder} is damaged ({error}); get or make it again") from error
    fault = _fault(reference, base)
    if fault is not None:
        raise VoiceError(f"voice {card.name!r} in {folder} is damaged ({fault}); get or make it again")
    return FastVoice(card, base, reference)


def _check_base(card: VoiceCard, base: Base) -> None:
    if card.base_sha256 != base.sha256:
        raise VoiceError(
            f"voice {card.name!r} was made for another version of {card.base}; make it again from its recordings"
        )


def _with_own_decoder(card: VoiceCard, folder: Path, base: Base) -> Base:
    """Return the base with the decoder that lies in the voice's folder; raises VoiceError where it is damaged."""
    try:
        content = (folder / DECODER_FILE).read_bytes()
        if hashlib.sha256(content).hexdigest() != card.decoder_sha256:
            raise ValueError("its decoder has changed")
        decoder = FastDecoder(**vars(base.shape.decoder))
        decoder.load_state_dict({name: tensor.float() for name, tensor in load(content).items()})
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise VoiceError(f"voice {card.name!r} in {folder} is damaged ({reason}); get or make it again") from error
    return with_decoder(base, decoder.eval().requires_grad_(False).to(base.device))


def _fault(reference: Reference, base: Base) -> str | None:
    """Say what in `reference` cannot be from a voice of `base`; None where all fits."""
    n_frames = len(reference.f0_hz) if reference.f0_hz.dim() == 1 else 0
    n_classes = len(reference.class_frames) if reference.class_frames.dim() == 1 else 0
    expected = {
        "speaker": (base.networks.speaker.project.out_features,),
        "content": (n_frames, base.networks.content.bottleneck.out_features),
        "f0_hz": (n_frames,),
        "relative_mel": (n_frames, N_MELS),
        "correction": (n_frames, N_MELS),
        "class_directions": (n_classes, base.networks.content.bottleneck.out_features),
        "class_log_powers": (n_classes, N_MELS),
        "class_frames": (n_classes,),
    }
    for name, shape in expected.items():
        tensor: Tensor = getattr(reference, name)
        if tensor.shape != shape or 0 in shape:
            return f"{name} has the shape {tuple(tensor.shape)}"
        if not tensor.isfinite().all():
            return f"{name} holds NaN or infinity"
    return None
