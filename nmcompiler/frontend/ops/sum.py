"""Sum of any number of branches and constants."""

from __future__ import annotations

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.sums import sum_of_all
from nmcompiler.frontend.values import Wire


@operator("Sum")
def sum_of_branches(node: Node, builder: Builder) -> Wire:
    """One edge for each branch; constants add up to a bias."""
    return sum_of_all(node, builder, 1.0)
