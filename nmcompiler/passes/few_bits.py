"""Weights of few bits: how far to cut the largest of them, and better whole numbers than rounding finds.

With 4 bits the largest weight of a channel would leave most others at 0 or ±1. Cut it, and all others get a
finer grid; where the errors of both are least depends on what the weights read. So several units are tried
per channel (for all channels at once in a read-out, whose outputs are compared), and the one is taken whose
sums are off least, ``(w − q/u)ᵀ·H·(w − q/u)``, once weights have made up for each other's rounding and
cutting (``gptq``; the search for a clip by the error of what a layer gives: Choukroun et al., "Low-bit
quantization of neural networks for efficient inference", 2019; Nahshan et al., "Loss aware post-training
quantization", 2021). Then one weight after another moves to the whole number that suits all others best,

    q_j ← round(q_j + (H·(w − q))_j / H_jj),

until none moves: no step can make the error larger (coordinate descent: Behdin et al., "QuantEase:
optimization-based quantization for language models", 2023).

H is estimated from samples. With few of them per weight it seems to allow errors where it merely has not
looked, and is drawn towards a multiple of the identity, by as much as the scatter of the samples asks for
(Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape, with_weight
from nmcompiler.passes.columns import Positions, columns, from_groups, to_groups
from nmcompiler.passes.formats import Branch
from nmcompiler.passes.gptq import DAMPING, MOST_UNKNOWNS, spread_errors
from nmcompiler.passes.kernel_algebra import scale_targets

__all__ = ["FEW_BITS", "FINER", "cut_weights", "descend", "shrinkage"]

FEW_BITS = 7  # largest weight, of 4 bits, for which cutting is tried
FINER = (1.0, 1.08, 1.17, 1.26, 1.36, 1.47, 1.59, 1.72, 1.86, 2.0)  # grids, times the one that cuts nothing
_MOST_SHRINKAGE = 0.9
_SWEEPS = 10


@dataclass(frozen=True, eq=False)
class _Edge:
    """A branch, the damped covariance H of what it reads ``(groups, unknowns, unknowns)``, its channels."""

    branch: Branch
    gram: Array
    channels: slice

    def scaled(self, units: Array, shape: Shape) -> Array:
        """Returns the weights in each of k units, ``(groups, unknowns, k, outputs)`` float64."""
        kernels = [scale_targets(self.branch.kernel, unit, shape) for unit in units]
        return np.stack([to_groups(kernel) for kernel in kernels], axis=2).astype(np.float64)


def cut_weights(
    branches: tuple[Branch, ...],
    values: Mapping[str, Array],
    units: Array,
    at: Positions,
    shape: Shape,
    limit: int,
    *,
    together: bool,
) -> tuple[tuple[Branch, ...], Array] | None:
    """Returns branches with whole weights, and which of the units each channel ``(c,)`` took.

    None where a branch is neither a convolution nor a dense layer, or reads too many inputs.

    Args:
        branches: In-edges with real weights.
        values: ``(N, h, w, c)`` of each source, by name.
        units: ``(k, c)`` float64 tried: what a real weight is multiplied by.
        at: Positions of the sums that are looked at.
        shape: ``(height, width, channels)`` of the sums.
        limit: Largest weight.
        together: Whether all channels take the same of the units.
    """
    edges = [_edge(branch, values[branch.source], at, shape) for branch in branches]
    known = [edge for edge in edges if edge is not None]
    if len(known) < len(edges):
        return None
    error = np.zeros(units.shape)
    tried = []
    for edge in known:
        wanted = edge.scaled(units, shape)
        groups, unknowns, count, outputs = wanted.shape
        flat = wanted.reshape(groups, unknowns, -1)
        whole = spread_errors(flat, edge.gram, limit)
        off = flat - whole
        lost = (off * (edge.gram @ off)).sum(axis=1).reshape(groups, count, outputs)
        lost = lost.transpose(1, 0, 2).reshape(count, -1)
        error[:, edge.channels] += lost / np.square(units[:, edge.channels])
        tried.append((wanted, whole.reshape(wanted.shape)))
    best = np.argmin(error, axis=0)
    if together:
        best[:] = np.argmin(error.sum(axis=1))
    result = []
    for edge, (wanted, whole) in zip(known, tried, strict=True):
        chosen = best[edge.channels].reshape(len(whole), 1, 1, -1)
        w, q = (np.take_along_axis(a, chosen, axis=2)[:, :, 0] for a in (wanted, whole))
        kernel = edge.branch.kernel
        better = from_groups(kernel, descend(w, q, edge.gram, limit)).astype(np.int64)
        result.append(replace(edge.branch, kernel=with_weight(kernel, better)))
    return tuple(result), best


def descend(weight: Array, whole: Array, gram: Array, limit: int) -> Array:
    """Returns whole weights whose error ``(w − q)ᵀ·H·(w − q)`` no single one can make smaller, float64.

    Args:
        weight: ``(groups, unknowns, outputs)`` real.
        whole: As many whole numbers of at most ``limit`` to start from.
        gram: ``(groups, unknowns, unknowns)``: H, positive on its diagonal.
        limit: Largest weight.
    """
    result = whole.astype(np.float64)
    slope = gram @ (weight - result)
    loudness = np.diagonal(gram, axis1=1, axis2=2)
    for _ in range(_SWEEPS):
        moved = False
        for j in range(result.shape[1]):
            best = np.round(result[:, j] + slope[:, j] / loudness[:, j, None])
            step = np.clip(best, -limit, limit) - result[:, j]
            group, output = np.nonzero(step)
            if not len(group):
                continue
            moved = True
            result[:, j] += step
            slope[group, :, output] -= step[group, output, None] * gram[group, j]
        if not moved:
            break
    return result


def shrinkage(inputs: Array, gram: Array) -> Array:
    """Returns ``(groups,)``: how much of each covariance is to be a multiple of the identity, 0 to 0.9.

    Args:
        inputs: ``(groups, rows, unknowns)`` of mean 0.
        gram: ``(groups, unknowns, unknowns)``: their sums of products.
    """
    rows, unknowns = inputs.shape[1:]
    size = np.square(gram).sum(axis=(1, 2))
    even = np.trace(gram, axis1=1, axis2=2) ** 2 / unknowns
    fourth = np.square(np.square(inputs, dtype=np.float64).sum(axis=2)).sum(axis=1)
    scatter = np.maximum(fourth - size / rows, 0)
    spread = np.maximum(size - even, 0)
    # Where H is a multiple of the identity already, nothing is to be drawn.
    some = spread > 1e-9 * size
    share: Array = np.where(some, scatter / np.where(some, spread, 1), 0)
    return np.minimum(share, _MOST_SHRINKAGE)


def _edge(branch: Branch, source: Array, at: Positions, shape: Shape) -> _Edge | None:
    kernel = branch.kernel
    channels = _channels(kernel, shape)
    if channels is None:
        return None
    inputs = columns(kernel, source, at)
    unknowns = inputs.shape[2]
    if unknowns > MOST_UNKNOWNS:
        return None
    inputs = inputs - inputs.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    gram = (inputs.transpose(0, 2, 1) @ inputs).astype(np.float64)
    share = shrinkage(inputs, gram)
    mean = np.trace(gram, axis1=1, axis2=2) / unknowns
    # Damped as GPTQ damps it: errors along directions that hardly vary must not grow without bounds.
    ridge = (share / (1 - share) + DAMPING) * mean + np.finfo(np.float32).tiny
    return _Edge(branch, gram + ridge[:, None, None] * np.eye(unknowns), channels)


def _channels(kernel: Kernel, shape: Shape) -> slice | None:
    """Returns the channels that a kernel writes, None where it has no columns."""
    if isinstance(kernel, Dense):
        return slice(0, shape[2]) if shape[:2] == (1, 1) else None
    if not isinstance(kernel, Conv):
        return None
    first = kernel.target_channel
    return slice(first, first + kernel.weight.shape[3])
