"""The families of voices that can be trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from timbre.config.train import TrainSettings
from timbre.dataset.folder import Dataset
from timbre.train.diffusion import diffusion_voice
from timbre.train.fast import fast_voice
from timbre.train.trainee import VoiceInTraining
from timbre.train.vits import vits_voice
from timbre.train.vocoder import vocoder_voice

FAMILIES: Mapping[str, Callable[[Dataset, TrainSettings, torch.device], VoiceInTraining]] = {
    "fast": fast_voice,
    "vits": vits_voice,
    "diffusion": diffusion_voice,
    "vocoder": vocoder_voice,
}
"""What makes the voice to train, on a device, by the name of its family; choices of `TrainSettings.family`."""
