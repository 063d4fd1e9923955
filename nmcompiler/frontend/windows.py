"""Reads the geometry of sliding windows from a node's attributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nmcompiler.frontend.edges import Window
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.values import LARGEST_SIZE, Refusal
from nmcompiler.ir.kernels import Array

__all__ = [
    "WindowAxis",
    "channel_bias",
    "entries",
    "kernel_size",
    "pad_ends",
    "whole_window",
    "window",
    "window_axes",
]


@dataclass(frozen=True)
class WindowAxis:
    """Geometry of a sliding window along one axis.

    Attributes:
        length: Values of the source.
        size: Taps.
        stride: Step of the output.
        padding: Values in front.
        padding_end: Values behind.
        dilation: Step of the taps.
        out: Windows.
    """

    length: int
    size: int
    stride: int
    padding: int
    padding_end: int
    dilation: int
    out: int

    @property
    def taps(self) -> Array:
        """Where each window reads the source, ``(out, size)``; positions outside are in the padding."""
        start = np.arange(self.out)[:, None] * self.stride - self.padding
        taps: Array = start + np.arange(self.size) * self.dilation
        return taps


def kernel_size(node: Node, weight: Array) -> tuple[int, ...]:
    """Returns the taps of a convolution's weight ``(·, ·, *taps)``, which ``kernel_shape`` may repeat."""
    size = node.integers("kernel_shape")
    if size is not None and size != weight.shape[2:]:
        raise Refusal(f"kernel_shape {list(size)} contradicts the weight's {list(weight.shape[2:])}")
    return weight.shape[2:]


def channel_bias(node: Node, channels: int) -> Array | None:
    """Returns the bias of a convolution, operand 2, ``(channels,)`` float64."""
    if not node.has(2):
        return None
    bias: Array = node.weights(2).astype(np.float64).ravel()
    if len(bias) != channels:
        raise Refusal(f"bias of {len(bias)} values for {channels} channels")
    return bias


def window(node: Node, shape: tuple[int, ...], size: Sequence[int]) -> Window:
    """Returns the geometry of a convolution or pool; one-dimensional ones get one row.

    Args:
        node: The node with its attributes ``strides, dilations, pads, auto_pad, ceil_mode``.
        shape: ONNX shape of the operand, ``(1, C, L)`` or ``(1, C, H, W)``.
        size: Taps for each spatial axis.
    """
    if len(shape) not in (3, 4):
        raise Refusal(f"works on {len(shape) - 2} spatial axes (shape {list(shape)}): 1 to 3 are supported")
    axes = [(a.size, a.stride, a.padding, a.dilation, a.out) for a in window_axes(node, shape, size)]
    if len(axes) == 1:
        axes.insert(0, (1, 1, 0, 1, 1))
    return Window(*((a, b) for a, b in zip(*axes, strict=True)))


def window_axes(node: Node, shape: tuple[int, ...], size: Sequence[int]) -> list[WindowAxis]:
    """Returns the geometry of a convolution or pool along each spatial axis of ``(1, C, …)``."""
    lengths = shape[2:]
    rank = len(lengths)
    strides = entries(node, "strides", rank, 1)
    dilations = entries(node, "dilations", rank, 1)
    if len(size) != rank:
        raise Refusal(f"has a window of {len(size)} axes on {rank} spatial axes")
    if min(size) < 1:
        raise Refusal(f"has a window of the size {list(size)}")
    axes = []
    area = shape[1]
    for k in range(rank):
        extent = (size[k] - 1) * dilations[k] + 1
        begin, end = _pads(node, k, rank, lengths[k], extent, strides[k])
        out = _outputs(lengths[k] + begin + end - extent, strides[k], node.integer("ceil_mode", 0) == 1)
        if node.integer("ceil_mode", 0) == 1 and (out - 1) * strides[k] >= lengths[k] + begin:
            out -= 1  # a window that starts behind the source and its left padding does not count
        if out < 1:
            raise Refusal(
                f"leaves no output: a window of {extent} on {lengths[k]} values, padded by {begin + end}"
            )
        axes.append(WindowAxis(lengths[k], int(size[k]), strides[k], begin, end, dilations[k], out))
        area *= lengths[k] + begin + end
    if area > LARGEST_SIZE:
        raise Refusal(f"pads to {area} values a sample: at most {LARGEST_SIZE} are allowed")
    return axes


def pad_ends(node: Node, shape: tuple[int, ...], used: Window) -> tuple[int, int]:
    """Returns the padding below and to the right that the node states (rows first; 0 for a row of 1-D)."""
    lengths = shape[2:]
    rank = len(lengths)
    ends = []
    for k in range(rank):
        axis = k + 2 - rank
        extent = (used.size[axis] - 1) * used.dilation[axis] + 1
        ends.append(_pads(node, k, rank, lengths[k], extent, used.stride[axis])[1])
    return (0, ends[0]) if rank == 1 else (ends[0], ends[1])


def entries(node: Node, name: str, rank: int, default: int) -> tuple[int, ...]:
    """Returns an attribute with one positive integer for each spatial axis."""
    values = node.integers(name)
    if values is None:
        return (default,) * rank
    if len(values) != rank or min(values) < 1:
        raise Refusal(f"{name} {list(values)} do not fit {rank} spatial axes")
    if max(values) > LARGEST_SIZE:
        raise Refusal(f"{name} {list(values)} reach beyond every tensor (at most {LARGEST_SIZE})")
    return values


def _pads(node: Node, axis: int, rank: int, length: int, extent: int, stride: int) -> tuple[int, int]:
    """Returns the padding before and after an axis, as ONNX's ``auto_pad`` defines it."""
    mode = node.text("auto_pad", "NOTSET")
    if mode == "VALID":
        return 0, 0
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        total = (-(-length // stride) - 1) * stride + extent - length
        if total < 0 and node.op.endswith("Pool"):
            raise Refusal(
                f"asks for a padding of {total} (auto_pad, and steps longer than its windows)",
                "state the padding: runtimes do not agree on this one",
            )
        total = max(0, total)
        small, large = total // 2, total - total // 2
        return (small, large) if mode == "SAME_UPPER" else (large, small)
    if mode not in ("NOTSET", ""):
        raise Refusal(f"auto_pad '{mode}' does not exist")
    pads = node.integers("pads") or (0,) * (2 * rank)
    if len(pads) != 2 * rank or min(pads) < 0:
        raise Refusal(f"pads {list(pads)} do not fit {rank} spatial axes")
    return pads[axis], pads[axis + rank]


def _outputs(room: int, stride: int, ceil: bool) -> int:
    """Returns how many windows fit where the last may start ``room`` behind the first."""
    return (-(-room // stride) if ceil else room // stride) + 1


def whole_window(ids: Array, rows: bool = True, columns: bool = True) -> Window:
    """Returns a window over all rows or all columns of ``(h, w, c)`` ids, or over both."""
    height, width, _ = ids.shape
    size = (height if rows else 1, width if columns else 1)
    return Window(size, (1, 1), (0, 0), (1, 1), (height // size[0], width // size[1]))
