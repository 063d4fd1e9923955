"""Resize and Upsample: wiring to the nearest value, weights where values between others are computed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

import numpy as np

from nmcompiler.frontend.builder import Builder, check_size
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.resampling import Axis, cubic, interpolated, linear, nearest
from nmcompiler.frontend.values import Refusal, Wire, axis_of, integers
from nmcompiler.frontend.wiring import spatial, unspatial
from nmcompiler.ir.kernels import Array

_LONGEST = 1 << 16  # values of one axis; where each one comes from is computed exactly, which takes time


@operator("Upsample", since=7)
def upsample_by_attribute(node: Node, builder: Builder) -> Wire:
    """In opset 7 and 8 the factors are an attribute."""
    scales = node.attributes.get("scales")
    if not isinstance(scales, list):
        raise Refusal("has no factors (attribute 'scales')")
    return _old(node, builder, np.asarray(scales))


@operator("Upsample", since=9)
@operator("Resize", since=10)
def resize_by_factors(node: Node, builder: Builder) -> Wire:
    """They are the second operand."""
    return _old(node, builder, node.constant(1))


@operator("Resize", since=11)
def resize(node: Node, builder: Builder) -> Wire:
    """From opset 11 on there are sizes, too, and a choice of coordinates and of rounding."""
    shape = node.wire(0).shape
    stated = node.integers("axes")
    chosen = tuple(axis_of(a, len(shape)) for a in (range(len(shape)) if stated is None else stated))
    coordinates = node.text("coordinate_transformation_mode", "half_pixel")
    if node.has(3) and node.constant(3).size:
        axes = _from_sizes(node, chosen, integers(node.constant(3)), coordinates)
    elif node.has(2) and node.constant(2).size:
        axes = _from_factors(shape, chosen, node.constant(2), coordinates)
    else:
        raise Refusal("has neither factors nor sizes")
    return _resampled(node, builder, axes, node.text("nearest_mode", "round_prefer_floor"))


def _old(node: Node, builder: Builder, scales: Array) -> Wire:
    """Until opset 10 coordinates are divided by the factor, and rounded down."""
    shape = node.wire(0).shape
    axes = _from_factors(shape, tuple(range(len(shape))), scales, "asymmetric")
    return _resampled(node, builder, axes, "floor")


def _from_factors(
    shape: tuple[int, ...], chosen: tuple[int, ...], scales: Array, coordinates: str
) -> dict[int, Axis]:
    if scales.size != len(chosen) or scales.dtype.kind not in "fiu" or (scales <= 0).any():
        raise Refusal(f"its factors {scales.tolist()} do not fit {len(chosen)} axes")
    axes = {}
    for a, scale in zip(chosen, scales.ravel(), strict=True):
        axes[a] = Axis(shape[a], math.floor(shape[a] * float(scale)), Fraction(float(scale)), coordinates)
    return axes


def _from_sizes(
    node: Node, chosen: tuple[int, ...], sizes: tuple[int, ...], coordinates: str
) -> dict[int, Axis]:
    shape, policy = node.wire(0).shape, node.text("keep_aspect_ratio_policy", "stretch")
    if len(sizes) != len(chosen) or min(sizes) < 1:
        raise Refusal(f"its sizes {list(sizes)} do not fit {len(chosen)} axes")
    if policy not in ("stretch", "not_larger", "not_smaller"):
        raise Refusal(f"keep_aspect_ratio_policy '{policy}' does not exist")
    wanted = {a: 1 if a == 0 and n == node.batch else n for a, n in zip(chosen, sizes, strict=True)}
    scales = {a: Fraction(n, shape[a]) for a, n in wanted.items()}
    if policy == "stretch":
        return {a: Axis(shape[a], n, scales[a], coordinates) for a, n in wanted.items()}
    scale = min(scales.values()) if policy == "not_larger" else max(scales.values())
    return {
        a: Axis(shape[a], math.floor(scale * shape[a] + Fraction(1, 2)), scale, coordinates) for a in wanted
    }


def _resampled(node: Node, builder: Builder, axes: Mapping[int, Axis], rounding: str) -> Wire:
    """Returns the wire with the given axes resized."""
    ids = node.wire(0).ids
    changed = {a: axis for a, axis in axes.items() if axis.scale != 1}
    if 0 in changed:
        raise Refusal("resizes the batch (axis 0)")
    check_size([axes[a].out if a in axes else n for a, n in enumerate(ids.shape)])
    for a, axis in changed.items():
        if not 1 <= axis.out <= _LONGEST:
            raise Refusal(f"makes {axis.out} values along axis {a}: 1 to {_LONGEST} are supported")
    mode = node.text("mode", "nearest")
    if mode == "nearest":
        for a, axis in changed.items():
            ids = np.take(ids, nearest(axis, rounding), axis=a)
        return Wire(ids)
    if ids.ndim not in (3, 4) or 1 in changed:
        raise Refusal(f"mode '{mode}' works on axes {sorted(changed)}: 1 or 2 spatial axes are supported")
    height = axes.get(2, _kept(ids.shape[2])) if ids.ndim == 4 else _kept(1)
    width = axes.get(ids.ndim - 1, _kept(ids.shape[-1]))
    rows, columns = (_weights(node, axis, mode) for axis in (height, width))
    return Wire(unspatial(builder.interpolation(node, spatial(ids), rows, columns), ids.ndim))


def _kept(length: int) -> Axis:
    return Axis(length, length, Fraction(1), "asymmetric")


def _weights(node: Node, axis: Axis, mode: str) -> Array:
    check_size((axis.out, axis.length))
    if axis.scale == 1:
        return np.eye(axis.length)
    antialias = node.integer("antialias", 0) == 1
    if mode in ("linear", "bilinear"):
        return interpolated(axis, linear(), antialias=antialias)
    if mode == "cubic":
        outside = node.integer("exclude_outside", 0) == 0
        kernel = cubic(node.number("cubic_coeff_a", -0.75))
        return interpolated(axis, kernel, antialias=antialias, outside=outside)
    raise Refusal(f"mode '{mode}' does not exist")
