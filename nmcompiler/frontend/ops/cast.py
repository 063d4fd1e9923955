"""Cast: to types that hold the values, nothing changes; a rounding one that ends a network is the host's."""

from __future__ import annotations

import onnx

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.forms import HOLDS_VALUES, holds_integers
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Hosted, Refusal, Value
from nmcompiler.ir.layers import HOST_CASTS, HostOp

_TYPES = onnx.TensorProto.DataType
_FLOATS = (
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.DOUBLE,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.BFLOAT16,
)


@operator("Cast", HOLDS_VALUES, since=6, transparent=True)
def cast(node: Node, builder: Builder) -> Value:
    """A cast that rounds is refused where something follows it."""
    return _cast(node, node.integer("to", 0))


@operator("CastLike", HOLDS_VALUES, since=15, transparent=True)
def cast_like(node: Node, builder: Builder) -> Value:
    """The type is that of operand 1, whose values do not count."""
    kind = node.operand_types[1] if len(node.operand_types) > 1 else 0
    if not kind:
        raise Refusal("casts to a type that is not known")
    if node.is_constant(0):
        return node.raw_constant(0).astype(onnx.helper.tensor_dtype_to_np_dtype(kind))
    return _cast(node, kind)


def _cast(node: Node, kind: int) -> Value:
    value = node.operands[0] if node.has(0) else None
    if kind in _FLOATS or holds_integers(kind, node.operand_types[0] if node.operand_types else 0):
        return value if isinstance(value, Hosted) else node.wire(0)
    name = _TYPES.Name(kind) if kind in _TYPES.values() else str(kind)
    if not node.closes:
        raise Refusal(f"rounds to {name}", "cast to a floating-point type, or end the model in front of it")
    rule = f"Cast{_mode(node, name)}{name}"
    if rule not in HOST_CASTS:
        raise Refusal(f"rounds to {name} in a way that is not supported")
    before = value if isinstance(value, Hosted) else Hosted(node.wire(0), ())
    return Hosted(before.wire, (*before.ops, HostOp(rule)))


def _mode(node: Node, name: str) -> str:
    """Returns how a value that the type does not hold is rounded, where that is not the rule."""
    if not name.startswith("FLOAT8"):
        return ""
    mode = node.text("round_mode", "up") if name == "FLOAT8E8M0" else "up"
    return ("" if node.integer("saturate", 1) else "Unsaturated") + ("" if mode == "up" else mode.title())
