"""Convolution of frames whose channels lie together in memory, which is where processors are quickest."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class ChannelsLastConv(nn.Conv1d):
    """`nn.Conv1d` over frames [B, T, C], as linear layers have them, computed in the type of its weights."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, C_in] -> [B, T', C_out] in the type of the weights."""
        image, weight = x.to(self.weight).transpose(1, 2).unsqueeze(2), self.weight.unsqueeze(2)  # of height 1
        stride, padding = (1, self.stride[0]), (0, int(self.padding[0]))
        return functional.conv2d(image, weight, self.bias, stride, padding, 1, self.groups).squeeze(2).transpose(1, 2)


def order_weights(network: nn.Module) -> None:
    """Lay the weights of each `ChannelsLastConv` inside as its forward would otherwise have to lay them every time."""
    for part in network.modules():
        if isinstance(part, ChannelsLastConv):
            part.weight.data = part.weight.data.transpose(1, 2).contiguous().transpose(1, 2)
