"""Softmax, LogSoftmax and ArgMax at the end of a network: the host does them after the read-out."""

from __future__ import annotations

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Hosted, Refusal, Value


def _closing(node: Node, builder: Builder) -> Value:
    if not node.closes:
        raise Refusal(
            "is followed by other operators, and only a closing one can stay on the host",
            "end the model in front of it",
        )
    value = node.operands[0] if node.has(0) else None
    before = value if isinstance(value, Hosted) else Hosted(node.wire(0), ())
    return Hosted(before.wire, (*before.ops, node.op))


for _name in ("Softmax", "LogSoftmax", "ArgMax"):
    operator(_name, transparent=True)(_closing)
