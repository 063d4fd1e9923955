"""ConvTranspose: a convolution with the kernel turned round, over values that zeros keep apart."""

from __future__ import annotations

import numpy as np

from nmcompiler.frontend.builder import Builder, check_size
from nmcompiler.frontend.edges import Window
from nmcompiler.frontend.forms import FIRST_SIGNAL
from nmcompiler.frontend.images import image_by_image
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import ZERO, Refusal, Wire
from nmcompiler.frontend.volumes import volume_convolution
from nmcompiler.frontend.windows import WindowAxis, channel_bias, entries, kernel_size
from nmcompiler.frontend.wiring import spatial, unspatial
from nmcompiler.ir.kernels import Array


@operator("ConvTranspose", FIRST_SIGNAL)
@image_by_image
def conv_transpose(node: Node, builder: Builder) -> Wire:
    """Weights ``(I, O / groups, kh, kw)``; ``y[i · stride + k · dilation − pad] += w[k] · x[i]``."""
    wire, weight = node.wire(0), node.weights(1)
    groups = node.integer("group", 1)
    channels = wire.shape[1] if len(wire.shape) > 1 else 0
    fits = weight.ndim == len(wire.shape) and groups >= 1 and len(weight) == channels
    if weight.ndim not in (3, 4, 5) or not fits or channels % groups:
        raise Refusal(
            f"weight of shape {list(weight.shape)} in {groups} group(s) does not fit {list(wire.shape)}"
        )
    axes, strides = _geometry(node, wire.shape[2:], kernel_size(node, weight))
    outputs = weight.shape[1] * groups
    bias = channel_bias(node, outputs)
    check_size((*(a.out for a in axes), outputs))
    builder.macs += wire.ids.size // channels * weight.size
    apart, turned = _apart(wire.ids, strides), _turned(weight, groups)
    if len(axes) == 3:
        return Wire(volume_convolution(node, builder, apart, turned, groups, axes, bias))
    pairs = [(a.size, 1, a.padding, a.dilation, a.out) for a in axes]
    pairs = pairs if len(axes) == 2 else [(1, 1, 0, 1, 1), *pairs]
    geometry = Window(*((a, b) for a, b in zip(*pairs, strict=True)))
    kernel = np.ascontiguousarray(turned.reshape(*turned.shape[:2], *geometry.size).transpose(2, 3, 1, 0))
    made = builder.convolution(node, spatial(apart), kernel, groups, geometry, bias)
    return Wire(unspatial(made, len(wire.shape)))


def _turned(weight: Array, groups: int) -> Array:
    """Returns the weight ``(O, I / groups, …)`` of a convolution, from ``(I, O / groups, …)``."""
    total, outputs, *size = weight.shape
    split = np.flip(weight, tuple(range(2, weight.ndim))).reshape(groups, total // groups, outputs, *size)
    return split.swapaxes(1, 2).reshape(groups * outputs, total // groups, *size)


def _apart(ids: Array, strides: tuple[int, ...]) -> Array:
    """Returns ``(1, C, …)`` ids with ``stride − 1`` zeros between neighbours."""
    if all(s == 1 for s in strides):
        return ids
    shape = (*ids.shape[:2], *((n - 1) * s + 1 for n, s in zip(ids.shape[2:], strides, strict=True)))
    check_size(shape)
    wide = np.full(shape, ZERO, np.int64)
    wide[(slice(None), slice(None), *(slice(None, None, s) for s in strides))] = ids
    return wide


def _geometry(
    node: Node, lengths: tuple[int, ...], size: tuple[int, ...]
) -> tuple[list[WindowAxis], tuple[int, ...]]:
    """Returns the windows of the convolution over the values kept apart, and how far apart they are."""
    rank = len(lengths)
    strides, dilations = entries(node, "strides", rank, 1), entries(node, "dilations", rank, 1)
    extra = node.integers("output_padding") or (0,) * rank
    if len(extra) != rank or any(
        not 0 <= e < max(s, d) for e, s, d in zip(extra, strides, dilations, strict=True)
    ):
        raise Refusal(f"output_padding {list(extra)} does not fit strides {list(strides)}")
    axes = []
    for k in range(rank):
        extent = (size[k] - 1) * dilations[k] + 1
        full = strides[k] * (lengths[k] - 1) + extent + extra[k]
        begin, out = _cut(node, k, rank, full, lengths[k] * strides[k])
        if out < 1:
            raise Refusal(f"leaves no output of {full} values")
        wide = (lengths[k] - 1) * strides[k] + 1
        axes.append(WindowAxis(wide, size[k], 1, extent - 1 - begin, 0, dilations[k], out))
    return axes, strides


def _cut(node: Node, axis: int, rank: int, full: int, same: int) -> tuple[int, int]:
    """Returns how many of ``full`` values are cut off in front and how many stay, as ONNX defines it.

    Where ``output_shape`` asks for more than there are, zeros follow.
    """
    mode = node.text("auto_pad", "NOTSET")
    if mode not in ("NOTSET", "", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise Refusal(f"auto_pad '{mode}' does not exist")
    shape = node.integers("output_shape")
    if shape is not None and len(shape) < rank:
        raise Refusal(f"output_shape {list(shape)} does not fit {rank} spatial axes")
    if shape is None and not mode.startswith("SAME"):
        pads = (0,) * (2 * rank) if mode == "VALID" else node.integers("pads") or (0,) * (2 * rank)
        if len(pads) != 2 * rank or min(pads) < 0:
            raise Refusal(f"pads {list(pads)} do not fit {rank} spatial axes")
        return pads[axis], full - pads[axis] - pads[axis + rank]
    out = same if shape is None else shape[len(shape) - rank + axis]
    total = max(0, full - out)
    return total // 2 if mode == "SAME_UPPER" else total - total // 2, out
