"""ReduceSum: a depthwise convolution of the size of what is reduced."""

from __future__ import annotations

from nmcompiler.frontend import reductions
from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.forms import FIRST_SIGNAL
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Wire


@operator("ReduceSum", FIRST_SIGNAL)
def reduce_sum_by_attribute(node: Node, builder: Builder) -> Wire:
    """Until opset 12 the axes are an attribute."""
    return reductions.by_attribute(node, builder, node.wire(0), reductions.summed)


@operator("ReduceSum", FIRST_SIGNAL, since=13)
def reduce_sum_by_operand(node: Node, builder: Builder) -> Wire:
    """From opset 13 on the axes are an operand."""
    return reductions.by_operand(node, builder, node.wire(0), reductions.summed)
