"""Piecewise linear functions as sums of rectified values, which chips have: exact in real numbers.

``max(x, c) = c + relu(x − c)``, ``min(x, c) = c − relu(c − x)``, ``leaky(x) = relu(x) − a · relu(−x)``. The
sums are linear layers, which passes fold into what reads them.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from nmcompiler.frontend.builder import Builder, Term
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.sums import against_sample
from nmcompiler.frontend.values import Refusal, Wire
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.layers import Clip

__all__ = ["clipped", "leaky", "maximum", "minimum"]

_RELU = Clip(0.0)


def clipped(node: Node, builder: Builder, wire: Wire, lower: float, upper: float) -> Wire:
    """Returns ``min(max(wire, lower), upper)``; bounds may be infinite."""
    rectified = builder.never_negative(wire.ids)
    lower = max(lower, 0.0) if rectified else lower
    if lower >= upper:  # ONNX gives the upper bound: neurons with a bias and weights of zero
        return builder.sum(node, [Term(wire, 0, np.zeros(1))], shift=np.array(upper))
    if upper == math.inf and lower == (0 if rectified else -math.inf):
        return wire
    if lower == 0:
        return builder.sum(node, [Term(wire)], activation=Clip(0.0, upper))
    if lower == -math.inf:
        return minimum(node, builder, wire, np.array(upper))
    room = Clip(0.0, upper - lower)
    above = builder.sum(node, [Term(wire)], shift=np.array(-lower), activation=room)
    return builder.sum(node, [Term(above)], shift=np.array(lower))


def maximum(node: Node, builder: Builder, wire: Wire, other: Wire | Array) -> Wire:
    """Returns the larger of a wire and another wire or a constant, element by element."""
    return _joined(node, builder, wire, other, 1.0)


def minimum(node: Node, builder: Builder, wire: Wire, other: Wire | Array) -> Wire:
    """Returns the smaller of a wire and another wire or a constant, element by element."""
    return _joined(node, builder, wire, other, -1.0)


def _joined(node: Node, builder: Builder, wire: Wire, other: Wire | Array, sign: float) -> Wire:
    """Returns ``other + sign · relu(sign · (wire − other))``."""
    plus, minus = np.full(1, sign), np.full(1, -sign)
    if isinstance(other, Wire):
        terms = [Term(wire, 0, plus), Term(other, 1, minus)]
        beyond = builder.sum(node, terms, activation=_RELU)
        return builder.sum(node, [Term(other, 0), Term(beyond, 1, plus)])
    constant, shape = against_sample(other, wire.shape, node.batched)
    beyond = builder.sum(node, [Term(wire, 0, plus)], shift=-sign * constant, activation=_RELU, shape=shape)
    if not constant.any():
        return beyond if sign > 0 else builder.sum(node, [Term(beyond, 0, plus)])
    return builder.sum(node, [Term(beyond, 0, plus)], shift=constant, shape=shape)


def leaky(node: Node, builder: Builder, wire: Wire, slope: Array) -> Wire:
    """Returns ``wire`` where it is positive and ``slope · wire`` elsewhere, from two rectified halves.

    Args:
        node: What the layers stand for.
        builder: Takes the layers.
        wire: What is read.
        slope: Broadcastable to the wire.
    """
    if builder.never_negative(wire.ids):
        return wire
    factor, shape = against_sample(slope, wire.shape, node.batched)
    if shape != wire.shape:
        raise Refusal(f"its slope of shape {list(slope.shape)} does not fit {list(wire.shape)}")
    above = builder.sum(node, [Term(wire)], activation=_RELU)
    if not factor.any():
        return above
    named = replace(node, name=f"{node.name}_below")
    below = builder.sum(named, [Term(wire, 0, np.full(1, -1.0))], activation=_RELU)
    return builder.sum(node, [Term(above, 0), Term(below, 1, -factor)])
