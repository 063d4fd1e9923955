"""ReduceMax and ReduceMin: maxima over windows of the size of what is reduced."""

from __future__ import annotations

import numpy as np

from nmcompiler.frontend import reductions
from nmcompiler.frontend.builder import Builder, Term
from nmcompiler.frontend.edges import Window
from nmcompiler.frontend.forms import FIRST_SIGNAL
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Wire
from nmcompiler.ir.kernels import Array


@operator("ReduceMax", FIRST_SIGNAL)
def reduce_max_by_attribute(node: Node, builder: Builder) -> Wire:
    """Until opset 17 the axes are an attribute."""
    return reductions.by_attribute(node, builder, node.wire(0), _maxima)


@operator("ReduceMax", FIRST_SIGNAL, since=18)
def reduce_max_by_operand(node: Node, builder: Builder) -> Wire:
    """From opset 18 on the axes are an operand."""
    return reductions.by_operand(node, builder, node.wire(0), _maxima)


@operator("ReduceMin", FIRST_SIGNAL)
def reduce_min_by_attribute(node: Node, builder: Builder) -> Wire:
    """``min(x) = −max(−x)``."""
    turned = _turned(node, builder, node.wire(0))
    return _turned(node, builder, reductions.by_attribute(node, builder, turned, _maxima))


@operator("ReduceMin", FIRST_SIGNAL, since=18)
def reduce_min_by_operand(node: Node, builder: Builder) -> Wire:
    """``min(x) = −max(−x)``."""
    turned = _turned(node, builder, node.wire(0))
    return _turned(node, builder, reductions.by_operand(node, builder, turned, _maxima))


def _maxima(node: Node, builder: Builder, ids: Array, window: Window) -> Array:
    return builder.max_pool(node, ids, window)


def _turned(node: Node, builder: Builder, wire: Wire) -> Wire:
    return builder.sum(node, [Term(wire, 0, np.full(1, -1.0))])
