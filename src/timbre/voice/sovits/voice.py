"""A voice made with so-vits-svc, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from timbre.config.convert import DIFFUSION_METHODS, ConvertSettings
from timbre.config.diffusion import DiffusionShape
from timbre.config.prepare import PACKAGED_ENCODER
from timbre.config.speaker_mix import Track, read_speaker_mix
from timbre.config.vits import VitsShape
from timbre.config.vocoder import VocoderShape
from timbre.content.contract import ContentEncoder
from timbre.content.encoders import load_encoder
from timbre.errors import MissingWeightsError, SettingsError, VoiceError
from timbre.features.clips import ClipExtractor
from timbre.features.speaker_mix import SpeakerTimeline
from timbre.models.diffusion import state as diffusion_state
from timbre.models.vits.state import complete_config
from timbre.nn.device import check_device
from timbre.nn.precision import precision_name, reduced_type
from timbre.pitch.contract import PitchTracker
from timbre.retrieval.contract import ContentRetrieval
from timbre.vocoder.nsf_hifigan import VOCODER_WEIGHTS
from timbre.voice.card import VoiceCard
from timbre.voice.sovits.building import BuiltNetworks
from timbre.voice.sovits.folder import save_sovits_voice
from timbre.voice.sovits.packaged import packaged_encoder
from timbre.voice.sovits.parts import Network, SovitsParts
from timbre.voice.sovits.render import Networks, SovitsRenderer
from timbre.voice.sovits.retrieval import check_retrieval, open_retrieval
from timbre.voice.tracking import open_tracker
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
    speakers: Mapping[str, int]  # id of each name; the ids themselves where there are no names

    @classmethod
    def of(cls, shape: VitsShape | DiffusionShape) -> Frame:
        """Read it from either model's settings."""
        if isinstance(shape, VitsShape):
            frame = (shape.sample_rate_hz, shape.hop_samples, shape.ssl_dim, shape.speech_encoder)
            return cls(*frame, shape.unit_interpolate_mode, shape.speakers or _numbered(shape.n_speakers))
        frame = (shape.sampling_rate, shape.block_size, shape.encoder_out_channels, shape.encoder)
        return cls(*frame, shape.unit_interpolate_mode, shape.speakers or _numbered(shape.n_spk))


def _numbered(n_speakers: int) -> dict[str, int]:
    return {str(number): number for number in range(n_speakers)}


def _shape_of(model: Network) -> VitsShape:
    return VitsShape.from_config(complete_config(model.config, model.tensors))


