"""The RMVPE network (H. Wei and others, Interspeech 2023): a U-Net over the mel spectrogram and a recurrent layer.

Difference from the paper: the skip filters (`unet.tf.*`) are stored in weights files but were never used, so
they are left out here. The names of the parameters are those of pipeline spec 2.9. Images and kernels have time as
their last axis, which in weights files is frequency: processors are quickest along a long one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbre.errors import WeightsError
from timbre.nn.batch_norm import fold_batch_norms


@dataclass(frozen=True)
class RmvpeSizes:
    """The sizes of the network; the defaults are those of the published weights."""

    n_blocks: int = 4  # residual blocks per level
    n_levels: int = 5  # halvings of time and frequency
    n_intermediate: int = 4
    width: int = 16  # channels of the first level
    n_mels: int = 128
    recurrent: int = 256
    n_bins: int = 360

    @property
    def frames_multiple(self) -> int:
        """The number of frames must be a multiple of this."""
        return 1 << self.n_levels

    @property
    def reach_frames(self) -> int:
        """How many frames to each side the U-Net sees, rounded up to the multiple above."""
        convolutions = 2 * self.n_blocks
        encoder_and_decoder = 2 * convolutions * (self.frames_multiple - 1)
        middle = convolutions * self.n_intermediate * self.frames_multiple
        upsampling = 2 * self.frames_multiple + 1
        multiple = self.frames_multiple
        return -(-(encoder_and_decoder + middle + upsampling) // multiple) * multiple


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(c_in, c_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(c_out, c_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU(inplace=True),
        )
        self.shortcut = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[B, c_in, F, T] -> [B, c_out, F, T]."""
        return torch.add(self.conv(x), self.shortcut(x))


class BlockChain(nn.Module):
    """Residual blocks one after the other; the first changes the width."""

    def __init__(self, c_in: int, c_out: int, n_blocks: int) -> None:
        super().__init__()
        self.conv = nn.ModuleList(ResidualBlock(c_in if j == 0 else c_out, c_out) for j in range(n_blocks))

    def forward(self, x: Tensor) -> Tensor:
        """[B, c_in, F, T] -> [B, c_out, F, T]."""
        for block in self.conv:
            x = block(x)
        return x


