"""MatMul with a constant: a dense layer, or a 1 × 1 convolution over all other axes."""

from __future__ import annotations

import numpy as np

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.forms import ONE_FACTOR
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.products import times
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import MixesSamples, Refusal, Wire
from nmcompiler.ir.kernels import Array


@operator("MatMul", ONE_FACTOR)
def matmul(node: Node, builder: Builder) -> Wire:
    """A constant on the left acts on the last axis but one."""
    if node.is_constant(0):
        return Wire(_from_left(node, builder, node.wire(1).ids, node.weights(0)))
    ids = node.wire(0).ids
    if node.has(1) and not node.is_constant(1):
        raise Refusal(
            "is a product of two tensors that depend on the input", "only constant factors are supported"
        )
    return Wire(_from_right(node, builder, ids, node.weights(1)))


def _from_right(node: Node, builder: Builder, ids: Array, weight: Array) -> Array:
    """Returns the ids of ``ids @ weight`` as numpy means it: a vector is a row, or a column, for a while."""
    _check_batch(node, ids, weight)
    left, right = np.atleast_2d(ids), weight[:, None] if weight.ndim == 1 else weight
    made = times(node, builder, left, right)
    made = made[..., 0] if weight.ndim == 1 else made
    return made if ids.ndim > 1 else made[0] if weight.ndim == 1 else made[..., 0, :]


def _from_left(node: Node, builder: Builder, ids: Array, weight: Array) -> Array:
    """Returns the ids of ``weight @ ids``, from the product of the transposed."""
    if node.batched and ids.ndim < 3:
        raise MixesSamples("multiplies samples with each other: the constant stands on the left of the batch")
    _check_batch(node, ids, weight)
    if ids.ndim == 1:
        made = times(node, builder, ids[None], np.atleast_2d(weight).swapaxes(-1, -2))
        return made[..., 0, :] if weight.ndim > 1 else made[0, 0]
    made = times(node, builder, ids.swapaxes(-1, -2), np.atleast_2d(weight).swapaxes(-1, -2))
    made = made.swapaxes(-1, -2)
    return made if weight.ndim > 1 else made[..., 0, :]


def _check_batch(node: Node, ids: Array, weight: Array) -> None:
    """Refuses matrices that differ from sample to sample, and products that lose the batch."""
    if min(ids.ndim, weight.ndim) < 1:
        raise Refusal("has an operand without axes")
    if ids.ndim == 1 or weight.ndim > ids.ndim or (weight.ndim == ids.ndim > 2 and len(weight) != 1):
        node.spare_batch(0, f"its weight of shape {list(weight.shape)} differs from sample to sample")
