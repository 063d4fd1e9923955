"""Squeeze and Unsqueeze: wiring."""

from __future__ import annotations

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Refusal, Wire, axis_of, integers


@operator("Squeeze")
def squeeze_by_attribute(node: Node, builder: Builder) -> Wire:
    """Until opset 12 the axes are an attribute."""
    return _squeeze(node, node.integers("axes"))


@operator("Squeeze", since=13)
def squeeze_by_operand(node: Node, builder: Builder) -> Wire:
    """From opset 13 on the axes are an operand."""
    return _squeeze(node, integers(node.constant(1)) if node.has(1) else None)


@operator("Unsqueeze")
def unsqueeze_by_attribute(node: Node, builder: Builder) -> Wire:
    """Until opset 12 the axes are an attribute."""
    return _unsqueeze(node, node.integers("axes") or ())


@operator("Unsqueeze", since=13)
def unsqueeze_by_operand(node: Node, builder: Builder) -> Wire:
    """From opset 13 on the axes are an operand."""
    return _unsqueeze(node, integers(node.constant(1)))


def _squeeze(node: Node, axes: tuple[int, ...] | None) -> Wire:
    wire = node.wire(0)
    rank = len(wire.shape)
    if axes is None and node.batch == 1:
        raise Refusal("takes away the batch, which is baked in as 1", "name the axes")
    taken = (
        {axis_of(a, rank) for a in axes}
        if axes is not None
        else {k for k in range(1, rank) if wire.shape[k] == 1}
    )
    if 0 in taken:
        raise Refusal("takes away the batch (axis 0)")
    if any(wire.shape[k] != 1 for k in taken):
        raise Refusal(f"axes {sorted(taken)} of a tensor of shape {list(wire.shape)} are not all of length 1")
    return wire.reshaped(tuple(n for k, n in enumerate(wire.shape) if k not in taken))


def _unsqueeze(node: Node, axes: tuple[int, ...]) -> Wire:
    wire = node.wire(0)
    rank = len(wire.shape) + len(axes)
    added = {axis_of(a, rank) for a in axes}
    if 0 in added:
        raise Refusal("puts an axis in front of the batch")
    rest = iter(wire.shape)
    return wire.reshaped(tuple(1 if k in added else next(rest) for k in range(rank)))
