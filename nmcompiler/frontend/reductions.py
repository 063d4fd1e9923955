"""Reductions along axes, in the layout that reads whole channels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from nmcompiler.frontend.edges import Window
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.values import Wire, axis_of, integers
from nmcompiler.frontend.windows import whole_window
from nmcompiler.ir.kernels import Array

if TYPE_CHECKING:
    from nmcompiler.frontend.builder import Builder

__all__ = ["Rule", "by_attribute", "by_operand", "summed"]

Rule: TypeAlias = "Callable[[Node, Builder, Array, Window], Array]"
"""Reduces windows of ``(h, w, c)`` ids."""


def by_attribute(node: Node, builder: Builder, wire: Wire, rule: Rule) -> Wire:
    """Returns a wire reduced along the axes that an attribute names, or along all."""
    return _reduced(node, builder, wire, node.integers("axes"), rule)


def by_operand(node: Node, builder: Builder, wire: Wire, rule: Rule) -> Wire:
    """Returns a wire reduced along the axes that operand 1 names, or along all."""
    axes = integers(node.constant(1)) if node.has(1) else None
    if not axes and node.integer("noop_with_empty_axes", 0):
        return wire
    return _reduced(node, builder, wire, axes or None, rule)


def summed(node: Node, builder: Builder, ids: Array, window: Window, factor: float = 1.0) -> Array:
    """Returns the ids of sums over windows of ``(h, w, c)`` ids, each times a factor."""
    channels = ids.shape[2]
    weight = np.full((*window.size, 1, channels), factor)
    return builder.convolution(node, ids, weight, channels, window)


def _reduced(node: Node, builder: Builder, wire: Wire, axes: tuple[int, ...] | None, rule: Rule) -> Wire:
    ids = wire.ids
    reduced = sorted({axis_of(a, ids.ndim) for a in axes}) if axes else list(range(ids.ndim))
    if not reduced:
        return wire
    node.spare_batch(min(reduced), f"{node.op} takes samples together (axis 0)")
    kept = [a for a in range(ids.ndim) if a not in reduced]
    if len(reduced) == 1 and ids.ndim == 4 and len(ids) == 1:
        made = _along_one_axis(node, builder, ids, reduced[0], rule)
    else:
        count = math.prod(ids.shape[a] for a in reduced)
        rows = ids.shape[reduced[0]] if len(reduced) > 1 else 1
        grid = ids.transpose(*reduced, *kept).reshape(rows, count // rows, -1)
        made = rule(node, builder, grid, whole_window(grid))
    shape = tuple(ids.shape[a] for a in kept)
    if node.integer("keepdims", 1):
        shape = tuple(1 if a in reduced else n for a, n in enumerate(ids.shape))
    return Wire(made.reshape(shape))


def _along_one_axis(node: Node, builder: Builder, ids: Array, axis: int, rule: Rule) -> Array:
    """Returns ``(1, a, b, c)`` ids reduced over one axis, channels first or last."""
    for channel in (1, 3):
        rows, columns = (a for a in (1, 2, 3) if a != channel)
        grid = ids[0].transpose(rows - 1, columns - 1, channel - 1)
        if axis != channel and builder.sources.channels(grid) is not None:
            break
    else:
        channel = 3 if axis != 3 else 1
        rows, columns = (a for a in (1, 2, 3) if a != channel)
        grid = ids[0].transpose(rows - 1, columns - 1, channel - 1)
    made = rule(node, builder, grid, whole_window(grid, axis == rows, axis == columns))
    return made.transpose(np.argsort([rows, columns, channel]))
