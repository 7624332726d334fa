"""What so-vits-svc training shows of a clip that is always the same (models spec 7.2)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from timbre.dsp.spectrogram import log_mel
from timbre.nn.draws import SeededDraws
from timbre.train.pictures import line_picture, mel_pictures
from timbre.train.vits_batch import VitsBatch
from timbre.train.vits_step import VitsTraining, make_segments


@torch.no_grad()
def training_pictures(training: VitsTraining, batch: VitsBatch) -> dict[str, Tensor]:
    """Return what the synthesizer makes of the first clip of a batch, by the names of so-vits-svc.

    A stretch as recorded and as made (slice/mel_org, slice/mel_gen), in the same colours; the whole clip as recorded
    (all/mel); with automatic pitch, what that said beside what it should have said (all/lf0) and what it was shown
    (all/norm_lf0).
    """
    with _at_rest(training.synthesizer):
        segments = make_segments(training, batch, SeededDraws(0))
    recorded, made = mel_pictures([segments.real_log_mel[0], segments.fake_log_mel[0]])
    (whole,) = mel_pictures([log_mel(batch.spectrum, training.mel_basis)[0]])
    pictures = {"slice/mel_org": recorded, "slice/mel_gen": made, "all/mel": whole}
    melody = segments.output.melody
    if melody is not None:
        lf0, predicted, shown = (
            row[0, 0].float().cpu().numpy() for row in (melody.lf0, melody.predicted_lf0, melody.normalised_lf0)
        )
        pictures["all/lf0"] = line_picture({"lf0": lf0, "predicted lf0": predicted})
        pictures["all/norm_lf0"] = line_picture({"lf0": lf0, "normalised lf0": shown})
    return pictures


@contextmanager
def _at_rest(network: nn.Module) -> Iterator[None]:
    """Let a network that learns do without dropout for a while."""
    network.eval()
    try:
        yield
    finally:
        network.train()
