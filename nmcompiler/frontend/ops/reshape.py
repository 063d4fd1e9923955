"""Reshape that leaves the batch where it is: wiring."""

from __future__ import annotations

import math

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.forms import FIRST_SIGNAL
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Refusal, Wire, integers


@operator("Reshape", FIRST_SIGNAL)
def reshape_by_attribute(node: Node, builder: Builder) -> Wire:
    """Until opset 4 the shape is an attribute."""
    return _reshape(node, node.integers("shape") or ())


@operator("Reshape", FIRST_SIGNAL, since=5)
def reshape_by_operand(node: Node, builder: Builder) -> Wire:
    """From opset 5 on it is an operand."""
    return _reshape(node, integers(node.constant(1)))


def _reshape(node: Node, asked: tuple[int, ...]) -> Wire:
    """The first entry may be 0, −1, 1, or the batch size that is baked into the file."""
    wire = node.wire(0)
    shape = list(asked)
    if not node.integer("allowzero", 0):
        if any(n == 0 and k >= len(wire.shape) for k, n in enumerate(shape)):
            raise Refusal(f"shape {list(asked)} copies a dimension that {list(wire.shape)} does not have")
        shape = [wire.shape[k] if n == 0 else n for k, n in enumerate(shape)]
    if node.batched and shape and shape[0] == node.batch:
        shape[0] = 1
    if shape.count(-1) > 1 or any(n < -1 or n == 0 for n in shape):
        raise Refusal(f"shape {list(asked)} is not valid")
    if -1 in shape:
        shape[shape.index(-1)] = wire.ids.size // math.prod(n for n in shape if n != -1)
    return node.reshaped(wire, tuple(shape))
