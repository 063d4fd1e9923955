"""ReduceMean over axes of a sample."""

from __future__ import annotations

import numpy as np

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.ops.average_pool import mean
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Refusal, Wire, axis_of, integers
from nmcompiler.frontend.windows import whole_window
from nmcompiler.ir.kernels import Array


@operator("ReduceMean")
def reduce_mean_by_attribute(node: Node, builder: Builder) -> Wire:
    """Until opset 17 the axes are an attribute."""
    return _reduce(node, builder, node.integers("axes"))


@operator("ReduceMean", since=18)
def reduce_mean_by_operand(node: Node, builder: Builder) -> Wire:
    """From opset 18 on the axes are an operand."""
    axes = integers(node.constant(1)) if node.has(1) else None
    if not axes and node.integer("noop_with_empty_axes", 0):
        return node.wire(0)
    return _reduce(node, builder, axes or None)


def _reduce(node: Node, builder: Builder, axes: tuple[int, ...] | None) -> Wire:
    ids = node.wire(0).ids
    reduced = sorted({axis_of(a, ids.ndim) for a in axes}) if axes else list(range(ids.ndim))
    if 0 in reduced:
        raise Refusal("takes the mean over samples (axis 0)")
    kept = [a for a in range(ids.ndim) if a not in reduced]
    made = _mean(node, builder, ids, reduced, kept)
    shape = tuple(ids.shape[a] for a in kept)
    if node.integer("keepdims", 1):
        shape = tuple(1 if a in reduced else n for a, n in enumerate(ids.shape))
    return Wire(made.reshape(shape))


def _mean(node: Node, builder: Builder, ids: Array, reduced: list[int], kept: list[int]) -> Array:
    """Returns the means in the order of the kept axes, in the layout that reads whole channels."""
    count = int(np.prod([ids.shape[a] for a in reduced]))
    if len(reduced) == 1 and ids.ndim == 4:
        return _along_one_axis(node, builder, ids, reduced[0], count)
    grid = ids.transpose(*reduced, *kept)
    rows = grid.shape[0] if len(reduced) > 1 else 1
    grid = grid.reshape(rows, count // rows, -1)
    return mean(node, builder, grid, whole_window(grid), count)


def _along_one_axis(node: Node, builder: Builder, ids: Array, axis: int, count: int) -> Array:
    """Returns the means of ``(1, a, b, c)`` ids over one axis, channels first or last."""
    for channel in (1, 3):
        rows, columns = (a for a in (1, 2, 3) if a != channel)
        grid = ids[0].transpose(rows - 1, columns - 1, channel - 1)
        if axis != channel and builder.sources.channels(grid) is not None:
            break
    else:
        channel = 3 if axis != 3 else 1
        rows, columns = (a for a in (1, 2, 3) if a != channel)
        grid = ids[0].transpose(rows - 1, columns - 1, channel - 1)
    made = mean(node, builder, grid, whole_window(grid, axis == rows, axis == columns), count)
    return made.transpose(np.argsort([rows, columns, channel]))
