"""AveragePool and GlobalAveragePool."""

from __future__ import annotations

import numpy as np

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.edges import Window
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Refusal, Wire
from nmcompiler.frontend.windows import pad_ends, whole_window, window
from nmcompiler.frontend.wiring import spatial, unspatial
from nmcompiler.ir.kernels import Array


@operator("AveragePool")
def average_pool(node: Node, builder: Builder) -> Wire:
    """A depthwise convolution where every window counts alike, else synapses with weights of their own."""
    wire = node.wire(0)
    geometry = window(node, wire.shape, node.integers("kernel_shape") or ())
    ids = spatial(wire.ids)
    ends = pad_ends(node, wire.shape, geometry)
    counts = _counts(geometry, ids.shape[:2], ends, node.integer("count_include_pad", 0) == 1)
    if (counts == 0).any():
        raise Refusal("has windows that lie wholly in the padding")
    if (counts == counts[0, 0]).all():
        made = mean(node, builder, ids, geometry, int(counts[0, 0]))
    else:
        made = builder.weighted_windows(node, ids, geometry, 1.0 / counts)
    return Wire(unspatial(made, len(wire.shape)))


@operator("GlobalAveragePool")
def global_average_pool(node: Node, builder: Builder) -> Wire:
    """One depthwise kernel of the size of the whole map."""
    wire = node.wire(0)
    if len(wire.shape) not in (3, 4):
        raise Refusal(f"works on a tensor of shape {list(wire.shape)}: 1 or 2 spatial axes are supported")
    ids = spatial(wire.ids)
    geometry = whole_window(ids)
    made = mean(node, builder, ids, geometry, ids.shape[0] * ids.shape[1])
    return Wire(unspatial(made, len(wire.shape)))


def mean(node: Node, builder: Builder, ids: Array, geometry: Window, count: int) -> Array:
    """Returns the ids of sums over windows of ``(h, w, c)`` ids, each divided by ``count``."""
    channels = ids.shape[2]
    weight = np.full((*geometry.size, 1, channels), 1.0 / count)
    return builder.convolution(node, ids, weight, channels, geometry)


def _counts(geometry: Window, shape: tuple[int, ...], ends: tuple[int, int], padded: bool) -> Array:
    """Returns how many positions each window divides by, ``(h, w)``.

    With ``count_include_pad`` positions in the stated padding count, those behind it (ceil_mode) do not.
    """
    if padded:
        shape = tuple(shape[k] + geometry.padding[k] + ends[k] for k in (0, 1))
        geometry = Window(geometry.size, geometry.stride, (0, 0), geometry.dilation, geometry.out)
    counts: Array = geometry.taps(*shape)[1].sum(axis=(2, 3))
    return counts
