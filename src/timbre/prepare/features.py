"""Makes the features of clips; each network is loaded when it is first needed, and only then."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from timbre.audio.resample import resample
from timbre.config.prepare import PACKAGED_ENCODER, PrepareSettings
from timbre.config.vocoder import USUAL_VOCODER
from timbre.content.contract import ContentEncoder
from timbre.content.encoders import load_encoder
from timbre.dsp.sinc_resample import sinc_resample
from timbre.dsp.volume import frame_volume
from timbre.features.extract import FrameExtractor
from timbre.nn.precision import reduced_type
from timbre.pitch.contract import PitchTracker
from timbre.pitch.trackers import load_tracker
from timbre.prepare.cutting_recordings import SAMPLE_RATE_HZ
from timbre.prepare.hearing import Hearing
from timbre.vocoder.mel import VocoderMel
from timbre.voice.base import load_base
from timbre.weights.search import weights_folders

KEY_SHIFT_SEMITONES = 5.0

Wave = NDArray[np.float32]
Arrays = dict[str, NDArray[Any]]


class FeatureMaker:
    """Makes one kind of features of a clip at a time; errors as where networks are loaded, and AudioError."""

    def __init__(self, settings: PrepareSettings, hearing: Hearing) -> None:
        self._settings, self._hearing = settings, hearing
        self._is_packaged = hearing.encoder == PACKAGED_ENCODER

    def make(self, kind: str, wave: Wave, clip_id: str) -> Arrays:
        """Return the arrays of `kind` for `wave` [N] at the dataset's rate.

        What is drawn for it depends on `clip_id` and the seed of the settings.
        """
        makers = {
            "content": self._content,
            "pitch": self._pitch,
            "loudness": self._loudness,
            "diffusion": self._diffusion,
        }
        return makers[kind](wave, clip_id)

    def _content(self, wave: Wave, _: str) -> Arrays:
        if self._is_packaged:
            return {"content": self._heard(wave)[0].numpy()}
        tensor = torch.from_numpy(wave).to(self._settings.device)
        with torch.inference_mode():
            units = self._encoder.encode(sinc_resample(tensor, SAMPLE_RATE_HZ, self._encoder.sample_rate_hz))
        return {"content": units.float().cpu().numpy()}

    def _pitch(self, wave: Wave, _: str) -> Arrays:
        rate, hop = self._hearing.frame_rate_hz, self._hearing.hop_samples
        track = self._tracker.track(resample(wave, SAMPLE_RATE_HZ, rate), rate, hop)
        return {"f0_hz": track.f0_hz, "voiced": track.voiced}

    def _loudness(self, wave: Wave, _: str) -> Arrays:
        if self._is_packaged:  # as its voices hear it: 2 * log(volume) is the loudness of the frames
            return {"volume": torch.exp(self._heard(wave)[1] / 2).numpy()}
        return {"volume": self._volume(torch.from_numpy(wave)).numpy()}

    def _diffusion(self, wave: Wave, clip_id: str) -> Arrays:
        """Return what models spec 8.6 describes: the mel spectrogram, and that of the sound louder and shifted."""
        tensor = torch.from_numpy(wave)
        chance = np.random.default_rng([self._settings.seed, int(clip_id, 16)])
        peak = float(tensor.abs().max()) + 1e-5
        gain = 10 ** chance.uniform(-1, min(1.0, math.log10(1 / peak)))
        shift = chance.uniform(-KEY_SHIFT_SEMITONES, KEY_SHIFT_SEMITONES)
        changed = tensor * gain
        n_frames = len(wave) // self._hearing.hop_samples
        with torch.inference_mode():
            mels = [self._mel(each[None], key)[0, :, :n_frames].T for each, key in ((tensor, 0.0), (changed, shift))]
        return {
            "mel": mels[0].contiguous().numpy(),
            "augmented_mel": mels[1].contiguous().numpy(),
            "augmented_volume": self._volume(changed).numpy(),
            "key_shift_semitones": np.array([shift], dtype=np.float32),
        }

    def _volume(self, wave: torch.Tensor) -> torch.Tensor:
        return frame_volume(wave, self._hearing.hop_samples)

    def _heard(self, wave: Wave) -> tuple[torch.Tensor, torch.Tensor]:
        """Return content [T, C] and loudness [T] as the packaged encoder hears them."""
        wave_16k = resample(wave, SAMPLE_RATE_HZ, self._hearing.frame_rate_hz)
        extractor = self._extractor
        tensor = torch.from_numpy(wave_16k).to(self._settings.device)
        heard, _ = extractor.step(tensor, extractor.fresh_state(), last=True)
        return heard.content.cpu(), heard.loudness.cpu()

    @functools.cached_property
    def _extractor(self) -> FrameExtractor:
        base = load_base(Path(self._hearing.base_folder), self._settings.device)
        return FrameExtractor(base.networks.content)

    @functools.cached_property
    def _encoder(self) -> ContentEncoder:
        given = self._settings.encoder_weights
        encoder = load_encoder(
            self._hearing.encoder,
            weights_file=None if given is None else Path(given),
            search_folders=self._folders,
            device=self._settings.device,
        )
        number_type = reduced_type(self._settings.precision, self._settings.device)
        if number_type is not None:
            encoder.reduce(number_type)
        return encoder

    @functools.cached_property
    def _tracker(self) -> PitchTracker:
        return load_tracker(
            self._hearing.pitch,
            voiced_threshold=self._settings.voiced_threshold,
            device=self._settings.device,
            weights_file=self._settings.pitch_weights,
            search_folders=self._folders,
        )

    @functools.cached_property
    def _mel(self) -> VocoderMel:
        return VocoderMel(USUAL_VOCODER)

    @property
    def _folders(self) -> list[Path]:
        return weights_folders(self._settings.weights_dir)
