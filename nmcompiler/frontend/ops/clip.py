"""Clip to constant bounds, either of which may be missing."""

from __future__ import annotations

import math

import numpy as np

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.forms import FIRST_SIGNAL
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.pieces import clipped
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Refusal, Wire

# Writers spell 'no bound' as the largest number of the type.
_HUGE = float(np.finfo(np.float32).max)


@operator("Clip", FIRST_SIGNAL)
def clip_by_attributes(node: Node, builder: Builder) -> Wire:
    """Until opset 10 the bounds are attributes."""
    return _clip(node, builder, node.number("min", -math.inf), node.number("max", math.inf))


@operator("Clip", FIRST_SIGNAL, since=11)
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
    return clipped(node, builder, node.wire(0), lower, upper)
