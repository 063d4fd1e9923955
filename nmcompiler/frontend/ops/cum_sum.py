"""CumSum: a triangle of ones along an axis."""

from __future__ import annotations

import numpy as np

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.forms import FIRST_SIGNAL
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Refusal, Wire, axis_of


@operator("CumSum", FIRST_SIGNAL, since=11)
def cum_sum(node: Node, builder: Builder) -> Wire:
    """``exclusive`` leaves out the value itself, ``reverse`` adds up what follows."""
    wire, named = node.wire(0), node.constant(1)
    if named.size != 1:
        raise Refusal(f"its axis has {named.size} values")
    axis = axis_of(int(named.ravel()[0]), len(wire.shape))
    node.spare_batch(axis, "adds up samples (axis 0)")
    apart = 1 if node.integer("exclusive", 0) else 0
    ones = np.ones((wire.shape[axis],) * 2)
    reverse = node.integer("reverse", 0)
    return builder.resampled(node, wire, {axis: np.triu(ones, apart) if reverse else np.tril(ones, -apart)})
