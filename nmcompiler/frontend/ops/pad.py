"""Pad: wiring that a convolution behind it takes as its own, and a bias where the border is not zero."""

from __future__ import annotations

import math

import numpy as np

from nmcompiler.frontend.builder import Builder, Term, check_size
from nmcompiler.frontend.edges import Window
from nmcompiler.frontend.forms import FIRST_SIGNAL
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import ZERO, Refusal, Wire, axis_of, integers
from nmcompiler.frontend.wiring import natural
from nmcompiler.ir.kernels import Array

_COPIES = ("edge", "reflect", "wrap")


@operator("Pad", FIRST_SIGNAL, since=2)
def pad_by_attributes(node: Node, builder: Builder) -> Wire:
    """Until opset 10 amounts and value are attributes."""
    return _pad(node, builder, node.integers("pads") or (), node.number("value", 0.0), None)


@operator("Pad", FIRST_SIGNAL, since=11)
def pad_by_operands(node: Node, builder: Builder) -> Wire:
    """From opset 11 on they are operands, from 18 on the axes too."""
    value = float(node.weights(2).ravel()[0]) if node.has(2) and node.weights(2).size else 0.0
    axes = integers(node.constant(3)) if node.has(3) else None
    return _pad(node, builder, integers(node.constant(1)), value, axes)


def _pad(
    node: Node, builder: Builder, amounts: tuple[int, ...], value: float, axes: tuple[int, ...] | None
) -> Wire:
    ids = node.wire(0).ids
    chosen = tuple(range(ids.ndim)) if axes is None else tuple(axis_of(a, ids.ndim) for a in axes)
    if len(amounts) != 2 * len(chosen):
        raise Refusal(f"pads {list(amounts)} do not fit {len(chosen)} axes")
    before = dict(zip(chosen, amounts[: len(chosen)], strict=True))
    after = dict(zip(chosen, amounts[len(chosen) :], strict=True))
    widths = [(before.get(a, 0), after.get(a, 0)) for a in range(ids.ndim)]
    if widths and widths[0] != (0, 0):
        node.spare_batch(0, "pads the batch (axis 0)")
    check_size([n + max(b, 0) + max(e, 0) for n, (b, e) in zip(ids.shape, widths, strict=True)])
    cropped = ids[
        tuple(slice(max(-b, 0), max(n - max(-e, 0), 0)) for n, (b, e) in zip(ids.shape, widths, strict=True))
    ]
    if not cropped.size:
        return _nothing(ids, widths, list(amounts))
    widths = [(max(b, 0), max(e, 0)) for b, e in widths]
    padded = Wire(_padded(node, cropped, widths))
    if value == 0 or node.text("mode", "constant") != "constant":
        return padded
    border = np.pad(np.zeros(cropped.shape), widths, constant_values=value)
    return builder.sum(node, [Term(_copied(node, builder, padded))], shift=border)


def _nothing(ids: Array, widths: list[tuple[int, int]], amounts: list[int]) -> Wire:
    """Returns the result of a Pad that crops everything away along some axis, and adds nothing there."""
    shape = tuple(n + b + e for n, (b, e) in zip(ids.shape, widths, strict=True))
    if math.prod(shape) or min(shape) < 0:
        raise Refusal(f"pads {amounts} leave nothing of the shape {list(ids.shape)}")
    return Wire(np.zeros(shape, np.int64))


def _copied(node: Node, builder: Builder, wire: Wire) -> Wire:
    """Returns the values of a layer of copies, with zeros where the wire has them: one kernel, no list."""
    ids = natural(wire.ids)
    window = Window((1, 1), (1, 1), (0, 0), (1, 1), ids.shape[:2])
    copies = builder.convolution(node, ids, np.ones((1, 1, 1, ids.shape[2])), ids.shape[2], window)
    order = natural(np.arange(wire.ids.size).reshape(wire.shape)).ravel()
    back = np.empty_like(wire.ids.ravel())
    back[order] = copies.ravel()
    return Wire(back.reshape(wire.shape))


def _padded(node: Node, ids: Array, widths: list[tuple[int, int]]) -> Array:
    mode = node.text("mode", "constant")
    if mode == "constant":
        return np.pad(ids, widths, constant_values=ZERO)
    if mode not in _COPIES:
        raise Refusal(f"mode '{mode}' does not exist")
    if mode == "edge":
        return np.pad(ids, widths, mode="edge")
    longest = [n - 1 if mode == "reflect" else n for n in ids.shape]
    if any(max(width) > most for most, width in zip(longest, widths, strict=True) if max(width)):
        raise Refusal(f"{mode} copies more than there is")
    return np.pad(ids, widths, mode="reflect" if mode == "reflect" else "wrap")