class SovitsVoice:
    """A voice ready to render; its networks are built when they are first needed.

    `encoder_folders` are searched for content encoder and pitch tracker after the folders that settings name. Raises
    SettingsError where a config is unusable, VoiceError where parts do not fit each other, DeviceError.
    """

    hears_rumble = True

    def __init__(
        self, card: VoiceCard, parts: SovitsParts, device: str = "cpu", encoder_folders: Sequence[Path] = ()
    ) -> None:
        self.card, self.parts, self.encoder_folders = card, parts, tuple(encoder_folders)
        self.device = torch.device(check_device(device))
        self.shape = _shape_of(parts.model) if parts.model else None
        self.diffusion_shape = DiffusionShape.from_config(parts.diffusion.config) if parts.diffusion else None
        leading = self.shape or self.diffusion_shape
        if leading is None:
            raise VoiceError(f"voice {card.name!r} holds neither a main model nor a diffusion model; import it again")
        self.frame = Frame.of(leading)
        self._tracker: tuple[tuple[object, ...], PitchTracker] | None = None  # the last that was asked for, and how
        self._extractors: dict[tuple[str | None, str | None, bool, torch.dtype | None], ClipExtractor] = {}
        self._networks = BuiltNetworks(parts, self.shape, self.diffusion_shape, self.device)
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

    @property
    def speakers(self) -> Mapping[str, int]:
        """Its speakers by name, with their ids."""
        return self.frame.speakers

    def check(self, settings: ConvertSettings) -> None:
        """Make ready for `settings`: content encoder and pitch tracker are loaded and the networks are built.

        Raises SettingsError for what is asked of the voice that it cannot do, MissingWeightsError, WeightsError or
        VoiceError where a part is absent or does not fit.
        """
        self._check_asked(settings)
        self.extractor(settings)
        self.tracker(settings)
        self.networks(settings)

    def computing(self, settings: ConvertSettings) -> tuple[str, ...]:
        """Return notes on how it computes."""
        return (f"computed in {precision_name(reduced_type(settings.precision, self.device))}",)

    def _check_asked(self, settings: ConvertSettings) -> None:
        settings.check_family(FAMILY, repr(self.card.name))
        settings.check_overlap()
        tracks = self.mixed_speakers(settings)
        speaker_ids = [self.speaker_id(settings.speaker)] if tracks is None else sorted(tracks)
        diffuses = settings.shallow_diffusion or settings.only_diffusion
        if diffuses and self.diffusion_shape is None:
            raise SettingsError(
                f"diffusion was asked for, but voice {self.card.name!r} has no diffusion model; leave it out, "
                "or give one with --diffusion-model and --diffusion-config"
            )
        if diffuses and self.diffusion_shape is not None:
            self._check_diffusion(self.diffusion_shape, settings, speaker_ids)
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

    def _check_diffusion(self, shape: DiffusionShape, settings: ConvertSettings, speaker_ids: Sequence[int]) -> None:
        """Raise SettingsError for what `settings` ask of the diffusion model that it was not trained for."""
        advice = "give a diffusion model that was trained beside this main model"
        for speaker_id in speaker_ids if shape.n_spk > 1 else ():
            name = self._name(speaker_id)
            other_id = shape.speakers.get(name, speaker_id)
            if speaker_id >= shape.n_spk:
                raise SettingsError(
                    f"speaker {name!r} has the number {speaker_id}, but the diffusion model knows {shape.n_spk} "
                    f"speakers; {advice}"
                )
            if other_id != speaker_id:
                raise SettingsError(
                    f"speaker {name!r} has the number {speaker_id} in the main model and {other_id} in the diffusion "
                    f"model; {advice}"
                )
        method = settings.diffusion_method or shape.infer_method
        if method not in DIFFUSION_METHODS:
            raise SettingsError(
                f"the diffusion settings name the unknown method {method!r}; choose one with --diffusion-method: "
                f"{', '.join(DIFFUSION_METHODS)}"
            )
        if settings.only_diffusion and shape.k_step_max < shape.timesteps:
            raise SettingsError(
                f"the diffusion model was trained for the last {shape.k_step_max} of {shape.timesteps} steps and "
                "cannot render alone; ask for shallow_diffusion"
            )
        speedup = settings.diffusion_speedup or shape.infer_speedup
        n_steps = settings.diffusion_steps if settings.shallow_diffusion else shape.timesteps
        if method == "ddim" and 1 < speedup >= n_steps and not settings.compatible:
            raise SettingsError(
                f"ddim was asked to take {speedup} of {n_steps} diffusion steps at once, which leaves all the noise; "
                "ask for a lower diffusion_speedup, more diffusion_steps or another diffusion_method"
            )
        if settings.shallow_diffusion and settings.diffusion_steps > shape.k_step_max:
            raise SettingsError(
                f"diffusion_steps is {settings.diffusion_steps}, but the diffusion model was trained for "
                f"{shape.k_step_max}; ask for no more than that"
            )

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

    def tracker(self, settings: ConvertSettings) -> PitchTracker:
        """Return the pitch tracker that `settings` ask for, loaded once; errors as in `open_tracker`."""
        asked = (settings.pitch, settings.voiced_threshold, settings.pitch_weights, settings.weights_dir)
        if self._tracker is None or self._tracker[0] != asked:
            self._tracker = asked, open_tracker(replace(settings, device=str(self.device)), self.encoder_folders)
        return self._tracker[1]

    def extractor(self, settings: ConvertSettings) -> ClipExtractor:
        """Return the content encoder that the voice was trained with, loaded once.

        Raises MissingWeightsError where its file is not on this machine, WeightsError or VoiceError where it does not
        fit.
        """
        number_type = reduced_type(settings.precision, self.device)
        key = (settings.encoder_weights, settings.weights_dir, settings.only_diffusion, number_type)
        if key not in self._extractors:
            self._extractors[key] = self._load_extractor(settings)
        return self._extractors[key]

    def _load_extractor(self, settings: ConvertSettings) -> ClipExtractor:
        frame = self._frame_of(settings)
        weights_file = None if settings.encoder_weights is None else Path(settings.encoder_weights)
        folders = [*weights_folders(settings.weights_dir), *self.encoder_folders]
        encoder: ContentEncoder
        if frame.encoder == PACKAGED_ENCODER:
            encoder = packaged_encoder(self.card, str(self.device))
        else:
            encoder = load_encoder(
                frame.encoder, weights_file=weights_file, search_folders=folders, device=str(self.device)
            )
        if encoder.dimensions != frame.content_width:
            raise VoiceError(
                f"the config names the content encoder {frame.encoder}, whose features are {encoder.dimensions} wide, "
                f"but the model was trained with {frame.content_width}; correct speech_encoder in config.json"
            )
        number_type = reduced_type(settings.precision, self.device)
        if number_type is not None:
            encoder.reduce(number_type)
        centred = self.parts.release != "4.1-latest"
        return ClipExtractor(encoder, frame.sample_rate_hz, frame.hop_samples, frame.stretch_mode, centred)

    def renderer(
        self, settings: ConvertSettings, extractor: ClipExtractor | None, mix: SpeakerTimeline | None = None
    ) -> SovitsRenderer:
        """Begin a rendering with settings that `check` has found good; `mix` is `mixed_speakers` along the sound."""
        speaker = self.speaker_id(settings.speaker) if mix is None else mix
        return SovitsRenderer(self.networks(settings), extractor, speaker, self._retrieval(settings), settings)

    def networks(self, settings: ConvertSettings) -> Networks:
        """Return the networks that `settings` need, in the precision they ask for.

        Raises WeightsError where weights do not fit their config, DeviceError for a precision the device has not.
        """
        diffuses = settings.shallow_diffusion or settings.only_diffusion
        number_type = reduced_type(settings.precision, self.device)
        return Networks(
            None if settings.only_diffusion else self._networks.synthesizer(number_type),
            self._networks.unit2mel(number_type) if diffuses else None,
            self._networks.vocoder(number_type) if diffuses or settings.enhance else None,
            self.frame.sample_rate_hz,
            self.frame.hop_samples,
            self.frame.sample_rate_hz if self.shape is None else self.shape.source_rate_hz,
            "latest" if self.parts.release == "4.1-latest" else "stable",
        )

    def _frame_of(self, settings: ConvertSettings) -> Frame:
        """Return what the model that hears the sound says; they agree in rate, hop and width."""
        alone = self.diffusion_shape if settings.only_diffusion else None
        return self.frame if alone is None else Frame.of(alone)

    def save(self, folder: Path, *, force: bool = False) -> VoiceCard:
        """Write the voice as a folder; errors as in `timbre.voice.saving.new_voice`."""
        return save_sovits_voice(self.card, self.parts, folder, force=force)

    def build(self) -> None:
        """Build all networks and open centres and indexes; raises WeightsError or VoiceError where one does not fit."""
        check_retrieval(self.parts, self.frame.content_width)
        self._networks.build_all()

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
            assert self.parts.diffusion is not None
            n_mels = diffusion_state.count_mel_bands(self.parts.diffusion.tensors)
            _check_vocoder_fits(VocoderShape.from_config(self.parts.vocoder.config), self.diffusion_shape, n_mels)


def _check_vocoder_fits(vocoder: VocoderShape, diffusion: DiffusionShape, n_mels: int) -> None:
    """Raise VoiceError where the vocoder does not hear what the diffusion model makes."""
    given = (vocoder.sample_rate_hz, vocoder.hop_samples, vocoder.n_mels)
    needed = (diffusion.sampling_rate, diffusion.block_size, n_mels)
    if given != needed:
        raise VoiceError(
            f"the vocoder works at {given[0]} Hz in hops of {given[1]} with {given[2]} mel bands and the diffusion "
            f"model at {needed[0]} Hz in hops of {needed[1]} with {needed[2]}; give the vocoder it was trained with"
        )
