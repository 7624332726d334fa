"""The NSF-HiFiGAN vocoder of OpenVPI: log-mel spectrogram and pitch into sound (models spec 10)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from timbre.config.vocoder import VocoderShape
from timbre.errors import MissingWeightsError, SettingsError, WeightsError
from timbre.nn.draws import Draws
from timbre.nn.nsf_generator import NsfGenerator
from timbre.nn.reduced_generator import ReducedNsfGenerator
from timbre.nn.weight_norm import current_name, fold_weight_norm, legacy_name
from timbre.vocoder.mel import VocoderMel
from timbre.weights.catalogue import CATALOGUE
from timbre.weights.identify import FileKind, identify, network_state
from timbre.weights.restricted import read_checkpoint
from timbre.weights.search import weights_in_folder

CONFIG_FILE = "config.json"
VOCODER_WEIGHTS = "nsf_hifigan"
"""Their name in `timbre.weights.catalogue`."""

_LOG10_OF_E = 0.434294
_WRAPPER = "generator."  # before the names in checkpoints of training


class NsfHifigan(nn.Module):
    """A vocoder for the one rate and hop that `shape` tells.

    `log10_mel` is for the type "nsf-hifigan-log10", whose generator hears decimal logarithms; outside of it the
    mel spectrogram is natural all the same.
    """

    def __init__(self, shape: VocoderShape, *, log10_mel: bool = False) -> None:
        super().__init__()
        self.shape = shape
        self._mel_gain = _LOG10_OF_E if log10_mel else 1.0
        self.extractor = VocoderMel(shape)
        self.generator: NsfGenerator | ReducedNsfGenerator = NsfGenerator(
            in_channels=shape.n_mels,
            upsample_rates=shape.upsample_rates,
            upsample_kernel_sizes=shape.upsample_kernel_sizes,
            upsample_initial_channel=shape.upsample_initial_channel,
            resblock=shape.resblock,
            resblock_kernel_sizes=shape.resblock_kernel_sizes,
            resblock_dilation_sizes=shape.resblock_dilation_sizes,
        )

    @torch.no_grad()
    def mel(self, wave: Tensor, key_shift_semitones: float = 0.0, speed: float = 1.0) -> Tensor:
        """Wave [B, L] at the vocoder's rate -> natural log-mel [B, n_mels, T]; see `VocoderMel.forward`."""
        mel: Tensor = self.extractor(wave, key_shift_semitones, speed)
        return mel

    @torch.no_grad()
    def synthesize(self, mel: Tensor, f0_hz: Tensor, draws: Draws, *, start_cycles: Tensor | None = None) -> Tensor:
        """Do what `forward` does without gradients."""
        return self.forward(mel, f0_hz, draws, start_cycles=start_cycles)

    def forward(self, mel: Tensor, f0_hz: Tensor, draws: Draws, *, start_cycles: Tensor | None = None) -> Tensor:
        """Natural log-mel [B, n_mels, T], f0 [B, T or more] in Hz, 0 where unvoiced -> wave [B, 1, T * hop].

        Draws uniform [B, 9] and normal [B, T * hop, 9]; `start_cycles` as in `HarmonicSource.forward`.
        """
        f0_hz = f0_hz[:, : mel.shape[-1]]
        excitation = self.generator.excitation(f0_hz, draws, self.shape.sample_rate_hz, "vocoder", start_cycles)
        wave: Tensor = self.generator(mel * self._mel_gain, excitation)
        return wave

    def reduce(self, number_type: torch.dtype) -> None:
        """Render waves in a reduced type from now on; mel spectrograms stay in float32."""
        if isinstance(self.generator, NsfGenerator):
            self.generator = ReducedNsfGenerator(self.generator, number_type)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Fill a new vocoder as `fill` does, and fold and freeze its weights: it is for use only."""
        self.fill(tensors)
        fold_weight_norm(self.generator)
        self.eval().requires_grad_(False)

    def fill(self, tensors: Mapping[str, Tensor]) -> None:
        """Fill a new vocoder with what `read_vocoder` gives, to train it.

        Raises WeightsError, and changes nothing, where anything is missing, unknown or of another shape.
        """
        given = {current_name(key): value for key, value in tensors.items()}
        fault = _misfit(self.generator.state_dict(), given)
        if fault is not None:
            raise WeightsError(f"the vocoder's weights {fault}; use weights and {CONFIG_FILE} of the same vocoder")
        self.generator.load_state_dict(given)

    def copy_for_use(self) -> NsfHifigan:
        """Return a vocoder like this one, which is in training, with folded and frozen weights."""
        with torch.random.fork_rng(devices=[]):  # its first weights are drawn and then replaced
            copied = NsfHifigan(self.shape)
        copied._mel_gain = self._mel_gain
        copied.load(self.tensors_for_file())
        return copied.to(self.extractor.bank.device)

    def tensors_for_file(self) -> dict[str, Tensor]:
        """Return the weights of a vocoder in training, on the CPU, under the names of models spec 10.3."""
        state: dict[str, Tensor] = self.generator.state_dict()
        return {legacy_name(key): value.detach().cpu() for key, value in state.items()}


def read_vocoder(place: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the generator's tensors, under the names of models spec 10.3, and the config of the vocoder at `place`.

    Raises MissingWeightsError when a file is missing, WeightsError when the weights are damaged or not those of an
    NSF-HiFiGAN vocoder and SettingsError when config.json cannot be read.
    """
    weights_file, config = find_vocoder(place)
    content = read_checkpoint(weights_file).data
    tensors = _generator_tensors(content)
    if "m_source.l_linear.weight" not in tensors:
        raise WeightsError(
            f"{weights_file.name!r} is {identify(content).description}; give {FileKind.NSF_HIFIGAN.description}"
        )
    return tensors, config


