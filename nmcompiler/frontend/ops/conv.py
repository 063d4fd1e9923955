"""Conv: a convolution over one, two or three spatial axes."""

from __future__ import annotations

import math

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.forms import FIRST_SIGNAL
from nmcompiler.frontend.images import image_by_image
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Refusal, Wire
from nmcompiler.frontend.volumes import volume_convolution
from nmcompiler.frontend.windows import channel_bias, kernel_size, window, window_axes
from nmcompiler.frontend.wiring import spatial, unspatial


@operator("Conv", FIRST_SIGNAL)
@image_by_image
def conv(node: Node, builder: Builder) -> Wire:
    """Weights ``(O, I / groups, kh, kw)`` become ``(kh, kw, I / groups, O)``."""
    wire, weight = node.wire(0), node.weights(1)
    groups = node.integer("group", 1)
    channels = wire.shape[1] if len(wire.shape) > 1 else 0
    if weight.ndim != len(wire.shape) or groups < 1 or weight.shape[1] * groups != channels:
        raise Refusal(
            f"weight of shape {list(weight.shape)} in {groups} group(s) does not fit {list(wire.shape)}"
        )
    if weight.shape[0] % groups:
        raise Refusal(f"{weight.shape[0]} output channels do not divide into {groups} groups")
    size, bias = kernel_size(node, weight), channel_bias(node, len(weight))
    if weight.ndim == 5:
        axes = window_axes(node, wire.shape, size)
        builder.macs += math.prod(a.out for a in axes) * weight.size
        return Wire(volume_convolution(node, builder, wire.ids, weight, groups, axes, bias))
    geometry = window(node, wire.shape, size)
    kernel = weight.reshape(*weight.shape[:2], *geometry.size).transpose(2, 3, 1, 0)
    builder.macs += geometry.out[0] * geometry.out[1] * weight.size
    made = builder.convolution(node, spatial(wire.ids), kernel, groups, geometry, bias)
    return Wire(unspatial(made, len(wire.shape)))