class UpLevel(nn.Module):
    """Doubles time and frequency, joins the skip connection, then residual blocks."""

    def __init__(self, c_in: int, c_out: int, n_blocks: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.ConvTranspose2d(c_in, c_out, 3, stride=2, padding=1, output_padding=1, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU(inplace=True),
        )
        self.conv2 = nn.ModuleList(ResidualBlock(2 * c_out if j == 0 else c_out, c_out) for j in range(n_blocks))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """[B, c_in, F / 2, T / 2] and [B, c_out, F, T] -> [B, c_out, F, T]."""
        x = torch.cat((self.conv1(x), skip), dim=1)
        for block in self.conv2:
            x = block(x)
        return x


class _Layers(nn.Module):
    """A list of levels under the name `layers`, as weights files have it; `bn` only in the encoder."""

    def __init__(self, layers: list[nn.Module], *, with_input_norm: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        if with_input_norm:
            self.bn = nn.BatchNorm2d(1)


class UNet(nn.Module):
    """Encoder levels, intermediate blocks and decoder levels with skip connections."""

    def __init__(self, sizes: RmvpeSizes) -> None:
        super().__init__()
        widths = [sizes.width * 2**level for level in range(sizes.n_levels)]
        bottom, n_blocks = sizes.width * 2**sizes.n_levels, sizes.n_blocks
        down: list[nn.Module] = [BlockChain(c_in, c, n_blocks) for c_in, c in zip([1, *widths], widths, strict=False)]
        middle: list[nn.Module] = [
            BlockChain(widths[-1] if i == 0 else bottom, bottom, n_blocks) for i in range(sizes.n_intermediate)
        ]
        up: list[nn.Module] = [UpLevel(2 * c, c, n_blocks) for c in reversed(widths)]
        self.encoder = _Layers(down, with_input_norm=True)
        self.intermediate = _Layers(middle)
        self.decoder = _Layers(up)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 1, F, T] -> [B, width, F, T]."""
        x = self.encoder.bn(x)
        skips = []
        for level in self.encoder.layers:
            x = level(x)
            skips.append(x)
            x = functional.avg_pool2d(x, 2)
        for level in self.intermediate.layers:
            x = level(x)
        for level in self.decoder.layers:
            x = level(x, skips.pop())
        return x


class _Recurrence(nn.Module):
    def __init__(self, n_in: int, n_hidden: int) -> None:
        super().__init__()
        self.gru = nn.GRU(n_in, n_hidden, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.gru(x)[0]
        return out


class RmvpeNetwork(nn.Module):
    """Log-mel spectrogram -> salience of 360 pitch bins per 10 ms."""

    def __init__(self, sizes: RmvpeSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.unet = UNet(sizes)
        self.cnn = nn.Conv2d(sizes.width, 3, 3, padding=1)
        self.fc = nn.Sequential(
            _Recurrence(3 * sizes.n_mels, sizes.recurrent), nn.Linear(2 * sizes.recurrent, sizes.n_bins)
        )

    def forward(self, log_mel: Tensor, block_frames: int = 6144) -> Tensor:
        """[B, n_mels, T] -> salience within 0..1 [B, T, 360].

        The U-Net, which needs the memory, runs on blocks of `block_frames` (a multiple of `frames_multiple`)
        with all the context it sees, so that the result does not depend on them; the recurrence runs whole.
        """
        n_frames, multiple = log_mel.shape[-1], self.sizes.frames_multiple
        x = functional.pad(log_mel, (0, -n_frames % multiple))[:, None]  # [B, 1, F, T]
        reach, parts = self.sizes.reach_frames, []
        for start in range(0, x.shape[-1], block_frames):
            stop = min(start + block_frames, x.shape[-1])
            first = max(0, start - reach)
            part = self.cnn(self.unet(x[..., first : stop + reach]))
            parts.append(part[..., start - first : stop - first])
        joined = torch.cat(parts, dim=-1).permute(0, 3, 1, 2).flatten(2)  # [B, 3, F, T] -> [B, T, 3 * F]
        return torch.sigmoid(self.fc(joined))[:, :n_frames]


def build_rmvpe(state: Mapping[str, Tensor]) -> RmvpeNetwork:
    """Build the network whose sizes `state` shows, with its weights as float32, for evaluation.

    Raises WeightsError when these are not RMVPE weights.
    """
    try:
        with torch.device("meta"):
            network = RmvpeNetwork(_sizes_of(state))
        used = {key: value.float() for key, value in state.items() if not key.startswith("unet.tf.")}
        network.load_state_dict({key: _turned(value) for key, value in used.items()}, assign=True)
    except (KeyError, ValueError, AttributeError, RuntimeError) as error:
        raise WeightsError("the weights are not those of an RMVPE network; use the published rmvpe.pt") from error
    network.eval().requires_grad_(False)
    fold_batch_norms(network)
    return network


def _turned(value: Tensor) -> Tensor:
    """Exchange the time and frequency of a kernel, and lay its channels together, where processors want them."""
    return value.transpose(2, 3).contiguous(memory_format=torch.channels_last) if value.dim() == 4 else value


def _sizes_of(state: Mapping[str, Tensor]) -> RmvpeSizes:
    def count(pattern: str) -> int:
        found = (re.match(pattern, key) for key in state)
        return 1 + max(int(match.group(1)) for match in found if match)

    gru = state["fc.0.gru.weight_ih_l0"].shape
    return RmvpeSizes(
        n_blocks=count(r"unet\.encoder\.layers\.0\.conv\.(\d+)\."),
        n_levels=count(r"unet\.encoder\.layers\.(\d+)\."),
        n_intermediate=count(r"unet\.intermediate\.layers\.(\d+)\."),
        width=state["cnn.weight"].shape[1],
        n_mels=gru[1] // 3,
        recurrent=gru[0] // 3,
        n_bins=state["fc.1.weight"].shape[0],
    )
