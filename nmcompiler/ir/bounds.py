"""How far an accumulator can go, from weights and levels alone (SEMANTICS §3)."""

from __future__ import annotations

import numpy as np

from nmcompiler.ir.kernels import Array, Conv, Kernel, Shape, Sparse
from nmcompiler.ir.network import Network

__all__ = ["accumulator_bound", "sums_of_weights"]

_AT_A_TIME = 1 << 17  # weights of a dense map, which may have 100 million, that stay near the caches


def sums_of_weights(kernel: Kernel, shape: Shape) -> tuple[Array, Array]:
    """Returns Σ of the positive weights and Σ of the negatives' magnitudes, each broadcastable to ``shape``.

    A convolution's sums are those of the full kernel: safe, and slightly loose at the border.
    """
    if isinstance(kernel, Conv):
        channels = slice(kernel.target_channel, kernel.target_channel + kernel.target_channels)
        sums = np.zeros((2, 1, 1, shape[2]), kernel.weight.dtype)
        sums[0, 0, 0, channels], sums[1, 0, 0, channels] = _both_signs(kernel.weight, (0, 1, 2))
        return sums[0], sums[1]
    if isinstance(kernel, Sparse):
        size = int(np.prod(shape))
        sums = np.zeros((2, size), kernel.weight.dtype)
        np.add.at(sums[0], kernel.rows, np.maximum(kernel.weight, 0))
        np.add.at(sums[1], kernel.rows, np.maximum(-kernel.weight, 0))
        return sums[0].reshape(shape), sums[1].reshape(shape)
    rows = max(1, _AT_A_TIME // max(1, kernel.weight.shape[1]))
    parts = [_both_signs(kernel.weight[i : i + rows], 1) for i in range(0, len(kernel.weight), rows)]
    positive, negative = (np.concatenate(sums) for sums in zip(*parts, strict=True))
    return positive.reshape(shape), negative.reshape(shape)


def _both_signs(weight: Array, axis: int | tuple[int, ...]) -> tuple[Array, Array]:
    """Returns the sums of the positive weights and of the negatives' magnitudes along axes."""
    positive = np.maximum(weight, 0).sum(axis=axis)
    if weight.dtype.kind == "i":  # exact, and half the work where there are millions of weights
        return positive, positive - weight.sum(axis=axis)
    return positive, np.maximum(-weight, 0).sum(axis=axis)


def accumulator_bound(network: Network, name: str) -> int:
    """Returns the largest ``max(Σw⁺, Σw⁻)·L_in + |b| + θ`` of a population, ``Σ|w|`` for signed sources.

    Every membrane that any order of arrival can reach lies within ± this bound in a windowed code.
    """
    population = network.graph.node(name)
    up = np.zeros((1, 1, 1), np.int64)
    down = np.zeros((1, 1, 1), np.int64)
    for edge in network.graph.in_edges(name):
        source = network.graph.node(edge.source)
        positive, negative = sums_of_weights(edge.payload.kernel, population.shape)
        if source.signed:
            positive = negative = positive + negative
        up = up + positive * source.levels
        down = down + negative * source.levels
    reach = np.maximum(up, down) + np.abs(population.bias) + np.abs(population.lead) + population.theta
    return int(reach.max())
