"""Shape: a constant, but for the number of samples."""

from __future__ import annotations

import numpy as np

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Counted, Value


@operator("Shape")
def shape(node: Node, builder: Builder) -> Value:
    """From opset 15 on ``start`` and ``end`` choose some of the dimensions."""
    dims = node.wire(0).shape
    taken = slice(node.integer("start", 0), node.integer("end", len(dims)))
    if not node.batched:
        return np.array(dims, np.int64)[taken]
    one, two = (np.array((count, *dims[1:]), np.int64)[taken] for count in (1, 2))
    return one if np.array_equal(one, two) else Counted(one, two)
