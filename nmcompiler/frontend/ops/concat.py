"""Concat: wiring."""

from __future__ import annotations

import numpy as np

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import ZERO, Refusal, Wire, axis_of
from nmcompiler.ir.kernels import Array


@operator("Concat", since=4)
def concat(node: Node, builder: Builder) -> Wire:
    """Operands stand in the node's order; constant ones may only hold zeros."""
    parts = [_part(node, slot) for slot in range(len(node.operands))]
    axis = axis_of(node.integer("axis", 1), parts[0].ndim)
    if axis == 0:
        raise Refusal("joins samples (axis 0)")
    try:
        return Wire(np.concatenate(parts, axis=axis))
    except ValueError as error:
        raise Refusal(f"shapes {[list(p.shape) for p in parts]} do not join along axis {axis}") from error


def _part(node: Node, slot: int) -> Array:
    if not node.is_constant(slot):
        return node.wire(slot).ids
    value = node.constant(slot)
    if value.any():
        raise Refusal(f"operand {slot} is a constant other than zero")
    return np.full((1, *value.shape[1:]), ZERO, np.int64)
