"""Products of a wire with constant matrices."""

from __future__ import annotations

import numpy as np

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.edges import Window
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.values import Refusal
from nmcompiler.ir.kernels import Array

__all__ = ["times"]

_MOST_MATRICES = 1024  # each one makes a layer of its own


def times(node: Node, builder: Builder, ids: Array, weight: Array, bias: Array | None = None) -> Array:
    """Returns the ids of ``ids @ weight``.

    Args:
        node: What the layers stand for.
        builder: Takes the layers.
        ids: ``(…, n, k)``.
        weight: ``(…, k, m)``; its further axes broadcast with those of ``ids``.
        bias: ``(m,)``, only for one matrix; None for none.
    """
    if all(n == 1 for n in weight.shape[:-2]):
        made = _last_axis(node, builder, ids, weight.reshape(weight.shape[-2:]), bias)
        return made.reshape((1,) * (weight.ndim - ids.ndim) + made.shape)
    try:
        front = np.broadcast_shapes(ids.shape[:-2], weight.shape[:-2])
    except ValueError as error:
        raise Refusal(f"weight of shape {list(weight.shape)} does not fit {list(ids.shape)}") from error
    if int(np.prod(front)) > _MOST_MATRICES:
        raise Refusal(f"multiplies {int(np.prod(front))} matrices: at most {_MOST_MATRICES} are supported")
    left = np.broadcast_to(ids, (*front, *ids.shape[-2:]))
    right = np.broadcast_to(weight, (*front, *weight.shape[-2:]))
    products = [_last_axis(node, builder, left[k], right[k], None) for k in np.ndindex(*front)]
    return np.stack(products).reshape(*front, ids.shape[-2], weight.shape[-1])


def _last_axis(node: Node, builder: Builder, ids: Array, weight: Array, bias: Array | None) -> Array:
    """Returns the ids of ``ids @ weight + bias``, weight ``(k, m)``."""
    k, m = weight.shape
    if ids.shape[-1] != k:
        raise Refusal(f"weight of shape {[k, m]} does not fit {list(ids.shape)}")
    if ids.size == k:
        made = builder.dense(node, ids.ravel(), np.ascontiguousarray(weight.T), bias).ids
        return made.reshape(*ids.shape[:-1], m)
    rows = ids.shape[1] if ids.ndim == 4 and len(ids) == 1 else 1
    grid = ids.reshape(rows, -1, k)
    window = Window((1, 1), (1, 1), (0, 0), (1, 1), grid.shape[:2])
    builder.macs += grid.shape[0] * grid.shape[1] * weight.size
    made = builder.convolution(node, grid, weight.reshape(1, 1, k, m), 1, window, bias)
    return made.reshape(*ids.shape[:-1], m)
