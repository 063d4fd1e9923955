"""Gemm: a dense layer for each row."""

from __future__ import annotations

import numpy as np

from nmcompiler.frontend.builder import Builder, Term
from nmcompiler.frontend.forms import ONE_FACTOR
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.products import times
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.sums import against_sample
from nmcompiler.frontend.values import MixesSamples, Refusal, Wire
from nmcompiler.ir.kernels import Array


@operator("Gemm", ONE_FACTOR)
def gemm(node: Node, builder: Builder) -> Wire:
    """``alpha · A' · B' + beta · C``: A or B is constant, and scaled by alpha here."""
    if not node.has(2) or node.is_constant(2):
        return _product(node, builder, node.constant(2) if node.has(2) else None)
    product, beta = _product(node, builder, None), np.full(1, node.number("beta", 1.0))
    return _fitting(node, builder.sum(node, [Term(product), Term(node.wire(2), 2, beta)]), product.shape)


def _product(node: Node, builder: Builder, constant: Array | None) -> Wire:
    """Returns ``alpha · A' · B' + beta · constant``."""
    slot = 1 if node.is_constant(0) else 0
    if not node.is_constant(1 - slot):
        raise Refusal(
            "is a product of two tensors that depend on the input", "only constant factors are supported"
        )
    ids, weight = node.wire(slot).ids, node.weights(1 - slot)
    if ids.ndim != 2 or weight.ndim != 2:
        raise Refusal(f"weight of shape {list(weight.shape)} does not fit {list(ids.shape)}")
    moved = node.integer(("transA", "transB")[slot], 0)
    if (moved or slot) and node.batched:
        raise MixesSamples("moves the batch out of axis 0 (transA, or a constant on the left)")
    weight = weight.T if node.integer(("transA", "transB")[1 - slot], 0) else weight
    ids = ids.T if moved else ids
    if slot:  # B' · A' of the transposed
        ids, weight = ids.T, weight.T
    if weight.shape[0] != ids.shape[1]:
        raise Refusal(f"weight of shape {list(weight.shape)} does not fit {list(ids.shape)}")
    alpha = node.number("alpha", 1.0)
    if alpha != 1.0:
        weight = weight.astype(np.float64) * alpha
    bias, rest = _bias(node, constant, (len(ids), weight.shape[1]), turned=slot == 1)
    made = Wire(times(node, builder, ids, weight, bias))
    if rest is not None:
        made = builder.sum(node, [Term(made)], shift=rest)
    return Wire(made.ids.T) if slot else made


def _bias(
    node: Node, constant: Array | None, shape: tuple[int, int], *, turned: bool
) -> tuple[Array | None, Array | None]:
    """Returns what is added to each row of a product, or else what is added to all of it."""
    if constant is None:
        return None, None
    value, common = against_sample(constant, shape[::-1] if turned else shape, node.batched)
    if common != (shape[::-1] if turned else shape):
        raise Refusal(f"bias of shape {list(constant.shape)} for {shape[1]} outputs")
    value = np.broadcast_to(value, common) * node.number("beta", 1.0)
    value = value.T if turned else value
    return (value[0], None) if (value == value[:1]).all() else (None, value)


def _fitting(node: Node, wire: Wire, shape: tuple[int, ...]) -> Wire:
    if wire.shape != shape:
        raise Refusal(f"operand 2 ('{node.operand_names[2]}') does not fit a product of shape {list(shape)}")
    return wire
