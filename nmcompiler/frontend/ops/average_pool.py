"""AveragePool and GlobalAveragePool."""

from __future__ import annotations

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.edges import Window
from nmcompiler.frontend.images import image_by_image
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.reductions import summed
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Refusal, Wire
from nmcompiler.frontend.volumes import whole_images, window_means
from nmcompiler.frontend.windows import pad_ends, whole_window, window, window_axes
from nmcompiler.frontend.wiring import spatial, unspatial
from nmcompiler.ir.kernels import Array


@operator("AveragePool")
@image_by_image
def average_pool(node: Node, builder: Builder) -> Wire:
    """A depthwise convolution where every window counts alike, else synapses with weights of their own."""
    wire = node.wire(0)
    if len(wire.shape) == 5:
        axes = window_axes(node, wire.shape, node.integers("kernel_shape") or ())
        weights = [window_means(axis, node.integer("count_include_pad", 0) == 1) for axis in axes]
        return builder.resampled(node, wire, dict(enumerate(weights, 2)))
    geometry = window(node, wire.shape, node.integers("kernel_shape") or ())
    ids = spatial(wire.ids)
    ends = pad_ends(node, wire.shape, geometry)
    counts = _counts(geometry, ids.shape[:2], ends, node.integer("count_include_pad", 0) == 1)
    if (counts == 0).any():
        raise Refusal("has windows that lie wholly in the padding")
    if (counts == counts[0, 0]).all():
        made = _mean(node, builder, ids, geometry, int(counts[0, 0]))
    else:
        made = builder.weighted_windows(node, ids, geometry, 1.0 / counts)
    return Wire(unspatial(made, len(wire.shape)))


@operator("GlobalAveragePool")
@image_by_image
def global_average_pool(node: Node, builder: Builder) -> Wire:
    """One depthwise kernel of the size of the whole map."""
    wire = node.wire(0)
    ids = whole_images(wire.ids)
    made = _mean(node, builder, ids, whole_window(ids), ids.shape[0] * ids.shape[1])
    return Wire(made.reshape(*wire.shape[:2], *(1 for _ in wire.shape[2:])))


def _mean(node: Node, builder: Builder, ids: Array, geometry: Window, count: int) -> Array:
    """Returns the ids of sums over windows of ``(h, w, c)`` ids, each divided by ``count``."""
    return summed(node, builder, ids, geometry, 1.0 / count)


def _counts(geometry: Window, shape: tuple[int, ...], ends: tuple[int, int], padded: bool) -> Array:
    """Returns how many positions each window divides by, ``(h, w)``.

    With ``count_include_pad`` positions in the stated padding count, those behind it (ceil_mode) do not.
    """
    if padded:
        shape = tuple(shape[k] + geometry.padding[k] + ends[k] for k in (0, 1))
        geometry = Window(geometry.size, geometry.stride, (0, 0), geometry.dilation, geometry.out)
    counts: Array = geometry.taps(*shape)[1].sum(axis=(2, 3))
    return counts
