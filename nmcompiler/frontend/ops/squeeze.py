"""Squeeze and Unsqueeze: wiring."""

from __future__ import annotations

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.forms import FIRST_SIGNAL
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Refusal, Wire, axis_of, integers


@operator("Squeeze", FIRST_SIGNAL)
def squeeze_by_attribute(node: Node, builder: Builder) -> Wire:
    """Until opset 12 the axes are an attribute."""
    return _squeeze(node, node.integers("axes"))


@operator("Squeeze", FIRST_SIGNAL, since=13)
def squeeze_by_operand(node: Node, builder: Builder) -> Wire:
    """From opset 13 on the axes are an operand."""
    return _squeeze(node, integers(node.constant(1)) if node.has(1) else None)


@operator("Unsqueeze", FIRST_SIGNAL)
def unsqueeze_by_attribute(node: Node, builder: Builder) -> Wire:
    """Until opset 12 the axes are an attribute."""
    return _unsqueeze(node, node.integers("axes") or ())


@operator("Unsqueeze", FIRST_SIGNAL, since=13)
def unsqueeze_by_operand(node: Node, builder: Builder) -> Wire:
    """From opset 13 on the axes are an operand."""
    return _unsqueeze(node, integers(node.constant(1)))


def _squeeze(node: Node, axes: tuple[int, ...] | None) -> Wire:
    wire = node.wire(0)
    rank = len(wire.shape)
    if axes is None and node.batch == 1:
        node.spare_batch(0, "takes away the batch, which is baked in as 1", "name the axes")
    first = 1 if node.batched else 0
    taken = (
        {axis_of(a, rank) for a in axes}
        if axes is not None
        else {k for k in range(first, rank) if wire.shape[k] == 1}
    )
    if taken:
        node.spare_batch(min(taken), "takes away the batch (axis 0)")
    if any(wire.shape[k] != 1 for k in taken):
        raise Refusal(f"axes {sorted(taken)} of a tensor of shape {list(wire.shape)} are not all of length 1")
    return node.reshaped(wire, tuple(n for k, n in enumerate(wire.shape) if k not in taken))


def _unsqueeze(node: Node, axes: tuple[int, ...]) -> Wire:
    wire = node.wire(0)
    rank = len(wire.shape) + len(axes)
    added = {axis_of(a, rank) for a in axes}
    if len(added) < len(axes):
        raise Refusal(f"names an axis twice ({list(axes)})")
    if added:
        node.spare_batch(min(added), "puts an axis in front of the batch")
    rest = iter(wire.shape)
    return node.reshaped(wire, tuple(1 if k in added else next(rest) for k in range(rank)))
