"""The so-vits-svc synthesizer: content, pitch and a speaker -> wave (models spec 3 and 5)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from timbre.config.vits import SNAKE_VOCODER, VitsShape
from timbre.errors import SettingsError
from timbre.models.vits.encoders import ContentEncoder, Gaussian, PosteriorEncoder
from timbre.models.vits.f0_decoder import F0Decoder
from timbre.models.vits.flow import Flow
from timbre.models.vits.lf0 import coarse_f0, hz_to_lf0, lf0_to_hz, normalise_lf0
from timbre.nn.draws import Draws
from timbre.nn.harmonic_source import SourceForm
from timbre.nn.nsf_generator import NsfGenerator
from timbre.nn.reduced_generator import ReducedNsfGenerator

_LF0_FACTOR_LOW, _LF0_FACTOR_RANGE = 0.8, 0.4


@dataclass(frozen=True, eq=False)
class MelodyPrediction:
    """What the automatic pitch made of a melody; each [B, 1, T]."""

    predicted_lf0: Tensor
    normalised_lf0: Tensor  # what it was shown
    lf0: Tensor  # what it should have said


@dataclass(frozen=True, eq=False)
class TrainingOutput:
    """All that the losses need, under the names of models spec 5.4."""

    audio: Tensor  # [B, 1, segment_frames * hop]
    segment_starts: Tensor  # [B] int64, frames
    mask: Tensor  # [B, 1, T]
    z: Tensor  # [B, I, T], the generator's latent, from the posterior
    z_p: Tensor  # [B, I, T], the same after the flow
    m_p: Tensor  # [B, I, T], mean and log standard deviation of the prior
    logs_p: Tensor
    m_q: Tensor  # [B, I, T], the same of the posterior
    logs_q: Tensor
    melody: MelodyPrediction | None  # None where the model has no automatic pitch


class Synthesizer(nn.Module):
    """The whole generator network; modules are defined in the order of existing optimizer states.

    `f0_saturates` is the rule of so-vits-svc 4.0 for pitch above 1100 Hz (see `coarse_f0`). Raises SettingsError for
    a shape that cannot be built.
    """

    def __init__(self, shape: VitsShape, *, f0_saturates: bool = False) -> None:
        super().__init__()
        self.shape = shape
        self.f0_saturates = f0_saturates
        hidden = shape.hidden_channels
        self.emb_g = nn.Embedding(shape.n_speakers, shape.gin_channels)
        self.emb_vol = nn.Linear(1, hidden) if shape.vol_embedding else None
        self.pre = nn.Conv1d(shape.ssl_dim, hidden, 5, padding=2)
        self.enc_p = ContentEncoder(shape)
        self.dec: NsfGenerator | ReducedNsfGenerator = NsfGenerator(
            in_channels=shape.inter_channels,
            speaker_channels=shape.gin_channels,
            upsample_rates=shape.upsample_rates,
            upsample_kernel_sizes=shape.upsample_kernel_sizes,
            upsample_initial_channel=shape.upsample_initial_channel,
            resblock=shape.resblock,
            resblock_kernel_sizes=shape.resblock_kernel_sizes,
            resblock_dilation_sizes=shape.resblock_dilation_sizes,
            snake=shape.vocoder_name == SNAKE_VOCODER,
        )
        self.enc_q = PosteriorEncoder(shape)
        self.flow = Flow(shape)
        self.f0_decoder = F0Decoder(shape) if shape.use_automatic_f0_prediction else None
        self.emb_uv = nn.Embedding(2, hidden)

    def reduce(self, number_type: torch.dtype) -> None:
        """Render waves in a reduced type from now on; for inference, with weight norm folded.

        The rest costs little and stays in float32, as does the generator with snakes.
        """
        if isinstance(self.dec, NsfGenerator) and self.shape.vocoder_name != SNAKE_VOCODER:
            self.dec = ReducedNsfGenerator(self.dec, number_type)

    @torch.inference_mode()
    def infer(
        self,
        units: Tensor,
        f0_hz: Tensor,
        voiced: Tensor,
        speaker: Tensor,
        draws: Draws,
        *,
        noise_scale: float = 0.4,
        predict_f0: bool = False,
        volume: Tensor | None = None,
        source_form: SourceForm = "stable",
        start_cycles: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Units [B, ssl, T], f0 [B, T] in Hz, voiced [B, T] of 0 and 1 -> audio [B, 1, T * hop] and the used f0 [B, T].

        `speaker` is ids [B] or [B, 1], or floating point weights of the first S speakers for each frame, [T, S] or
        [B, T, S], used as they are. `predict_f0` replaces the pitch by the model's own where it has one. `volume`
        [B, T] counts only in models with a volume embedding. `start_cycles` as in `HarmonicSource.forward`. Raises
        SettingsError for inputs that do not fit the model or each other.
        """
        self._check_inputs(units, f0_hz, voiced, speaker, volume)
        mask = units.new_ones(units.shape[0], 1, units.shape[-1])
        condition = self.speaker_condition(speaker)
        x = self.front_end(units, voiced, mask, volume)
        if predict_f0 and self.f0_decoder is not None:
            normalised = normalise_lf0(hz_to_lf0(f0_hz), voiced, mask)
            f0_hz = lf0_to_hz(self.f0_decoder(x, normalised.to(x), mask, condition).float())
        prior = self.prior(x, f0_hz, mask)
        noise = noise_scale * draws.normal(*prior.mean.shape).to(prior.mean)
        z = self.flow(prior.sample(noise, mask), mask, condition, reverse=True) * mask
        return self.render(z, f0_hz, condition, draws, source_form, start_cycles), f0_hz

    def training_forward(
        self,
        units: Tensor,
        f0_hz: Tensor,
        voiced: Tensor,
        spec: Tensor,
        speaker: Tensor,
        lengths: Tensor,
        draws: Draws,
        *,
        segment_frames: int,
        volume: Tensor | None = None,
        lf0_factor: Tensor | None = None,
        segment_fraction: Tensor | None = None,
        source_form: SourceForm = "stable",
    ) -> TrainingOutput:
        """Units [B, ssl, T], f0, voiced and volume [B, T], spectra [B, S, T], ids [B, 1] and lengths [B] in frames.

        `lf0_factor` [B, 1] stretches the melodies that the automatic pitch is shown, `segment_fraction` [B] from 0
        to below 1 places the segments; both are drawn where they are None. Raises SettingsError when a clip is
        shorter than `segment_frames`.
        """
        mask = (torch.arange(spec.shape[-1], device=spec.device) < lengths[:, None]).unsqueeze(1).to(spec)
        condition = self.speaker_condition(speaker)
        x = self.front_end(units, voiced, mask, volume)
        melody = self._melody(x, f0_hz, voiced, mask, condition, draws, lf0_factor)
        prior = self.prior(x, f0_hz, mask)
        draws.normal(*prior.mean.shape)  # the prior's sample has no use, but its numbers count in the order
        posterior: Gaussian = self.enc_q(spec, mask, condition)
        z = posterior.sample(draws.normal(*posterior.mean.shape).to(posterior.mean), mask)
        if segment_fraction is None:
            segment_fraction = draws.uniform(len(lengths))
        starts = _segment_starts(segment_fraction.to(lengths.device), lengths, segment_frames)
        segments = starts[:, None] + torch.arange(segment_frames, device=starts.device)
        z_segments = z.gather(2, segments[:, None].expand(-1, z.shape[1], -1))
        return TrainingOutput(
            audio=self.render(z_segments, f0_hz.gather(1, segments), condition, draws, source_form),
            segment_starts=starts,
            mask=mask,
            z=z,
            z_p=self.flow(z, mask, condition),
            m_p=prior.mean,
            logs_p=prior.log_std,
            m_q=posterior.mean,
            logs_q=posterior.log_std,
            melody=melody,
        )

    def speaker_condition(self, speaker: Tensor) -> Tensor:
        """Ids [B] or [B, 1] -> [B, G, 1]; weights [T, S] or [B, T, S] -> [1 or B, G, T]."""
        if not speaker.is_floating_point():
            vectors: Tensor = self.emb_g(speaker.reshape(-1, 1))
        else:
            weights = speaker if speaker.dim() == 3 else speaker.unsqueeze(0)
            table = self.emb_g.weight
            shares = weights.to(table).unsqueeze(-1).unbind(-2)
            # One speaker after the other: a matrix product rounds otherwise, and the automatic pitch magnifies that.
            vectors = sum((share * row for share, row in zip(shares, table, strict=False)), table.new_zeros(()))
        return vectors.transpose(1, 2)

    def front_end(self, units: Tensor, voiced: Tensor, mask: Tensor, volume: Tensor | None) -> Tensor:
        """Units [B, ssl, T], voiced and volume [B, T] -> [B, H, T], the input of `prior` and of the automatic pitch."""
        x: Tensor = self.pre(units) * mask + self.emb_uv(voiced.long()).transpose(1, 2)
        if self.emb_vol is not None and volume is not None:
            x = x + self.emb_vol(volume.unsqueeze(-1)).transpose(1, 2)
        return x

    def prior(self, x: Tensor, f0_hz: Tensor, mask: Tensor) -> Gaussian:
        """`front_end` [B, H, T] and f0 [B, T] in Hz -> the distribution that the reversed flow begins with."""
        prior: Gaussian = self.enc_p(x, coarse_f0(f0_hz, saturates=self.f0_saturates), mask)
        return prior

    def render(
        self,
        z: Tensor,
        f0_hz: Tensor,
        condition: Tensor,
        draws: Draws,
        source_form: SourceForm,
        start_cycles: Tensor | None = None,
    ) -> Tensor:
        """The generator's latent [B, I, T], f0 [B, T] in Hz, condition [B, G, 1 or T] -> audio [B, 1, T * hop]."""
        excitation = self.dec.excitation(f0_hz, draws, self.shape.source_rate_hz, source_form, start_cycles)
        audio: Tensor = self.dec(z, excitation, condition)
        return audio

    def _melody(
        self,
        x: Tensor,
        f0_hz: Tensor,
        voiced: Tensor,
        mask: Tensor,
        condition: Tensor,
        draws: Draws,
        lf0_factor: Tensor | None,
    ) -> MelodyPrediction | None:
        if self.f0_decoder is None:
            return None
        if lf0_factor is None:
            lf0_factor = _LF0_FACTOR_LOW + _LF0_FACTOR_RANGE * draws.uniform(len(f0_hz), 1)
        lf0 = hz_to_lf0(f0_hz)
        normalised = normalise_lf0(lf0, voiced, mask, lf0_factor)
        return MelodyPrediction(self.f0_decoder(x, normalised.to(x), mask, condition), normalised, lf0)

    def _check_inputs(
        self, units: Tensor, f0_hz: Tensor, voiced: Tensor, speaker: Tensor, volume: Tensor | None
    ) -> None:
        n_batch, width, n_frames = units.shape
        if width != self.shape.ssl_dim or n_frames == 0:
            raise SettingsError(
                f"the units are {width} wide and {n_frames} frames long; the model needs at least one frame of width "
                f"{self.shape.ssl_dim}, from the content encoder {self.shape.speech_encoder}"
            )
        for name, track in (("f0_hz", f0_hz), ("voiced", voiced), ("volume", volume)):
            if track is not None and track.shape != (n_batch, n_frames):
                raise SettingsError(
                    f"{name} has the shape {tuple(track.shape)}; for these units it must be {(n_batch, n_frames)}"
                )
        _check_speaker(speaker, n_batch, n_frames, self.shape.n_speakers)


