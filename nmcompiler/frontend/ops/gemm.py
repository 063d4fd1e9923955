"""Gemm: ``alpha · A · B + beta · C`` with constant B and C."""

from __future__ import annotations

import numpy as np

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.sums import against_sample
from nmcompiler.frontend.values import Refusal, Wire


@operator("Gemm")
def gemm(node: Node, builder: Builder) -> Wire:
    """The weight is scaled by alpha here, the bias by beta."""
    wire, weight = node.wire(0), node.weights(1)
    if node.integer("transA", 0):
        raise Refusal("transA moves the batch out of axis 0")
    if not node.integer("transB", 0):
        weight = weight.T
    if len(wire.shape) != 2 or weight.ndim != 2 or weight.shape[1] != wire.shape[1]:
        raise Refusal(f"weight of shape {list(weight.T.shape)} does not fit {list(wire.shape)}")
    alpha = node.number("alpha", 1.0)
    if alpha != 1.0:
        weight = weight.astype(np.float64) * alpha
    bias = None
    if node.has(2):
        value, shape = against_sample(node.weights(2), (1, len(weight)))
        if shape != (1, len(weight)):
            raise Refusal(f"bias of shape {list(value.shape)} for {len(weight)} outputs")
        bias = np.broadcast_to(value * node.number("beta", 1.0), shape).ravel()
    return builder.dense(node, wire.ids.ravel(), weight, bias)
