"""The removal of batch norm from networks that are used without training."""

from __future__ import annotations

from torch import nn
from torch.nn.utils import fuse_conv_bn_weights


def fold_batch_norms(network: nn.Module) -> None:
    """Fold each batch norm that follows a convolution in an `nn.Sequential` of `network` into that convolution.

    `network` must be in evaluation; its output changes by rounding only. Raises ValueError for a norm that keeps no
    statistics.
    """
    for chain in [part for part in network.modules() if isinstance(part, nn.Sequential)]:
        for index in range(1, len(chain)):
            conv, norm = chain[index - 1], chain[index]
            if isinstance(norm, nn.BatchNorm2d) and isinstance(conv, (nn.Conv2d, nn.ConvTranspose2d)):
                _fold(conv, norm)
                chain[index] = nn.Identity()


def _fold(conv: nn.Conv2d | nn.ConvTranspose2d, norm: nn.BatchNorm2d) -> None:
    """Give `conv` the weights with which it does what both do; unlike `fuse_conv_bn_eval`, make no other copy."""
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a batch norm without statistics cannot be folded")
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight,
        conv.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
        transpose=isinstance(conv, nn.ConvTranspose2d),
    )
