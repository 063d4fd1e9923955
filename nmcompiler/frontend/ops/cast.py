"""Cast to a floating-point type: the values stay what they are."""

from __future__ import annotations

import onnx

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Refusal, Wire

_FLOATS = (
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.DOUBLE,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.BFLOAT16,
)


@operator("Cast", since=6)
def cast(node: Node, builder: Builder) -> Wire:
    """A cast to integers rounds, and is refused."""
    kind = node.integer("to", 0)
    if kind not in _FLOATS:
        raise Refusal(
            f"rounds to {onnx.TensorProto.DataType.Name(kind)}", "only floating-point types are supported"
        )
    return node.wire(0)
