"""A voice made with so-vits-svc, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from timbre.config.convert import ConvertSettings
from timbre.config.diffusion import DiffusionShape
from timbre.config.speaker_mix import Track, read_speaker_mix
from timbre.config.vits import VitsShape
from timbre.config.vocoder import VocoderShape
from timbre.content.encoders import load_encoder
from timbre.errors import MissingWeightsError, SettingsError, VoiceError
from timbre.features.clips import ClipExtractor
from timbre.features.speaker_mix import SpeakerTimeline
from timbre.models.diffusion import state as diffusion_state
from timbre.models.diffusion.unit2mel import Unit2Mel
from timbre.models.vits import state as vits_state
from timbre.models.vits.synthesizer import Synthesizer
from timbre.nn.device import check_device
from timbre.retrieval.contract import ContentRetrieval
from timbre.vocoder.nsf_hifigan import VOCODER_WEIGHTS, NsfHifigan
from timbre.voice.card import VoiceCard
from timbre.voice.sovits.folder import save_sovits_voice
from timbre.voice.sovits.parts import SovitsParts
from timbre.voice.sovits.render import Networks, SovitsRenderer
from timbre.voice.sovits.retrieval import check_retrieval, open_retrieval
from timbre.weights.catalogue import CATALOGUE
from timbre.weights.finding import ways_to_get
from timbre.weights.search import weights_folders

FAMILY = "sovits"


@dataclass(frozen=True)
class Frame:
    """What main model and diffusion model both work on."""

    sample_rate_hz: int
    hop_samples: int
    content_width: int
    encoder: str
    stretch_mode: str
    n_speakers: int
    speakers: Mapping[str, int]  # id of each name

    @classmethod
    def of(cls, shape: VitsShape | DiffusionShape) -> Frame:
        """Read it from either model's settings."""
        if isinstance(shape, VitsShape):
            frame = (shape.sample_rate_hz, shape.hop_samples, shape.ssl_dim, shape.speech_encoder)
            return cls(*frame, shape.unit_interpolate_mode, shape.n_speakers, shape.speakers)
        frame = (shape.sampling_rate, shape.block_size, shape.encoder_out_channels, shape.encoder)
        return cls(*frame, shape.unit_interpolate_mode, shape.n_spk, shape.speakers)


