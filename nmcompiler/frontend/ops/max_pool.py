"""MaxPool over one or two spatial axes."""

from __future__ import annotations

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Refusal, Wire
from nmcompiler.frontend.windows import whole_window, window
from nmcompiler.frontend.wiring import spatial, unspatial


@operator("MaxPool")
def max_pool(node: Node, builder: Builder) -> Wire:
    """Positions in the padding do not take part; the positions of the maxima are not computed."""
    wire = node.wire(0)
    geometry = window(node, wire.shape, node.integers("kernel_shape") or ())
    ids = spatial(wire.ids)
    if not geometry.taps(*ids.shape[:2])[1].any(axis=(2, 3)).all():
        raise Refusal("has windows that lie wholly in the padding")
    return Wire(unspatial(builder.max_pool(node, ids, geometry), len(wire.shape)))


@operator("GlobalMaxPool")
def global_max_pool(node: Node, builder: Builder) -> Wire:
    """One window over the whole of each channel."""
    wire = node.wire(0)
    if len(wire.shape) not in (3, 4):
        raise Refusal(f"works on a tensor of shape {list(wire.shape)}: 1 or 2 spatial axes are supported")
    ids = spatial(wire.ids)
    return Wire(unspatial(builder.max_pool(node, ids, whole_window(ids)), len(wire.shape)))
