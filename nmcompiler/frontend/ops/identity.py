"""Identity, and Dropout, which does nothing at inference."""

from __future__ import annotations

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Hosted, Refusal, Value


def _copied(node: Node) -> Value:
    value = node.operands[0] if node.has(0) else None
    return value if isinstance(value, Hosted) else node.wire(0)


@operator("Identity", transparent=True)
def identity(node: Node, builder: Builder) -> Value:
    """Passes what it gets, a value of the host too."""
    return _copied(node)


@operator("Dropout", transparent=True)
def dropout(node: Node, builder: Builder) -> Value:
    """Refused only where the file switches training on."""
    if node.has(2) and bool(node.constant(2).any()):
        raise Refusal("training_mode is on", "export the model for inference")
    return _copied(node)
