"""MatMul with a constant on one side: dense on a vector, a 1×1 convolution along further axes."""

from __future__ import annotations

import numpy as np

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.edges import Window
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Refusal, Wire
from nmcompiler.ir.kernels import Array


@operator("MatMul")
def matmul(node: Node, builder: Builder) -> Wire:
    """A constant on the left acts on the last axis but one."""
    if node.is_constant(0):
        ids = node.wire(1).ids
        if ids.ndim < 3:
            raise Refusal("multiplies samples with each other: the constant stands on the left of the batch")
        made = _last_axis(node, builder, ids.swapaxes(-1, -2), _matrix(node, 0).T)
        return Wire(made.swapaxes(-1, -2))
    ids = node.wire(0).ids
    if node.has(1) and not node.is_constant(1):
        raise Refusal(
            "is a product of two tensors that depend on the input", "only constant factors are supported"
        )
    made = _last_axis(node, builder, ids, _matrix(node, 1))
    return Wire(made[..., 0] if node.constant(1).ndim == 1 else made)


def _matrix(node: Node, slot: int) -> Array:
    weight = node.weights(slot)
    if weight.ndim == 1 and slot == 1:
        return weight[:, None]
    if weight.ndim < 2 or any(n != 1 for n in weight.shape[:-2]):
        raise Refusal(f"its weight has the shape {list(weight.shape)}: one matrix is supported")
    return weight.reshape(weight.shape[-2:])


def _last_axis(node: Node, builder: Builder, ids: Array, weight: Array) -> Array:
    """Returns the ids of ``ids @ weight``, weight ``(k, m)``."""
    k, m = weight.shape
    if ids.shape[-1] != k:
        raise Refusal(f"weight of shape {[k, m]} does not fit {list(ids.shape)}")
    if ids.size == k:
        made = builder.dense(node, ids.ravel(), np.ascontiguousarray(weight.T), None).ids
        return made.reshape(*ids.shape[:-1], m)
    rows = ids.shape[1] if ids.ndim == 4 else 1
    grid = ids.reshape(rows, -1, k)
    window = Window((1, 1), (1, 1), (0, 0), (1, 1), grid.shape[:2])
    builder.macs += grid.shape[0] * grid.shape[1] * weight.size
    made = builder.convolution(node, grid, weight.reshape(1, 1, k, m), 1, window)
    return made.reshape(*ids.shape[:-1], m)
