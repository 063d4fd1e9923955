"""Sub of branches and of constants, on either side."""

from __future__ import annotations

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.sums import add_or_subtract, with_old_broadcast
from nmcompiler.frontend.values import Wire


@operator("Sub", since=7)
def sub(node: Node, builder: Builder) -> Wire:
    """The subtrahend enters with weight −1."""
    return add_or_subtract(node, builder, -1.0)


@operator("Sub")
def sub_along_an_axis(node: Node, builder: Builder) -> Wire:
    """Until opset 6 an attribute says where the second operand stands."""
    return sub(with_old_broadcast(node), builder)
