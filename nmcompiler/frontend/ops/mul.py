"""Mul by a constant."""

from __future__ import annotations

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.forms import ONE_FACTOR
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.sums import scaled, with_old_broadcast
from nmcompiler.frontend.values import Refusal, Wire


@operator("Mul", ONE_FACTOR, since=7)
def mul(node: Node, builder: Builder) -> Wire:
    """The constant may stand on either side."""
    for slot in (0, 1):
        if node.is_constant(1 - slot):
            return scaled(node, builder, slot, node.weights(1 - slot))
    raise Refusal(
        "is a product of two tensors that depend on the input", "only constant factors are supported"
    )


@operator("Mul", ONE_FACTOR)
def mul_along_an_axis(node: Node, builder: Builder) -> Wire:
    """Until opset 6 an attribute says where the second operand stands."""
    return mul(with_old_broadcast(node), builder)
