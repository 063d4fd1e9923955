"""Rounds weights one after another, each making up for the rounding of those before it.

Rounding every weight to its nearest integer is best where inputs are independent. They never are, so a
weight that was rounded down can be made up for by its neighbours. With ``H`` the covariance of a layer's
inputs, the columns ``j`` of the weights are rounded in turn, and the error of each is spread over the
columns that still have to come, so that the error of the sums ``(w − q)ᵀ·H·(w − q)`` grows least:

    q_j = round(w_j),    w_k ← w_k − (w_j − q_j)·U_jk / U_jj  for k > j,    H⁻¹ = Uᵀ·U

(Frantar et al., "GPTQ: accurate post-training quantization for generative pre-trained transformers", 2023;
the columns of the loudest inputs come first). A layer with more inputs than ``H`` can be held for carries the
error of the sums themselves from weight to weight, sample by sample (Lybrand and Saab, "A greedy algorithm
for quantizing neural networks", 2021):

    q_j = round(w_j + xⱼ·u / (xⱼ·xⱼ + λ)),    u ← u + (w_j − q_j)·xⱼ
"""

from __future__ import annotations

import numpy as np

from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape, with_weight
from nmcompiler.passes.columns import Positions, columns, from_groups, to_groups

__all__ = ["DAMPING", "MOST_UNKNOWNS", "carry_errors", "round_in_turn", "spread_errors"]

DAMPING = 1e-2  # λ, as a share of the mean of the diagonal of H
MOST_UNKNOWNS = 1152  # per output: beyond it, H is never made

_BLOCK = 64  # weights whose errors reach the rest together
_FEW = 512  # rows that are looked at then


def round_in_turn(kernel: Kernel, source: Array, at: Positions, shape: Shape, limit: int) -> Kernel:
    """Returns the kernel with whole weights of at most ``limit``, int64.

    Constant shifts of the sums are left to the bias: the inputs' means take no part.

    Args:
        kernel: Real weights in the unit of the integers.
        source: ``(N, h, w, c)`` values that it reads.
        at: Positions of the sums that are looked at.
        shape: ``(height, width, channels)`` of the sums.
        limit: Largest weight.
    """
    dense = isinstance(kernel, Dense) and shape[:2] == (1, 1)
    if not (dense or isinstance(kernel, Conv)):
        return with_weight(kernel, np.clip(np.round(kernel.weight), -limit, limit).astype(np.int64))
    weight = to_groups(kernel)
    inputs = columns(kernel, source, at)
    inputs = inputs - inputs.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    if inputs.shape[2] <= MOST_UNKNOWNS:
        gram = (inputs.transpose(0, 2, 1) @ inputs).astype(np.float64)
        rounded = spread_errors(weight, gram, limit)
    else:
        few = inputs[:, :: -(-inputs.shape[1] // _FEW)]
        groups = [carry_errors(w, x, limit) for w, x in zip(weight, few, strict=True)]
        rounded = groups[0][None] if len(groups) == 1 else np.stack(groups)
    return with_weight(kernel, from_groups(kernel, rounded).astype(np.int64, copy=False))


def spread_errors(weight: Array, gram: Array, limit: int) -> Array:
    """Returns whole weights ``(groups, unknowns, outputs)`` float64 by GPTQ.

    Args:
        weight: ``(groups, unknowns, outputs)``.
        gram: ``(groups, unknowns, unknowns)``: H; inputs that never change tell nothing and are rounded.
        limit: Largest weight.
    """
    groups, unknowns, _ = weight.shape
    loudness = np.diagonal(gram, axis1=1, axis2=2)
    damping = DAMPING * loudness.mean(axis=1) + np.finfo(np.float32).tiny
    order = np.argsort(-loudness, axis=1, kind="stable")
    each = np.arange(groups)[:, None]
    ordered = gram[each[:, :, None], order[:, :, None], order[:, None, :]]
    ordered = ordered + damping[:, None, None] * np.eye(unknowns)
    upper = _factor_of_inverse(ordered)
    left = weight[each, order].astype(np.float64)
    result = np.empty_like(left)
    for first in range(0, unknowns, _BLOCK):
        last = min(first + _BLOCK, unknowns)
        errors = np.empty((groups, last - first, weight.shape[2]))
        for j in range(first, last):
            result[:, j] = np.clip(np.round(left[:, j]), -limit, limit)
            error = errors[:, j - first] = (left[:, j] - result[:, j]) / upper[:, j, j, None]
            left[:, j + 1 : last] -= upper[:, j, j + 1 : last, None] * error[:, None]
        left[:, last:] -= upper[:, first:last, last:].transpose(0, 2, 1) @ errors
    back = np.empty_like(result)
    back[each, order] = result
    return back


def _factor_of_inverse(gram: Array) -> Array:
    """Returns the upper triangular U of every H, ``(groups, n, n)``, with H⁻¹ = Uᵀ·U.

    H = M·Mᵀ with M upper triangular, which is the Cholesky factor of H with rows and columns in reverse; then
    U = M⁻¹. Of many unknowns, a full inverse takes twice as long.
    """
    # scipy is imported by the first weights that are rounded in turn, not by every command.
    from scipy.linalg.lapack import dtrtri

    factor = np.linalg.cholesky(gram[:, ::-1, ::-1])[:, ::-1, ::-1]
    return np.stack([dtrtri(np.asfortranarray(one))[0] for one in factor])


def carry_errors(weight: Array, inputs: Array, limit: int) -> Array:
    """Returns whole weights ``(unknowns, outputs)`` int64 by greedy path following.

    Args:
        weight: ``(unknowns, outputs)``.
        inputs: ``(rows, unknowns)``.
        limit: Largest weight.
    """
    loudness = np.square(inputs, dtype=np.float64).sum(axis=0)
    damping = loudness.mean() + np.finfo(np.float32).tiny
    # A dense layer keeps its weights by outputs, and rows that lie across its memory are slow one by one.
    result = np.empty(weight.shape[::-1], np.int64).T
    error = np.zeros((len(inputs), weight.shape[1]))
    turned = np.ascontiguousarray(inputs.T, np.float64)
    for first in range(0, len(turned), _BLOCK):  # errors reach the weights of a block through their products
        block = turned[first : first + _BLOCK]
        before, products = block @ error, block @ block.T
        wanted = np.ascontiguousarray(weight[first : first + _BLOCK], np.float64)
        rounded, left = np.empty_like(wanted), np.empty_like(wanted)
        for i, loud in enumerate(loudness[first : first + _BLOCK]):
            carried = before[i] + products[i, :i] @ left[:i]
            rounded[i] = np.clip(np.round(wanted[i] + carried / (loud + damping)), -limit, limit)
            left[i] = wanted[i] - rounded[i]
        result[first : first + _BLOCK] = rounded
        error += block.T @ left
    return result
