"""The diffusion model of so-vits-svc 4.1: content, pitch and loudness -> mel spectrogram (models spec 9)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbre.config.diffusion import DiffusionShape
from timbre.errors import SettingsError
from timbre.models.diffusion.decoder import MelDecoder
from timbre.models.diffusion.denoiser import Denoiser
from timbre.models.diffusion.frame_denoiser import FrameDenoiser
from timbre.models.diffusion.samplers import OnStep, Sampler
from timbre.nn.draws import Draws

Speaker = Tensor | Mapping[int, float]

_F0_SCALE_HZ = 700.0
_SHIFT_SCALE_SEMITONES = 5.0


class Unit2Mel(nn.Module):
    """Makes the natural-log mel spectrogram of `n_mels` bands that a vocoder hears, one frame for each unit.

    Parameters and buffers have the names of the checkpoints (models spec 9.2).
    """

    def __init__(self, shape: DiffusionShape, n_mels: int) -> None:
        super().__init__()
        self.shape, self.n_mels = shape, n_mels
        self.unit_embed = nn.Linear(shape.encoder_out_channels, shape.n_hidden)
        self.f0_embed = nn.Linear(1, shape.n_hidden)
        self.volume_embed = nn.Linear(1, shape.n_hidden)
        self.aug_shift_embed = nn.Linear(1, shape.n_hidden, bias=False) if shape.use_pitch_aug else None
        self.spk_embed = nn.Embedding(shape.n_spk, shape.n_hidden) if shape.n_spk > 1 else None
        self.decoder = MelDecoder(shape, n_mels)

    def condition(
        self,
        units: Tensor,
        f0_hz: Tensor,
        volume: Tensor,
        speaker: Speaker | None = None,
        aug_shift: Tensor | None = None,
    ) -> Tensor:
        """Units [B, T, U], f0 [B, T, 1] in Hz (0: unvoiced), volume [B, T, 1] -> what the denoiser hears, [B, T, Hh].

        `speaker` is whole-number ids [B] or [B, 1], a mix {id: weight}, or a mix for each frame, weights [T, n_spk]
        or [B, T, n_spk]; a model of one speaker ignores it. `aug_shift` [B, 1, 1] in semitones tells a model with
        pitch augmentation how far a training item was shifted. Raises SettingsError for units of another width and
        for speakers that are not there.
        """
        if units.shape[-1] != self.shape.encoder_out_channels:
            raise SettingsError(
                f"the units have {units.shape[-1]} channels but the diffusion model hears "
                f"{self.shape.encoder_out_channels}; use its content encoder {self.shape.encoder!r}"
            )
        x: Tensor = self.unit_embed(units) + self.f0_embed(torch.log1p(f0_hz / _F0_SCALE_HZ))
        x = x + self.volume_embed(volume)
        if self.spk_embed is not None:
            x = x + self._speaker_part(self.spk_embed, speaker)
        if self.aug_shift_embed is not None and aug_shift is not None:
            x = x + self.aug_shift_embed(aug_shift / _SHIFT_SCALE_SEMITONES)
        return x

    @torch.no_grad()
    def sample(
        self,
        condition: Tensor,
        draws: Draws,
        *,
        method: str | None,
        speedup: int,
        k_step: int | None = None,
        mel: Tensor | None = None,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Condition [B, T, Hh] -> log-mel [B, T, M].

        Without `mel` it begins with noise; `k_step` does not count then. With `mel` [B, T, M] it begins with that at
        the noise of step `k_step` - 1 (None: the deepest that was trained), and a low `k_step` stays close to it.
        `method` and `speedup` are those of `Sampler`; `on_step` is told the steps done and their number.

        Draws normal [B, 1, M, T] once, and again in each step of DDPM (models spec 13). Raises SettingsError for an
        unknown method, a `k_step` that was not trained, and noise as a beginning where training did not go so deep.
        """
        sampler = Sampler(method, speedup, self._depth(k_step if mel is not None else self.shape.timesteps))
        condition = condition.transpose(1, 2)
        n_batch, _, n_frames = condition.shape
        network = self.decoder.denoise_fn
        if isinstance(network, Denoiser):
            network = FrameDenoiser(network, condition.dtype)

        def noise() -> Tensor:
            return draws.normal(n_batch, 1, self.n_mels, n_frames)[:, 0].to(condition)

        x = noise()
        if mel is not None:
            last_step = torch.full((n_batch,), sampler.n_steps - 1, device=x.device)
            x = self.decoder.diffuse(self.decoder.normalise(mel), last_step, x)
        predict = network.predictor(condition)
        return self.decoder.denormalise(sampler.run(predict, x, self.decoder.schedule(), noise, on_step))

    def reduce(self, number_type: torch.dtype) -> None:
        """Tell the noise in a reduced type from now on, for inference only; its sums and all else stay in float32."""
        if isinstance(self.decoder.denoise_fn, Denoiser):
            self.decoder.denoise_fn = FrameDenoiser(self.decoder.denoise_fn, number_type)

    def training_loss(self, condition: Tensor, mel: Tensor, draws: Draws) -> Tensor:
        """Condition [B, T, Hh], log-mel [B, T, M] -> mean squared error of the predicted noise, a scalar.

        Draws uniform [B] for the steps, then normal [B, 1, M, T].
        """
        n_batch, n_frames, n_mels = mel.shape
        step = (draws.uniform(n_batch) * self.shape.k_step_max).long().to(mel.device)
        noise = draws.normal(n_batch, 1, n_mels, n_frames)[:, 0].to(mel)
        x = self.decoder.diffuse(self.decoder.normalise(mel), step, noise)
        return functional.mse_loss(self.decoder.denoise_fn(x, step, condition.transpose(1, 2)), noise)

    def _depth(self, wanted: int | None) -> int:
        """Return how many steps to go down."""
        deepest = self.shape.k_step_max
        depth = deepest if wanted is None else wanted
        if not 1 <= depth <= deepest:
            raise SettingsError(
                f"diffusion of {depth} steps was asked for, but this model knows 1 to {deepest}; "
                "give it the sound of the main model to refine and a k_step among these"
            )
        return depth

    def _speaker_part(self, table: nn.Embedding, speaker: Speaker | None) -> Tensor:
        """Return what the speaker adds, broadcastable to [B, T, Hh]."""
        if speaker is None:
            raise SettingsError(f"the diffusion model has {self.shape.n_spk} speakers but none was chosen; choose one")
        if isinstance(speaker, Mapping):
            weights = table.weight.new_zeros(1, self.shape.n_spk)
            self._check_ids(torch.tensor(list(speaker), dtype=torch.long))
            for speaker_id, weight in speaker.items():
                weights[0, speaker_id] = weight
            return weights @ table.weight
        if not speaker.is_floating_point():
            self._check_ids(speaker)
            embedded: Tensor = table(speaker.reshape(-1, 1))
            return embedded
        if speaker.shape[-1] != self.shape.n_spk:
            raise SettingsError(
                f"the mix is of {speaker.shape[-1]} speakers but the diffusion model has {self.shape.n_spk}; "
                "give a weight for each"
            )
        return speaker.to(table.weight) @ table.weight

    def _check_ids(self, ids: Tensor) -> None:
        wrong = ids[(ids < 0) | (ids >= self.shape.n_spk)]
        if wrong.numel():
            raise SettingsError(
                f"the diffusion model has no speaker {int(wrong[0])}; choose one of 0 to {self.shape.n_spk - 1}"
            )
