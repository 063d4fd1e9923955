"""Relu."""

from __future__ import annotations

from nmcompiler.frontend.builder import Builder, Term
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Wire
from nmcompiler.ir.layers import Clip


@operator("Relu")
def relu(node: Node, builder: Builder) -> Wire:
    """A layer that copies and clips at zero."""
    return builder.sum(node, [Term(node.wire(0))], activation=Clip(0.0))
