"""ReduceMean: a depthwise convolution of the size of what is reduced."""

from __future__ import annotations

import math

from nmcompiler.frontend import reductions
from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.edges import Window
from nmcompiler.frontend.forms import FIRST_SIGNAL, REAL
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Wire
from nmcompiler.ir.kernels import Array


@operator("ReduceMean", FIRST_SIGNAL, REAL)
def reduce_mean_by_attribute(node: Node, builder: Builder) -> Wire:
    """Until opset 17 the axes are an attribute."""
    node.spare_integers("rounds the mean of integers")
    return reductions.by_attribute(node, builder, node.wire(0), _mean)


@operator("ReduceMean", FIRST_SIGNAL, REAL, since=18)
def reduce_mean_by_operand(node: Node, builder: Builder) -> Wire:
    """From opset 18 on the axes are an operand."""
    node.spare_integers("rounds the mean of integers")
    return reductions.by_operand(node, builder, node.wire(0), _mean)


def _mean(node: Node, builder: Builder, ids: Array, window: Window) -> Array:
    return reductions.summed(node, builder, ids, window, 1.0 / math.prod(window.size))
