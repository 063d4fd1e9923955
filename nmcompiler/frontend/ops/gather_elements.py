"""GatherElements by constant indices: wiring."""

from __future__ import annotations

import numpy as np

from nmcompiler.frontend.builder import Builder, check_size
from nmcompiler.frontend.forms import FIRST_SIGNAL
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import MixesSamples, Refusal, Wire, axis_of


@operator("GatherElements", FIRST_SIGNAL, since=11)
def gather_elements(node: Node, builder: Builder) -> Wire:
    """Each index says where along the axis its element is taken from; indices may count from the end."""
    ids, indices = node.wire(0).ids, node.constant(1)
    axis = axis_of(node.integer("axis", 0), ids.ndim)
    node.spare_batch(axis, "takes samples out of the batch (axis 0)", "gather along another axis")
    if node.batched and (indices.shape[:1] != (node.batch,) or (indices != indices[:1]).any()):
        raise MixesSamples(f"its indices of shape {list(indices.shape)} differ from sample to sample")
    indices = indices[:1] if node.batched else indices
    length = ids.shape[axis]
    fits = indices.ndim == ids.ndim and indices.size and indices.dtype.kind in "iu"
    if not fits or indices.min() < -length or indices.max() >= length:
        raise Refusal(f"its indices do not lie in axis {axis}, which has {length} entries")
    if any(n > m for a, (n, m) in enumerate(zip(indices.shape, ids.shape, strict=True)) if a != axis):
        raise Refusal(f"its indices of shape {list(indices.shape)} do not fit {list(ids.shape)}")
    check_size(indices.shape)
    read = ids[tuple(slice(None if a == axis else n) for a, n in enumerate(indices.shape))]
    taken = np.where(indices < 0, indices + length, indices).astype(np.int64)
    return Wire(np.take_along_axis(read, taken, axis=axis))
