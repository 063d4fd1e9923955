"""Add of branches and of constants."""

from __future__ import annotations

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.sums import add_or_subtract, with_old_broadcast
from nmcompiler.frontend.values import Wire


@operator("Add", since=7)
def add(node: Node, builder: Builder) -> Wire:
    """Two edges for two branches, also where they are the same; a bias for a constant."""
    return add_or_subtract(node, builder, 1.0)


@operator("Add")
def add_along_an_axis(node: Node, builder: Builder) -> Wire:
    """Until opset 6 an attribute says where the second operand stands."""
    return add(with_old_broadcast(node), builder)
