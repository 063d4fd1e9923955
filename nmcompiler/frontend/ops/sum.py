"""Sum of any number of branches and constants."""

from __future__ import annotations

import numpy as np

from nmcompiler.frontend.builder import Builder, Term, common_shape
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.sums import against_sample
from nmcompiler.frontend.values import Wire


@operator("Sum", since=8)
def sum_of_branches(node: Node, builder: Builder) -> Wire:
    """One edge for each branch; constants add up to a bias."""
    slots = range(len(node.operands))
    terms = [Term(node.wire(slot), slot) for slot in slots if not node.is_constant(slot)]
    shape = common_shape(*(term.wire.shape for term in terms))
    shift = np.zeros(1)
    for slot in slots:
        if node.is_constant(slot):
            constant, shape = against_sample(node.weights(slot), shape)
            shift = shift + constant
    return builder.sum(node, terms, shift=shift, shape=shape)
