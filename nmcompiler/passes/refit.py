"""Refits the weights of a layer to the quantised values that it reads.

The real weights expect real inputs; on inputs with rounding noise other weights come closer to the same
outputs. They minimise ``Σ (act(y) − act(W·x̂ + b))²`` over the calibration samples, for ``y`` the layer's
sums in floating point and ``x̂`` its quantised inputs, by majorised least squares: with the residual
``r = act(y) − act(W·x̂ + b)``, repeat

    W ← W + (Σ r·x̃ᵀ)·(X·Xᵀ + λ·mean(diag(X·Xᵀ))·I)⁻¹,    b ← b + mean(r) − ΔW·mean(x̂),

``x̃ = x̂ − mean(x̂)`` being the columns of X. A clip has slopes of at most 1, so the quadratic with ``X·Xᵀ``
in place of the masked sum lies above the error and touches it at the present weights: no step can make the
error larger (majorisation-minimisation: Lange, Hunter and Yang, "Optimization transfer using surrogate
objective functions", 2000; layer-wise reconstruction on quantised inputs: Hubara et al., "Accurate post
training quantization with small calibration sets", 2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape, with_weight
from nmcompiler.ir.layers import Clip
from nmcompiler.passes.columns import Positions, columns, from_groups, to_groups
from nmcompiler.passes.kernel_algebra import is_identity

__all__ = ["Positions", "Read", "refit"]

_ITERATIONS = 5
_DAMPING = 1e-2  # λ
_CONSTANT = 1e-6  # least λ·diag, as a share of the squared means
_ROWS_PER_UNKNOWN = 4  # with fewer rows the weights learn the samples by heart
_MOST_UNKNOWNS = 2048  # per output: the system is solved densely


@dataclass(frozen=True, eq=False)
class Read:
    """What one edge reads: its kernel and the values ``(N, h, w, c)`` of its source."""

    kernel: Kernel
    source: Array


def refit(
    reads: tuple[Read, ...],
    target: Array,
    sums: Array,
    clip: Clip,
    at: Positions,
    shape: Shape,
    *,
    scarce: float | None = None,
    weight: Array | None = None,
) -> tuple[tuple[Kernel, ...], Array]:
    """Returns better kernels and what to add to the bias per channel, ``(c,)`` float64.

    Edges are refitted one after another, each with the others as they then are. Skip connections, sparse
    kernels, and kernels with more than a quarter as many unknowns per output as there are rows stay.

    Args:
        reads: The in-edges.
        target: ``(rows, c)`` the layer's sums in floating point.
        sums: ``(rows, c)`` its sums on the quantised values, the means of the channels corrected.
        clip: The layer's activation.
        at: Which positions the rows are.
        shape: ``(height, width, channels)`` of the sum.
        scarce: λ for kernels that rows are too few for; None: they stay.
        weight: ``(rows,)`` what the squared error of each row counts for; None: all alike.
    """
    wanted = np.clip(target, clip.lower, clip.upper)
    one = np.ones(len(sums), np.float32)
    counts = one if weight is None else (weight / weight.mean()).astype(np.float32)
    shift = np.zeros(shape[2])
    kernels = []
    for read in reads:
        kernel = read.kernel
        damping = _damping(read, len(sums), shape, scarce)
        if damping is not None:
            kernel, sums, more = _refit_edge(read, wanted, sums, clip, at, damping, counts)
            shift += more
        kernels.append(kernel)
    return tuple(kernels), shift


def _refit_edge(
    read: Read, wanted: Array, sums: Array, clip: Clip, at: Positions, damping: float, counts: Array
) -> tuple[Kernel, Array, Array]:
    inputs = columns(read.kernel, read.source, at)
    groups, rows, unknowns = inputs.shape
    mean = (inputs * counts[:, None]).mean(axis=1, keepdims=True, dtype=np.float64)
    centred = inputs - mean.astype(np.float32)
    gram = (centred.transpose(0, 2, 1) @ (centred * counts[:, None])).astype(np.float64)
    ridge = damping * np.trace(gram, axis1=1, axis2=2) / unknowns
    # A channel that never changes tells nothing about its weight: what is left of it is rounding.
    constant = rows * np.square(mean).mean(axis=(1, 2))
    ridge = np.maximum(ridge, _CONSTANT * constant + np.finfo(np.float32).tiny)
    gram += ridge[:, None, None] * np.eye(unknowns)
    inverse = np.linalg.inv(gram)
    change = np.zeros((groups, unknowns, sums.shape[1] // groups))
    shift = np.zeros(sums.shape[1])
    for _ in range(_ITERATIONS):
        residual = counts[:, None] * (wanted - np.clip(sums, clip.lower, clip.upper))
        grouped = residual.reshape(rows, groups, -1).transpose(1, 0, 2)
        step = inverse @ (centred.transpose(0, 2, 1) @ grouped)
        moved = (centred @ step.astype(np.float32)).transpose(1, 0, 2).reshape(sums.shape)
        lift = residual.mean(axis=0, dtype=np.float64)
        change += step
        shift += lift - (mean @ step).ravel()
        sums = sums + moved + lift.astype(np.float32)
    return with_weight(read.kernel, read.kernel.weight + from_groups(read.kernel, change)), sums, shift


def _damping(read: Read, rows: int, shape: Shape, scarce: float | None) -> float | None:
    """Returns λ for an edge, None where it stays as it is."""
    kernel = read.kernel
    if isinstance(kernel, Dense):
        whole = shape[:2] == (1, 1)
    elif isinstance(kernel, Conv):
        whole = kernel.target_channels == shape[2]
    else:
        return None
    unknowns = to_groups(kernel).shape[1]
    if not whole or unknowns > _MOST_UNKNOWNS or is_identity(kernel, read.source.shape[1:], shape):
        return None
    return _DAMPING if rows >= _ROWS_PER_UNKNOWN * (unknowns + 1) else scarce
