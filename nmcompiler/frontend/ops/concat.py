"""Concat: wiring, but for constants."""

from __future__ import annotations

import numpy as np

from nmcompiler.frontend.builder import Builder, Term
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.sums import against_sample
from nmcompiler.frontend.values import ZERO, Refusal, Wire, axis_of
from nmcompiler.ir.kernels import Array


@operator("Concat", since=4)
def concat(node: Node, builder: Builder) -> Wire:
    """Operands stand in the node's order; where some are constants other than zero, a layer adds them."""
    slots = range(len(node.operands))
    rank = next(len(node.wire(slot).shape) for slot in slots if not node.is_constant(slot))
    axis = axis_of(node.integer("axis", 1), rank)
    node.spare_batch(axis, "joins samples (axis 0)")
    parts = [_part(node, slot) for slot in slots]
    try:
        ids, shift = (np.concatenate(arrays, axis=axis) for arrays in zip(*parts, strict=True))
    except ValueError as error:
        shapes = [list(ids.shape) for ids, _ in parts]
        raise Refusal(f"shapes {shapes} do not join along axis {axis}") from error
    return builder.sum(node, [Term(Wire(ids))], shift=shift) if shift.any() else Wire(ids)


def _part(node: Node, slot: int) -> tuple[Array, Array]:
    """Returns the ids of an operand and what is added to them: a constant is added to zeros."""
    if not node.is_constant(slot):
        ids = node.wire(slot).ids
        return ids, np.zeros(ids.shape)
    value = node.weights(slot)
    shape = (1, *value.shape[1:]) if node.batched else value.shape
    shift, _ = against_sample(value, shape, node.batched)
    return np.full(shape, ZERO, np.int64), shift
