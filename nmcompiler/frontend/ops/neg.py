"""Neg."""

from __future__ import annotations

import numpy as np

from nmcompiler.frontend.builder import Builder, Term
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Wire


@operator("Neg")
def neg(node: Node, builder: Builder) -> Wire:
    """A copy with weight −1."""
    return builder.sum(node, [Term(node.wire(0), 0, np.full(1, -1.0))])
