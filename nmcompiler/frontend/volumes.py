"""Convolutions and maxima over three spatial axes, made of layers that have two: one for each depth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nmcompiler.frontend.edges import Window
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.values import ZERO, Refusal
from nmcompiler.frontend.windows import WindowAxis
from nmcompiler.frontend.wiring import natural
from nmcompiler.ir.kernels import Array

if TYPE_CHECKING:
    from nmcompiler.frontend.builder import Builder

__all__ = ["volume_convolution", "volume_max", "whole_images", "window_means"]


def volume_convolution(
    node: Node,
    builder: Builder,
    ids: Array,
    weight: Array,
    groups: int,
    axes: Sequence[WindowAxis],
    bias: Array | None,
) -> Array:
    """Returns the ids ``(1, O, D, H, W)`` of a grouped convolution.

    Each depth of the result is a convolution over rows and columns of all depths that its windows reach.

    Args:
        node: What the layers stand for.
        builder: Takes the layers.
        ids: ``(1, I, d, h, w)``.
        weight: ``(O, I / groups, kd, kh, kw)``.
        groups: Number of groups.
        axes: Geometry along depth, rows and columns.
        bias: ``(O,)`` or None.
    """
    outputs, per_group = weight.shape[:2]
    _, channels, depth, height, width = ids.shape
    window = _flat(axes[1:])
    slices = []
    for taps in axes[0].taps:
        inside = np.flatnonzero((taps >= 0) & (taps < depth))
        if inside.size:
            read = ids[0][:, taps[inside]]
        else:  # windows that lie wholly in the padding: the bias alone
            inside, read = np.zeros(1, np.int64), np.full((channels, 1, height, width), ZERO, np.int64)
        grid = read.reshape(groups, per_group, -1, height, width).transpose(3, 4, 0, 2, 1)
        kernel = weight[:, :, inside].transpose(3, 4, 2, 1, 0)
        kernel = kernel.reshape(*window.size, len(inside) * per_group, outputs)
        grid = grid.reshape(height, width, -1)
        slices.append(builder.convolution(node, grid, kernel, groups, window, bias))
    return np.stack(slices).transpose(3, 0, 1, 2)[None]


def volume_max(node: Node, builder: Builder, ids: Array, axes: Sequence[WindowAxis]) -> Array:
    """Returns the ids ``(1, C, D, H, W)`` of maxima: over rows and columns first, then over depths."""
    for axis in axes:
        if ((axis.taps < 0) | (axis.taps >= axis.length)).all(axis=1).any():
            raise Refusal("has windows that lie wholly in the padding")
    _, channels, depth, _, _ = ids.shape
    window = _flat(axes[1:])
    made = builder.max_pool(node, natural(ids), window)
    columns = math.prod(window.out)
    planes = made.reshape(columns, depth, channels).swapaxes(0, 1)
    along = Window(
        (axes[0].size, 1), (axes[0].stride, 1), (axes[0].padding, 0), (axes[0].dilation, 1), (0, 0)
    )
    along = Window(along.size, along.stride, along.padding, along.dilation, (axes[0].out, columns))
    result = builder.max_pool(node, planes, along).reshape(axes[0].out, *window.out, channels)
    return result.transpose(3, 0, 1, 2)[None]


def window_means(axis: WindowAxis, padded: bool) -> Array:
    """Returns the weights ``(out, length)`` of means over windows along one axis.

    Args:
        axis: The geometry.
        padded: Whether positions in the stated padding count; those behind it (ceil_mode) never do.
    """
    taps = axis.taps
    inside = (taps >= 0) & (taps < axis.length)
    if not inside.any(axis=1).all():
        raise Refusal("has windows that lie wholly in the padding")
    counted = (taps < axis.length + axis.padding_end) if padded else inside
    weights = np.zeros((axis.out, axis.length))
    rows = np.broadcast_to(np.arange(axis.out)[:, None], taps.shape)
    share = np.broadcast_to(1.0 / counted.sum(axis=1, keepdims=True), taps.shape)
    np.add.at(weights, (rows[inside], taps[inside]), share[inside])
    return weights


def whole_images(ids: Array) -> Array:
    """Returns ids ``(1, C, …)`` of at least one spatial axis as ``(h, w, c)``, further axes as columns."""
    if ids.ndim < 3:
        raise Refusal(f"works on a tensor of shape {list(ids.shape)}, which has no spatial axis")
    if ids.ndim == 3:
        return natural(ids)
    return ids.reshape(ids.shape[1], ids.shape[2], -1).transpose(1, 2, 0)


def _flat(axes: Sequence[WindowAxis]) -> Window:
    """Returns the window over rows and columns."""
    pairs = [(a.size, a.stride, a.padding, a.dilation, a.out) for a in axes]
    return Window(*((a, b) for a, b in zip(*pairs, strict=True)))
