"""MaxPool over one or two spatial axes."""

from __future__ import annotations

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.forms import VALUES
from nmcompiler.frontend.images import image_by_image
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Refusal, Wire
from nmcompiler.frontend.volumes import volume_max, whole_images
from nmcompiler.frontend.windows import whole_window, window, window_axes
from nmcompiler.frontend.wiring import spatial, unspatial


@operator("MaxPool", VALUES)
@image_by_image
def max_pool(node: Node, builder: Builder) -> Wire:
    """Positions in the padding do not take part; the positions of the maxima are not computed."""
    wire = node.wire(0)
    if len(wire.shape) == 5:
        axes = window_axes(node, wire.shape, node.integers("kernel_shape") or ())
        return Wire(volume_max(node, builder, wire.ids, axes))
    geometry = window(node, wire.shape, node.integers("kernel_shape") or ())
    ids = spatial(wire.ids)
    if not geometry.taps(*ids.shape[:2])[1].any(axis=(2, 3)).all():
        raise Refusal("has windows that lie wholly in the padding")
    return Wire(unspatial(builder.max_pool(node, ids, geometry), len(wire.shape)))


@operator("GlobalMaxPool")
@image_by_image
def global_max_pool(node: Node, builder: Builder) -> Wire:
    """One window over the whole of each channel."""
    wire = node.wire(0)
    ids = whole_images(wire.ids)
    made = builder.max_pool(node, ids, whole_window(ids))
    return Wire(made.reshape(*wire.shape[:2], *(1 for _ in wire.shape[2:])))
