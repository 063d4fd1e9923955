"""Div by a constant."""

from __future__ import annotations

import numpy as np

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.forms import FIRST_SIGNAL, REAL
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.sums import scaled, with_old_broadcast
from nmcompiler.frontend.values import Refusal, Wire


@operator("Div", FIRST_SIGNAL, REAL, since=7)
def div(node: Node, builder: Builder) -> Wire:
    """Only the divisor may be constant."""
    if not node.is_constant(1):
        raise Refusal("divides by a tensor that depends on the input", "only constant divisors are supported")
    node.spare_integers("rounds quotients of integers")
    divisor = node.weights(1).astype(np.float64)
    if (divisor == 0).any():
        raise Refusal("divides by zero")
    return scaled(node, builder, 0, 1.0 / divisor)


@operator("Div", FIRST_SIGNAL, REAL)
def div_along_an_axis(node: Node, builder: Builder) -> Wire:
    """Until opset 6 an attribute says where the second operand stands."""
    return div(with_old_broadcast(node), builder)
