"""Pad with zeros or with copies: wiring that a convolution behind it takes as its own padding."""

from __future__ import annotations

import numpy as np

from nmcompiler.frontend.builder import Builder, check_size
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import ZERO, Refusal, Wire, axis_of, integers
from nmcompiler.ir.kernels import Array

_COPIES = ("edge", "reflect", "wrap")


@operator("Pad", since=2)
def pad_by_attributes(node: Node, builder: Builder) -> Wire:
    """Until opset 10 amounts and value are attributes."""
    return _pad(node, node.integers("pads") or (), node.number("value", 0.0), None)


@operator("Pad", since=11)
def pad_by_operands(node: Node, builder: Builder) -> Wire:
    """From opset 11 on they are operands, from 18 on the axes too."""
    value = float(node.weights(2).ravel()[0]) if node.has(2) and node.weights(2).size else 0.0
    axes = integers(node.constant(3)) if node.has(3) else None
    return _pad(node, integers(node.constant(1)), value, axes)


def _pad(node: Node, amounts: tuple[int, ...], value: float, axes: tuple[int, ...] | None) -> Wire:
    ids = node.wire(0).ids
    chosen = tuple(range(ids.ndim)) if axes is None else tuple(axis_of(a, ids.ndim) for a in axes)
    if len(amounts) != 2 * len(chosen):
        raise Refusal(f"pads {list(amounts)} do not fit {len(chosen)} axes")
    before = dict(zip(chosen, amounts[: len(chosen)], strict=True))
    after = dict(zip(chosen, amounts[len(chosen) :], strict=True))
    widths = [(before.get(a, 0), after.get(a, 0)) for a in range(ids.ndim)]
    if widths[0] != (0, 0):
        raise Refusal("pads the batch (axis 0)")
    check_size([n + max(b, 0) + max(e, 0) for n, (b, e) in zip(ids.shape, widths, strict=True)])
    cropped = ids[
        tuple(slice(max(-b, 0), n - max(-e, 0)) for n, (b, e) in zip(ids.shape, widths, strict=True))
    ]
    if not cropped.size:
        raise Refusal(f"pads {list(amounts)} leave nothing of the shape {list(ids.shape)}")
    return Wire(_padded(node, cropped, [(max(b, 0), max(e, 0)) for b, e in widths], value))


def _padded(node: Node, ids: Array, widths: list[tuple[int, int]], value: float) -> Array:
    mode = node.text("mode", "constant")
    if mode == "constant":
        if value != 0:
            raise Refusal(f"pads with {value:g}, and only zeros can be left out", "pad with 0")
        return np.pad(ids, widths, constant_values=ZERO)
    if mode not in _COPIES:
        raise Refusal(f"mode '{mode}' does not exist")
    if mode == "edge":
        return np.pad(ids, widths, mode="edge")
    if any(max(width) >= n for n, width in zip(ids.shape[1:], widths[1:], strict=True)):
        raise Refusal(f"{mode} copies more than there is")
    return np.pad(ids, widths, mode="reflect" if mode == "reflect" else "wrap")
