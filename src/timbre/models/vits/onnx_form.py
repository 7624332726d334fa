"""The synthesizer with the inputs of so-vits-svc's ONNX files (models spec 12.1 and 12.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbre.models.vits.synthesizer import Synthesizer
from timbre.nn.draws import Draws
from timbre.nn.harmonic_source import HarmonicSource, SourceForm
from timbre.nn.nsf_generator import NsfGenerator
from timbre.nn.self_attention import SelfAttention


class OnnxForm(nn.Module):
    """Units at their own rate, latent noise and a frame map as inputs; no automatic pitch, and no loop in the graph.

    The synthesizer is taken over: it works on whole sounds from now on. `source_form` "frame" is that of the 4.1
    files, "stable" that of the 4.0 ones. `draws` answers the harmonic source.
    """

    def __init__(self, synthesizer: Synthesizer, draws: Draws, source_form: SourceForm = "frame") -> None:
        super().__init__()
        self.synthesizer = synthesizer
        self._draws = draws
        self._source_form: SourceForm = source_form
        for layer in synthesizer.modules():
            if isinstance(layer, (SelfAttention, HarmonicSource, NsfGenerator)):
                layer.blockwise = False

    def forward(
        self, c: Tensor, f0: Tensor, mel2ph: Tensor, uv: Tensor, noise: Tensor, sid: Tensor, vol: Tensor | None = None
    ) -> Tensor:
        """Units [1, N, ssl], f0 [1, T] in Hz, mel2ph [1, T], uv [1, T], noise [1, I, T], sid -> audio [1, 1, T * hop].

        Frame t takes unit mel2ph[t], counted from 1; 0 is silence. `noise` is scaled by the caller, `sid` is an id
        [1] or weights [T, S], `vol` [1, T] is for models with a volume embedding.
        """
        model = self.synthesizer
        index = mel2ph.unsqueeze(-1).expand(-1, -1, c.shape[-1])
        units = functional.pad(c, (0, 0, 1, 0)).gather(1, index).transpose(1, 2)
        mask = torch.ones_like(units[:, :1])
        condition = model.speaker_condition(sid)
        prior = model.prior(model.front_end(units, uv, mask, vol), f0, mask)
        z = model.flow(prior.sample(noise, mask), mask, condition, reverse=True) * mask
        return model.render(z, f0, condition, self._draws, self._source_form)