def find_vocoder(place: Path) -> tuple[Path, dict[str, Any]]:
    """Return the weights file and the config of a vocoder; `place` is its folder or the weights file inside.

    The file is called model, model.ckpt, model.pt or model.pth, or is the only .safetensors of its folder; the
    config is the content of the config.json beside it. Raises MissingWeightsError when one of them is missing and
    SettingsError when config.json cannot be read.
    """
    weights_file = _weights_file_in(place) if place.is_dir() else place
    if not weights_file.is_file():
        raise MissingWeightsError(f"there is no vocoder {str(place)!r}; give the folder of an NSF-HiFiGAN vocoder")
    config_file = weights_file.with_name(CONFIG_FILE)
    try:
        config = json.loads(config_file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise MissingWeightsError(
            f"there is no {CONFIG_FILE} beside the vocoder {str(weights_file)!r}; copy the one that came with it"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(f"{str(config_file)!r} cannot be read ({error}); copy it again") from error
    return weights_file, config


def _weights_file_in(folder: Path) -> Path:
    names = CATALOGUE[VOCODER_WEIGHTS].folder_weights
    found = weights_in_folder(folder, names)
    if found is None:
        raise MissingWeightsError(
            f"the folder {str(folder)!r} holds no {', '.join(names)} and not just one *.safetensors; "
            "give the weights file of the vocoder itself"
        )
    return found


def _generator_tensors(content: Any) -> dict[str, Tensor]:
    """Return the tensors of the generator wherever the checkpoint has them, without wrappers in their names."""
    tensors = network_state(content) if isinstance(content, dict) else {}
    inside = {key.removeprefix(_WRAPPER): value for key, value in tensors.items() if key.startswith(_WRAPPER)}
    return inside or tensors


def _misfit(needed: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str | None:
    """Say what is wrong with the tensors `given`; None where they are those `needed`."""
    faults = [f"lack {legacy_name(key)}" for key in needed if key not in given]
    faults += [f"hold the unknown {legacy_name(key)}" for key in given if key not in needed]
    faults += [
        f"have {legacy_name(key)} of the sizes {list(given[key].shape)} instead of {list(value.shape)}"
        for key, value in needed.items()
        if key in given and given[key].shape != value.shape
    ]
    if not faults:
        return None
    return faults[0] + (f" and have {len(faults) - 1} more such faults" if len(faults) > 1 else "")
