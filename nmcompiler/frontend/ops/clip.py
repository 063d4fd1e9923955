"""Clip from zero to a constant, or without any bound."""

from __future__ import annotations

import math

import numpy as np

from nmcompiler.frontend.builder import Builder, Term
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Refusal, Wire
from nmcompiler.ir.layers import Clip

# Writers spell 'no bound' as the largest number of the type.
_HUGE = float(np.finfo(np.float32).max)


@operator("Clip")
def clip_by_attributes(node: Node, builder: Builder) -> Wire:
    """Until opset 10 the bounds are attributes."""
    return _clip(node, builder, node.number("min", -math.inf), node.number("max", math.inf))


@operator("Clip", since=11)
def clip_by_operands(node: Node, builder: Builder) -> Wire:
    """From opset 11 on the bounds are operands, either may be left out."""
    return _clip(node, builder, _bound(node, 1, -math.inf), _bound(node, 2, math.inf))


def _bound(node: Node, slot: int, default: float) -> float:
    if not node.has(slot):
        return default
    value = node.raw_constant(slot)
    if value.size != 1 or np.isnan(value).any():
        raise Refusal(f"its bound '{node.operand_names[slot]}' is not one number")
    return float(value.ravel()[0])


def _clip(node: Node, builder: Builder, lower: float, upper: float) -> Wire:
    lower = -math.inf if lower <= -_HUGE else lower
    upper = math.inf if upper >= _HUGE else upper
    if (lower, upper) == (-math.inf, math.inf):
        return node.wire(0)
    if lower != 0 or upper <= 0:
        raise Refusal(
            f"clips to {lower:g} … {upper:g}, and only a lower bound of 0 can be kept by neurons",
            "use Relu, or Clip from 0",
        )
    return builder.sum(node, [Term(node.wire(0))], activation=Clip(0.0, upper))
