"""Mean of any number of branches and constants."""

from __future__ import annotations

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.forms import REAL
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.sums import sum_of_all
from nmcompiler.frontend.values import Wire


@operator("Mean", REAL, since=6)
def mean_of_branches(node: Node, builder: Builder) -> Wire:
    """A Sum whose weights are one over the number of operands."""
    node.spare_integers("rounds the mean of integers")
    return sum_of_all(node, builder, 1.0 / len(node.operands))
