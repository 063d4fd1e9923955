"""LRN: local response normalisation."""

from __future__ import annotations

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Refusal, Wire
from nmcompiler.frontend.wiring import spatial, unspatial
from nmcompiler.ir.layers import LocalNorm


@operator("LRN")
def local_response_normalisation(node: Node, builder: Builder) -> Wire:
    """A layer that copies and normalises; its channels stand in the order of ONNX, since neighbours count."""
    wire = node.wire(0)
    if len(wire.shape) not in (3, 4):
        raise Refusal(f"works on a tensor of shape {list(wire.shape)}: 1 or 2 spatial axes are supported")
    norm = LocalNorm(
        size=node.integer("size", 0),
        alpha=node.number("alpha", 1e-4),
        beta=node.number("beta", 0.75),
        bias=node.number("bias", 1.0),
    )
    if norm.size < 1:
        raise Refusal(f"sums the squares of {norm.size} channels: attribute 'size' must be at least 1")
    if norm.bias <= 0 or norm.alpha < 0:
        raise Refusal(
            f"can divide by 0, with bias {norm.bias:g} and alpha {norm.alpha:g}: "
            "bias above 0 and alpha of at least 0 are supported"
        )
    made = builder.local_norm(node, spatial(wire.ids), norm)
    return Wire(unspatial(made, len(wire.shape)))