class SovitsVoice:
    """A voice ready to render; its networks are built when they are first needed.

    `encoder_folders` are searched for content encoder and pitch tracker after the folders that settings name. Raises
    SettingsError where a config is unusable, VoiceError where parts do not fit each other, DeviceError.
    """

    def __init__(
        self, card: VoiceCard, parts: SovitsParts, device: str = "cpu", encoder_folders: Sequence[Path] = ()
    ) -> None:
        self.card, self.parts, self.encoder_folders = card, parts, tuple(encoder_folders)
        self.device = torch.device(check_device(device))
        self.shape = VitsShape.from_config(parts.model.config) if parts.model else None
        self.diffusion_shape = DiffusionShape.from_config(parts.diffusion.config) if parts.diffusion else None
        leading = self.shape or self.diffusion_shape
        if leading is None:
            raise VoiceError(f"voice {card.name!r} holds neither a main model nor a diffusion model; import it again")
        self.frame = Frame.of(leading)
        numbered = {str(number): number for number in range(self.frame.n_speakers)}
        self.speakers = dict(self.frame.speakers) or numbered
        self._extractors: dict[tuple[str | None, str | None], ClipExtractor] = {}
        self._retrievals: dict[tuple[int, str], ContentRetrieval] = {}
        self._check_parts_fit()

    @property
    def sample_rate_hz(self) -> int:
        """Rate of what it renders."""
        return self.frame.sample_rate_hz

    @property
    def hop_samples(self) -> int:
        """Samples of one frame."""
        return self.frame.hop_samples

    def check(self, settings: ConvertSettings) -> None:
        """Raise SettingsError or MissingWeightsError for what `settings` ask of the voice that it cannot do."""
        settings.check_family(FAMILY, self.card.name)
        tracks = self.mixed_speakers(settings)
        speaker_id = self.speaker_id(settings.speaker) if tracks is None else max(tracks)
        diffuses = settings.shallow_diffusion or settings.only_diffusion
        if diffuses and self.parts.diffusion is None:
            raise SettingsError(
                f"diffusion was asked for, but voice {self.card.name!r} has no diffusion model; leave it out, "
                "or give one with --diffusion-model and --diffusion-config"
            )
        if diffuses and self.diffusion_shape is not None and speaker_id >= self.diffusion_shape.n_spk > 1:
            raise SettingsError(
                f"speaker {self._name(speaker_id)!r} has the number {speaker_id}, but the diffusion model knows "
                f"{self.diffusion_shape.n_spk} speakers; give a diffusion model that was trained beside this main model"
            )
        if not settings.only_diffusion and self.parts.model is None:
            raise SettingsError(f"voice {self.card.name!r} is a diffusion model alone; ask for only_diffusion")
        if (diffuses or settings.enhance) and self.parts.vocoder is None:
            raise MissingWeightsError(
                f"voice {self.card.name!r} has no NSF-HiFiGAN vocoder, which diffusion and the enhancer need; "
                f"{ways_to_get(CATALOGUE[VOCODER_WEIGHTS])} (a voice takes the vocoder in when it is imported)"
            )
        if settings.predict_pitch and self.shape is not None and not self.shape.use_automatic_f0_prediction:
            raise SettingsError(f"voice {self.card.name!r} was trained without pitch prediction; leave it out")
        self._retrieval(settings)

    def speaker_id(self, name: str | None) -> int:
        """Return the number of a speaker by name or number; None: the only one.

        Raises SettingsError with those there are.
        """
        if name is None and len(self.speakers) == 1:
            return next(iter(self.speakers.values()))
        if name is not None and name in self.speakers:
            return self.speakers[name]
        if name is not None and name.isdecimal() and int(name) in self.speakers.values():
            return int(name)
        known = ", ".join(self.speakers)
        if name is None:
            raise SettingsError(f"voice {self.card.name!r} holds several speakers; choose one with --speaker: {known}")
        raise SettingsError(f"voice {self.card.name!r} has no speaker {name!r}; it has: {known}")

    def mixed_speakers(self, settings: ConvertSettings) -> dict[int, Track] | None:
        """Return the tracks of the speakers that `settings` ask to mix, by number; None: a single speaker.

        Raises SettingsError for a mix that cannot be read or names other speakers than there are.
        """
        return None if settings.speaker_mix is None else read_speaker_mix(settings.speaker_mix).by_number(self.speakers)

    def _name(self, speaker_id: int) -> str:
        return next(name for name, number in self.speakers.items() if number == speaker_id)

    def _retrieval(self, settings: ConvertSettings) -> ContentRetrieval | None:
        """Return what `settings` ask to retrieve from, opened once; errors as in `open_retrieval`."""
        if settings.retrieval_ratio == 0:
            return None
        speaker_id = self.speaker_id(settings.speaker)
        key = (speaker_id, settings.retrieval)
        if key not in self._retrievals:
            name, width = self._name(speaker_id), self.frame.content_width
            self._retrievals[key] = open_retrieval(self.parts, name, *key, width, self.device)
        return self._retrievals[key]

    def extractor(self, settings: ConvertSettings) -> ClipExtractor:
        """Return the content encoder that the voice was trained with, loaded once.

        Raises MissingWeightsError where its file is not on this machine, WeightsError or VoiceError where it does not
        fit.
        """
        key = (settings.encoder_weights, settings.weights_dir)
        if key not in self._extractors:
            self._extractors[key] = self._load_extractor(*(None if each is None else Path(each) for each in key))
        return self._extractors[key]

    def _load_extractor(self, weights_file: Path | None, weights_dir: Path | None) -> ClipExtractor:
        frame = self.frame
        folders = [*weights_folders(weights_dir), *self.encoder_folders]
        encoder = load_encoder(
            frame.encoder, weights_file=weights_file, search_folders=folders, device=str(self.device)
        )
        if encoder.dimensions != frame.content_width:
            raise VoiceError(
                f"the config names the content encoder {frame.encoder}, whose features are {encoder.dimensions} wide, "
                f"but the model was trained with {frame.content_width}; correct speech_encoder in config.json"
            )
        centred = self.parts.release != "4.1-latest"
        return ClipExtractor(encoder, frame.sample_rate_hz, frame.hop_samples, frame.stretch_mode, centred)

    def renderer(
        self, settings: ConvertSettings, extractor: ClipExtractor, mix: SpeakerTimeline | None = None
    ) -> SovitsRenderer:
        """Begin a rendering; builds the networks it needs. Errors as in `check`.

        `mix` is what becomes of `mixed_speakers` along the sound.
        """
        self.check(settings)
        diffuses = settings.shallow_diffusion or settings.only_diffusion
        networks = Networks(
            None if settings.only_diffusion else self.synthesizer,
            self.unit2mel if diffuses else None,
            self.vocoder if diffuses or settings.enhance else None,
            self.frame.sample_rate_hz,
            self.frame.hop_samples,
            self.frame.sample_rate_hz if self.shape is None else self.shape.source_rate_hz,
            "latest" if self.parts.release == "4.1-latest" else "stable",
        )
        speaker = self.speaker_id(settings.speaker) if mix is None else mix
        return SovitsRenderer(networks, extractor, speaker, self._retrieval(settings), settings)

    def save(self, folder: Path, *, force: bool = False) -> VoiceCard:
        """Write the voice as a folder; errors as in `timbre.voice.saving.new_voice`."""
        return save_sovits_voice(self.card, self.parts, folder, force=force)

    @cached_property
    def synthesizer(self) -> Synthesizer:
        """The main model, ready for inference. Raises WeightsError where its weights do not fit its config."""
        assert self.shape is not None and self.parts.model is not None
        model = Synthesizer(self.shape, f0_saturates=self.parts.release == "4.0")
        vits_state.load_state(model, self.parts.model.tensors)
        vits_state.fold_weight_norm(model)
        return model.eval().requires_grad_(False).to(self.device)

    @cached_property
    def unit2mel(self) -> Unit2Mel:
        """The diffusion model. Raises WeightsError where its weights do not fit its config."""
        assert self.diffusion_shape is not None and self.parts.diffusion is not None
        n_mels = len(self.parts.diffusion.tensors["decoder.denoise_fn.output_projection.weight"])
        model = Unit2Mel(self.diffusion_shape, n_mels)
        diffusion_state.load_state(model, self.parts.diffusion.tensors)
        return model.eval().requires_grad_(False).to(self.device)

    @cached_property
    def vocoder(self) -> NsfHifigan:
        """The vocoder. Raises WeightsError where its weights do not fit its config."""
        assert self.parts.vocoder is not None
        vocoder_type = self.diffusion_shape.vocoder_type if self.diffusion_shape is not None else ""
        shape = VocoderShape.from_config(self.parts.vocoder.config)
        model = NsfHifigan(shape, log10_mel=vocoder_type == "nsf-hifigan-log10")
        model.load(self.parts.vocoder.tensors)
        return model.to(self.device)

    def build(self) -> None:
        """Build all networks and open centres and indexes; raises WeightsError or VoiceError where one does not fit."""
        check_retrieval(self.parts, self.frame.content_width)
        if self.parts.model is not None:
            _ = self.synthesizer
        if self.parts.diffusion is not None:
            _ = self.unit2mel
        if self.parts.vocoder is not None:
            _ = self.vocoder

    def _check_parts_fit(self) -> None:
        """Raise VoiceError where main model, diffusion model and vocoder work on different frames or features."""
        if self.shape is not None and self.diffusion_shape is not None:
            main, other = Frame.of(self.shape), Frame.of(self.diffusion_shape)
            for name in ("sample_rate_hz", "hop_samples", "content_width"):
                if getattr(main, name) != getattr(other, name):
                    raise VoiceError(
                        f"the main model has {name} {getattr(main, name)} and the diffusion model "
                        f"{getattr(other, name)}; give a diffusion model that was trained beside this main model"
                    )
        if self.diffusion_shape is not None and self.parts.vocoder is not None:
            shape, frame = VocoderShape.from_config(self.parts.vocoder.config), Frame.of(self.diffusion_shape)
            if (shape.sample_rate_hz, shape.hop_samples) != (frame.sample_rate_hz, frame.hop_samples):
                raise VoiceError(
                    f"the vocoder works at {shape.sample_rate_hz} Hz in hops of {shape.hop_samples} and the diffusion "
                    f"model at {frame.sample_rate_hz} Hz in hops of {frame.hop_samples}; give the vocoder it was "
                    "trained with"
                )
