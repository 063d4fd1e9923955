"""Gather with constant indices: wiring."""

from __future__ import annotations

import math

import numpy as np

from nmcompiler.frontend.builder import Builder, check_size
from nmcompiler.frontend.forms import FIRST_SIGNAL
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Refusal, Wire, axis_of


@operator("Gather", FIRST_SIGNAL)
def gather(node: Node, builder: Builder) -> Wire:
    """The axis is replaced by the axes of the indices, which may count from the end."""
    ids, indices = node.wire(0).ids, node.constant(1)
    axis = axis_of(node.integer("axis", 0), ids.ndim)
    node.spare_batch(axis, "takes samples out of the batch (axis 0)", "gather along another axis")
    if indices.dtype.kind not in "iu":
        raise Refusal(f"its indices are no integers ({indices.dtype})")
    length = ids.shape[axis]
    if not indices.size or indices.min() < -length or indices.max() >= length:
        raise Refusal(f"its indices do not lie in axis {axis}, which has {length} entries")
    check_size((ids.size // length, math.prod(indices.shape)))
    return Wire(np.take(ids, np.where(indices < 0, indices + length, indices).astype(np.int64), axis=axis))