def _check_speaker(speaker: Tensor, n_batch: int, n_frames: int, n_speakers: int) -> None:
    if speaker.is_floating_point():
        frames_fit = speaker.shape[:-1] in ((n_frames,), (n_batch, n_frames))
        if not frames_fit or not 1 <= speaker.shape[-1] <= n_speakers:
            raise SettingsError(
                f"the speaker weights have the shape {tuple(speaker.shape)}; for these units it must be "
                f"{n_frames} frames by 1 to {n_speakers} speakers"
            )
    elif speaker.numel() not in (1, n_batch):
        raise SettingsError(f"{speaker.numel()} speaker ids were given for {n_batch} sounds; give one for each")
    elif not bool(((speaker >= 0) & (speaker < n_speakers)).all()):
        raise SettingsError(f"the speaker id is {speaker.tolist()}; the model has ids from 0 to {n_speakers - 1}")


def _segment_starts(fraction: Tensor, lengths: Tensor, segment_frames: int) -> Tensor:
    """Place one segment in each clip: [B] in frames."""
    shortest = int(lengths.min())
    if shortest < segment_frames:
        raise SettingsError(
            f"a clip has {shortest} frames but a training segment {segment_frames}; leave out such short clips"
        )
    return (fraction * (lengths - segment_frames + 1)).long()
