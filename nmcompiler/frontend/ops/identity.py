"""Identity, and Dropout, which does nothing at inference."""

from __future__ import annotations

import numpy as np

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.forms import FIRST_SIGNAL, INFERENCE
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Hosted, Refusal, Value, Wire


def _copied(node: Node) -> Value:
    value = node.operands[0] if node.has(0) else None
    return value if isinstance(value, Hosted) else node.wire(0)


@operator("Identity", transparent=True)
def identity(node: Node, builder: Builder) -> Value:
    """Passes what it gets, a value of the host too."""
    return _copied(node)


@operator("Dropout", FIRST_SIGNAL, INFERENCE, transparent=True)
def dropout(node: Node, builder: Builder) -> Value | tuple[Value, ...]:
    """Refused only where the file switches training on; the mask says that nothing is dropped."""
    ratio = float(node.constant(1)) if node.has(1) else 0.5
    if node.has(2) and bool(node.constant(2).any()) and ratio:
        raise Refusal("training_mode is on", "export the model for inference")
    value = _copied(node)
    if node.outputs < 2 or not isinstance(value, Wire):
        return value
    return value, builder.constant(node, np.ones(value.shape))
