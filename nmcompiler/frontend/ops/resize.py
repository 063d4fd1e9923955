"""Resize and Upsample: wiring to the nearest value, weights where values between others are computed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

import numpy as np

from nmcompiler.frontend.builder import Builder, Term, check_size
from nmcompiler.frontend.forms import FIRST_SIGNAL
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.resampling import CROPS, Axis, cubic, interpolated, linear, nearest
from nmcompiler.frontend.values import ZERO, Refusal, Wire, axis_of, integers
from nmcompiler.ir.kernels import Array

_LONGEST = 1 << 16  # values of one axis; where each one comes from is computed exactly, which takes time


@operator("Upsample", FIRST_SIGNAL, since=7)
def upsample_by_attribute(node: Node, builder: Builder) -> Wire:
    """In opset 7 and 8 the factors are an attribute."""
    scales = node.attributes.get("scales")
    if not isinstance(scales, list):
        raise Refusal("has no factors (attribute 'scales')")
    return _old(node, builder, np.asarray(scales))


@operator("Upsample", FIRST_SIGNAL, since=9)
@operator("Resize", FIRST_SIGNAL, since=10)
def resize_by_factors(node: Node, builder: Builder) -> Wire:
    """They are the second operand."""
    return _old(node, builder, node.constant(1))


@operator("Resize", FIRST_SIGNAL, since=11)
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
    if coordinates == CROPS:
        axes = _cropped(node, axes)
    return _resampled(node, builder, axes, node.text("nearest_mode", "round_prefer_floor"))


def _cropped(node: Node, axes: Mapping[int, Axis]) -> dict[int, Axis]:
    """Returns axes of which only a region is resized: operand 1 has all starts, then all ends."""
    ends = node.constant(1).ravel() if node.has(1) else np.zeros(0)
    if ends.size != 2 * len(axes) or ends.dtype.kind != "f":
        raise Refusal(f"its region of {ends.size} values does not fit {len(axes)} axes")
    starts, stops = ([Fraction(float(v)) for v in half] for half in np.split(ends, 2))
    return {
        a: replace(axis, region=(start, stop))
        for (a, axis), start, stop in zip(axes.items(), starts, stops, strict=True)
    }


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
    baked = node.batch if node.batched else None
    wanted = {a: 1 if a == 0 and n == baked else n for a, n in zip(chosen, sizes, strict=True)}
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
    changed = {a: axis for a, axis in axes.items() if not axis.is_kept}
    if changed:
        node.spare_batch(min(changed), "resizes the batch (axis 0)")
    check_size([axes[a].out if a in axes else n for a, n in enumerate(ids.shape)])
    for a, axis in changed.items():
        if not 1 <= axis.out <= _LONGEST:
            raise Refusal(f"makes {axis.out} values along axis {a}: 1 to {_LONGEST} are supported")
    mode = node.text("mode", "nearest")
    if mode == "nearest":
        for a, axis in changed.items():
            ids = np.take(ids, nearest(axis, rounding), axis=a)
        resized = Wire(np.where(_outside(changed, ids.shape), ZERO, ids))
    else:
        node.spare_integers("rounds what it computes between integers")
        weights = {a: _weights(node, axis, mode) for a, axis in changed.items()}
        resized = builder.resampled(node, node.wire(0), weights)
    outside = _outside(changed, resized.shape)
    value = node.number("extrapolation_value", 0.0)
    if not outside.any() or value == 0:
        return resized
    return builder.sum(node, [Term(resized)], shift=value * outside)


def _outside(axes: Mapping[int, Axis], shape: tuple[int, ...]) -> Array:
    """Returns which values lie outside of the operand along some axis, broadcastable to their shape."""
    outside = np.zeros((1,) * len(shape), np.bool_)
    for a, axis in axes.items():
        if axis.region is not None:
            outside = outside | axis.outside.reshape((-1, *(1 for _ in shape[a + 1 :])))
    return outside


def _weights(node: Node, axis: Axis, mode: str) -> Array:
    check_size((axis.out, axis.length))
    weights = _interpolated(node, axis, mode)
    return weights if axis.region is None else np.where(axis.outside[:, None], 0.0, weights)


def _interpolated(node: Node, axis: Axis, mode: str) -> Array:
    antialias = node.integer("antialias", 0) == 1
    if mode in ("linear", "bilinear"):
        return interpolated(axis, linear(), antialias=antialias)
    if mode == "cubic":
        outside = node.integer("exclude_outside", 0) == 0
        kernel = cubic(node.number("cubic_coeff_a", -0.75))
        return interpolated(axis, kernel, antialias=antialias, outside=outside)
    raise Refusal(f"mode '{mode}' does not exist")
