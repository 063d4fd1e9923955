"""ReduceL1: a sum of absolute values."""

from __future__ import annotations

import numpy as np

from nmcompiler.frontend import reductions
from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.forms import FIRST_SIGNAL
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.pieces import leaky
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Wire


@operator("ReduceL1", FIRST_SIGNAL)
def reduce_l1_by_attribute(node: Node, builder: Builder) -> Wire:
    """Until opset 17 the axes are an attribute."""
    return reductions.by_attribute(node, builder, _absolute(node, builder), reductions.summed)


@operator("ReduceL1", FIRST_SIGNAL, since=18)
def reduce_l1_by_operand(node: Node, builder: Builder) -> Wire:
    """From opset 18 on the axes are an operand."""
    return reductions.by_operand(node, builder, _absolute(node, builder), reductions.summed)


def _absolute(node: Node, builder: Builder) -> Wire:
    return leaky(node, builder, node.wire(0), np.array(-1.0))
