"""Softmax, ArgMax, ArgMin, Sigmoid and the like that end a network: the host does them after the read-out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from nmcompiler.frontend.builder import Builder, Term
from nmcompiler.frontend.forms import ENDS
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Hosted, Refusal, Value
from nmcompiler.ir.layers import HostOp

_WITH_ONE_AXIS = 13  # the opset since which Softmax no longer takes all axes from its own on together


@operator("ArgMin", ENDS, transparent=True)
def arg_min(node: Node, builder: Builder) -> Value:
    """The place of the largest of all values turned round."""
    turned = builder.sum(node, [Term(node.wire(0), 0, np.full(1, -1.0))])
    return _closing(replace(node, op="ArgMax", operands=(turned, *node.operands[1:])), builder)


def _closing(node: Node, builder: Builder) -> Value:
    if not node.closes:
        raise Refusal(
            "is followed by other operators, and only a closing one can stay on the host",
            "end the model in front of it",
        )
    value = node.operands[0] if node.has(0) else None
    before = value if isinstance(value, Hosted) else Hosted(node.wire(0), ())
    if any(op.op.startswith("ArgMax") for op in before.ops):
        raise Refusal("works on the classes that ArgMax found")
    op = _RULES[node.op](node, len(before.wire.shape))
    if not node.batched:  # the host has samples in front
        op = replace(op, axes=tuple(axis + 1 for axis in op.axes))
    return Hosted(before.wire, (*before.ops, op))


def _softmax(node: Node, rank: int) -> HostOp:
    if node.opset >= _WITH_ONE_AXIS:
        return HostOp(node.op, (_axis(node, -1, rank),))
    return HostOp(node.op, tuple(range(_axis(node, 1, rank), rank)))


def _arg_max(node: Node, rank: int) -> HostOp:
    op = "ArgMaxLast" if node.integer("select_last_index", 0) else node.op
    return HostOp(op, (_axis(node, 0, rank),), bool(node.integer("keepdims", 1)))


def _axis(node: Node, default: int, rank: int) -> int:
    axis = node.integer("axis", default)
    if not -rank <= axis < rank:
        raise Refusal(f"has axis {axis}, and its operand has {rank} axes")
    node.spare_batch(
        axis % rank, "works along axis 0, across the samples of a batch", "use the axis of the classes"
    )
    return axis % rank


def _of_each_value(node: Node, rank: int) -> HostOp:
    return HostOp(node.op)


_RULES: Mapping[str, Callable[[Node, int], HostOp]] = {
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "ArgMax": _arg_max,
    "Sigmoid": _of_each_value,
    "Tanh": _of_each_value,
}

for _name in _RULES:
    operator(_name, ENDS, transparent=True)(_closing)
