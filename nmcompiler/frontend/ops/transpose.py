"""Transpose that leaves the batch where it is: wiring."""

from __future__ import annotations

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Refusal, Wire


@operator("Transpose")
def transpose(node: Node, builder: Builder) -> Wire:
    """Without ``perm`` the axes are reversed, which moves the batch."""
    ids = node.wire(0).ids
    order = node.integers("perm") or tuple(reversed(range(ids.ndim)))
    if sorted(order) != list(range(ids.ndim)):
        raise Refusal(f"perm {list(order)} does not fit a tensor of rank {ids.ndim}")
    if order and order[0] != 0:
        node.spare_batch(0, f"perm {list(order)} moves the batch out of axis 0")
    return Wire(ids.transpose(order))
