"""Flatten: wiring."""

from __future__ import annotations

import math

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Refusal, Wire


@operator("Flatten")
def flatten(node: Node, builder: Builder) -> Wire:
    """Joins the axes before ``axis``, and those from it on."""
    wire = node.wire(0)
    rank = len(wire.shape)
    axis = node.integer("axis", 1)
    if not -rank <= axis <= rank:
        raise Refusal(f"axis {axis} does not exist in a tensor of rank {rank}")
    axis += rank if axis < 0 else 0
    node.spare_batch(axis, "axis=0 joins the samples with their features", "use axis=1")
    return node.reshaped(wire, (math.prod(wire.shape[:axis]), math.prod(wire.shape[axis:])))
