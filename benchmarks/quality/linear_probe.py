"""How much a linear classifier can read from features: softmax regression, cross-validated over given folds."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

WEIGHT_PENALTY = 1e-2
MAX_ITERATIONS = 60


def cross_validate(
    features: NDArray[np.float32], classes: NDArray[np.int64], folds: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Say for each of the rows [N, D] whether a classifier that was trained on the other folds finds its class [N].

    Rows that belong together (one recording, one speaker) must be in one fold. Each channel is scaled by the training
    rows. The result depends on nothing but the input: the loss is convex and minimised from zero.
    """
    right = np.zeros(len(classes), dtype=np.bool_)
    targets = torch.from_numpy(classes)
    for fold in np.unique(folds):
        held_out = folds == fold
        mean, deviation = features[~held_out].mean(axis=0), features[~held_out].std(axis=0) + 1e-6
        scaled = torch.from_numpy((features - mean) / deviation)
        kept = torch.from_numpy(~held_out)
        weight, bias = _fit(scaled[kept], targets[kept], int(classes.max()) + 1)
        found = (scaled[~kept] @ weight + bias).argmax(dim=1)
        right[held_out] = (found == targets[~kept]).numpy()
    return right


def _fit(features: Tensor, classes: Tensor, n_classes: int) -> tuple[Tensor, Tensor]:
    """Return weight [D, K] and bias [K] of the least cross-entropy with a small quadratic penalty."""
    weight = torch.zeros(features.shape[1], n_classes, requires_grad=True)
    bias = torch.zeros(n_classes, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=MAX_ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = functional.cross_entropy(features @ weight + bias, classes)
        value = value + 0.5 * WEIGHT_PENALTY * weight.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    return weight.detach(), bias.detach()
