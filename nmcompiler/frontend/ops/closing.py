"""Softmax, LogSoftmax and ArgMax at the end of a network: the host does them after the read-out."""

from __future__ import annotations

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Hosted, Refusal, Value
from nmcompiler.ir.layers import HostOp

_WITH_ONE_AXIS = 13  # the opset since which Softmax no longer takes all axes from its own on together


def _closing(node: Node, builder: Builder) -> Value:
    if not node.closes:
        raise Refusal(
            "is followed by other operators, and only a closing one can stay on the host",
            "end the model in front of it",
        )
    value = node.operands[0] if node.has(0) else None
    before = value if isinstance(value, Hosted) else Hosted(node.wire(0), ())
    if any(op.op == "ArgMax" for op in before.ops):
        raise Refusal("works on the classes that ArgMax found")
    rule = _arg_max if node.op == "ArgMax" else _softmax
    return Hosted(before.wire, (*before.ops, rule(node, len(before.wire.shape))))


def _softmax(node: Node, rank: int) -> HostOp:
    if node.opset >= _WITH_ONE_AXIS:
        return HostOp(node.op, (_axis(node, -1, rank),))
    return HostOp(node.op, tuple(range(_axis(node, 1, rank), rank)))


def _arg_max(node: Node, rank: int) -> HostOp:
    if node.integer("select_last_index", 0):
        raise Refusal("takes the last of equal maxima", "take the first, which is ONNX's default")
    return HostOp(node.op, (_axis(node, 0, rank),), bool(node.integer("keepdims", 1)))


def _axis(node: Node, default: int, rank: int) -> int:
    axis = node.integer("axis", default)
    if not -rank <= axis < rank:
        raise Refusal(f"has axis {axis}, and its operand has {rank} axes")
    if axis % rank == 0:
        raise Refusal("works along axis 0, across the samples of a batch", "use the axis of the classes")
    return axis % rank


for _name in ("Softmax", "LogSoftmax", "ArgMax"):
    operator(_name, transparent=True)(_closing)
