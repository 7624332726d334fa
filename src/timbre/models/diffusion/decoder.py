"""The part of the model that its checkpoints call `decoder`: schedule, range of the mel, and denoiser."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from timbre.config.diffusion import DiffusionShape
from timbre.models.diffusion.denoiser import Denoiser
from timbre.models.diffusion.frame_denoiser import FrameDenoiser
from timbre.models.diffusion.schedule import Schedule, schedule_buffers

_LOWEST_LOG_MEL = -12.0
_HIGHEST_LOG_MEL = 2.0


class MelDecoder(nn.Module):
    """Mel spectrograms in the range of the diffusion, and noise added to them (models spec 9.5)."""

    sqrt_alphas_cumprod: Tensor
    sqrt_one_minus_alphas_cumprod: Tensor
    spec_min: Tensor
    spec_max: Tensor

    def __init__(self, shape: DiffusionShape, n_mels: int) -> None:
        super().__init__()
        self.denoise_fn: Denoiser | FrameDenoiser = Denoiser(n_mels, shape.n_layers, shape.n_chans, shape.n_hidden)
        for name, values in schedule_buffers(shape.timesteps).items():
            self.register_buffer(name, values)
        self.register_buffer("spec_min", torch.full((1, 1, 1), _LOWEST_LOG_MEL))
        self.register_buffer("spec_max", torch.full((1, 1, 1), _HIGHEST_LOG_MEL))

    def schedule(self) -> Schedule:
        """Return the numbers in the buffers, which may be those of a checkpoint."""
        return Schedule.from_buffers(dict(self.named_buffers(recurse=False)))

    def normalise(self, mel: Tensor) -> Tensor:
        """Log-mel [B, T, M] -> [B, M, T], mostly within -1..1."""
        return ((mel - self.spec_min) / (self.spec_max - self.spec_min) * 2 - 1).transpose(1, 2)

    def denormalise(self, x: Tensor) -> Tensor:
        """The inverse of `normalise`."""
        return (x.transpose(1, 2) + 1) / 2 * (self.spec_max - self.spec_min) + self.spec_min

    def diffuse(self, clean: Tensor, step: Tensor, noise: Tensor) -> Tensor:
        """Clean [B, M, T], steps [B], standard normal noise [B, M, T] -> clean and noise mixed as at that step."""
        share, noise_share = self.sqrt_alphas_cumprod[step], self.sqrt_one_minus_alphas_cumprod[step]
        return share[:, None, None] * clean + noise_share[:, None, None] * noise
