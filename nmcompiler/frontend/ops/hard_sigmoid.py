"""HardSigmoid: a scaled sum that is clipped to 0 … 1."""

from __future__ import annotations

import numpy as np

from nmcompiler.frontend.builder import Builder, Term
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Wire
from nmcompiler.ir.layers import Clip


@operator("HardSigmoid")
def hard_sigmoid(node: Node, builder: Builder) -> Wire:
    """``y = max(0, min(1, alpha · x + beta))``."""
    factor = np.full(1, node.number("alpha", 0.2))
    shift = np.full(1, node.number("beta", 0.5))
    return builder.sum(node, [Term(node.wire(0), 0, factor)], shift=shift, activation=Clip(0.0, 1.0))
