"""Element-by-element arithmetic of a wire with constants and with other wires."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nmcompiler.frontend.builder import Builder, Term, common_shape
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.values import MixesSamples, Refusal, Wire
from nmcompiler.ir.kernels import Array

__all__ = ["add_or_subtract", "against_sample", "scaled", "sum_of_all", "with_old_broadcast"]


def against_sample(
    constant: Array, shape: tuple[int, ...], batched: bool = True
) -> tuple[Array, tuple[int, ...]]:
    """Returns a constant as one sample sees it, and the shape that it and a wire broadcast to.

    Args:
        constant: A constant operand.
        shape: ONNX shape of the wire for one sample.
        batched: Whether axis 0 of the wire is the batch.
    """
    value = constant.astype(np.float64)
    if not batched:
        return value, common_shape(shape, value.shape, batched=False)
    if value.ndim == len(shape) and value.shape[0] > 1:
        if not (value == value[:1]).all():
            raise MixesSamples(f"the constant of shape {list(value.shape)} differs from sample to sample")
        value = value[:1]
    if value.ndim > len(shape):
        if any(n != 1 for n in value.shape[: value.ndim - len(shape) + 1]):
            raise MixesSamples(
                f"the constant of shape {list(value.shape)} mixes samples of shape {list(shape)}"
            )
        raise MixesSamples(
            f"the constant has more axes ({value.ndim}) than the tensor of shape {list(shape)}"
        )
    padded = value.reshape((1,) * (len(shape) - value.ndim) + value.shape)
    return padded, common_shape(shape, padded.shape)


def scaled(node: Node, builder: Builder, slot: int, constant: Array) -> Wire:
    """Returns the wire of operand ``slot`` times a constant."""
    wire = node.wire(slot)
    factor, shape = against_sample(constant, wire.shape, node.batched)
    return builder.sum(node, [Term(wire, slot, factor)], shape=shape)


def add_or_subtract(node: Node, builder: Builder, sign: float) -> Wire:
    """Returns operand 0 plus ``sign`` times operand 1; either may be constant."""
    signs = (1.0, sign)
    if not node.is_constant(0) and not node.is_constant(1):
        terms = [Term(node.wire(slot), slot, np.full(1, signs[slot])) for slot in (0, 1)]
        return builder.sum(node, terms)
    slot = 1 if node.is_constant(0) else 0
    wire = node.wire(slot)
    shift, shape = against_sample(node.weights(1 - slot), wire.shape, node.batched)
    return builder.sum(
        node, [Term(wire, slot, np.full(1, signs[slot]))], shift=signs[1 - slot] * shift, shape=shape
    )


def sum_of_all(node: Node, builder: Builder, factor: float) -> Wire:
    """Returns the sum of all operands times a factor: an edge for each wire, a bias for the constants."""
    slots = range(len(node.operands))
    terms = [Term(node.wire(slot), slot, np.full(1, factor)) for slot in slots if not node.is_constant(slot)]
    shape = common_shape(*(term.wire.shape for term in terms), batched=node.batched)
    shift = np.zeros(1)
    for slot in slots:
        if node.is_constant(slot):
            constant, shape = against_sample(node.weights(slot), shape, node.batched)
            shift = shift + factor * constant
    return builder.sum(node, terms, shift=shift, shape=shape)


def with_old_broadcast(node: Node) -> Node:
    """Returns a node of opset 1 to 6 with its second operand shaped as newer opsets broadcast it.

    Until opset 6 operands broadcast only where ``broadcast`` is set, and ``axis`` says where the second one
    stands in the first.
    """
    axis, second = node.integer("axis", -1), node.operands[1] if node.has(1) else None
    if (
        not node.integer("broadcast", 0)
        or "axis" not in node.attributes
        or not isinstance(second, np.ndarray)
    ):
        return node
    behind = len(node.wire(0).shape) - axis - second.ndim
    if axis < 0 or behind < 0:
        raise Refusal(f"axis {axis} does not fit a constant of shape {list(second.shape)}")
    shaped = second.reshape(*second.shape, *(1,) * behind)
    return replace(node, operands=(node.operands[0], shaped))
