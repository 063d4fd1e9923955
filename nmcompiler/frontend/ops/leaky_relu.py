"""LeakyRelu, PRelu and Abs: two rectified halves."""

from __future__ import annotations

import numpy as np

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.forms import FIRST_SIGNAL
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.pieces import leaky
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Wire


@operator("LeakyRelu")
def leaky_relu(node: Node, builder: Builder) -> Wire:
    """One slope for all values below zero."""
    return leaky(node, builder, node.wire(0), np.array(node.number("alpha", 0.01)))


@operator("PRelu", FIRST_SIGNAL, since=7)
def parametric_relu(node: Node, builder: Builder) -> Wire:
    """A constant slope, broadcast to the operand."""
    return leaky(node, builder, node.wire(0), node.weights(1))


@operator("PRelu", FIRST_SIGNAL)
def parametric_relu_by_channel(node: Node, builder: Builder) -> Wire:
    """Until opset 6 the slope is one number, or one for each channel."""
    wire, slope = node.wire(0), node.weights(1)
    along = (-1, *(1 for _ in wire.shape[2:])) if slope.size > 1 else (1,)
    return leaky(node, builder, wire, slope.reshape(along))


@operator("Abs")
def absolute(node: Node, builder: Builder) -> Wire:
    """A slope of −1 below zero."""
    return leaky(node, builder, node.wire(0), np.array(-1.0))
