"""Bounds of every value of a layer graph, by interval arithmetic: sound for every input in a range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nmcompiler.evaluate.float import activate
from nmcompiler.evaluate.linear import apply
from nmcompiler.ir.kernels import Array, with_weight
from nmcompiler.ir.layers import Layer, Model

__all__ = ["Interval", "intervals"]

_ROUNDING = 1e-9
"""Share by which sums of magnitudes are widened: more than float64 sums of 2^20 terms can be off."""


@dataclass(frozen=True, eq=False)
class Interval:
    """Smallest and largest value of each element of a layer's result, both ``(h, w, c)`` float64."""

    low: Array
    high: Array


def intervals(model: Model, largest: float) -> Mapping[str, Interval]:
    """Returns bounds of every layer's result for all inputs from ``-largest`` to ``largest``.

    A layer without activation, weights or bias that is constant has equal bounds.
    """
    found: dict[str, Interval] = {}
    for layer in model.graph:
        if layer.is_input:
            found[layer.name] = Interval(np.full(layer.shape, -largest), np.full(layer.shape, largest))
            continue
        low, high = (activate(layer, bound[None])[0] for bound in _sums(model, layer, found))
        found[layer.name] = Interval(low, high)
    return found


def _sums(model: Model, layer: Layer, found: Mapping[str, Interval]) -> tuple[Array, Array]:
    """Returns the bounds of ``Σ kernel(x) + bias``.

    Each bound is a sum of positive terms less a sum of negative ones. Both are widened by what their own
    rounding may amount to, so that a bound without positive terms stays exactly at or below 0.
    """
    bias = np.broadcast_to(np.asarray(layer.bias, np.float64), layer.sum_shape)
    up = _Sides(np.maximum(bias, 0), np.maximum(-bias, 0))
    down = _Sides(up.plus, up.minus)
    for edge in model.graph.in_edges(layer.name):
        kernel, source = edge.payload.kernel, found[edge.source]
        weight = np.asarray(kernel.weight, np.float64)
        sides = np.stack([np.maximum(s, 0) for s in (source.high, -source.high, source.low, -source.low)])
        some = sides.any(axis=(1, 2, 3))  # values that are never negative have two sides that are 0
        rising, falling = np.zeros((2, 4, *layer.sum_shape))
        rising[some] = apply(with_weight(kernel, np.maximum(weight, 0)), sides[some], layer.sum_shape)
        falling[some] = apply(with_weight(kernel, np.maximum(-weight, 0)), sides[some], layer.sum_shape)
        # Indices: 0 high⁺, 1 high⁻, 2 low⁺, 3 low⁻.
        up = _Sides(up.plus + rising[0] + falling[3], up.minus + rising[1] + falling[2])
        down = _Sides(down.plus + rising[2] + falling[1], down.minus + rising[3] + falling[0])
    low = down.plus * (1 - _ROUNDING) - down.minus * (1 + _ROUNDING)
    high = up.plus * (1 + _ROUNDING) - up.minus * (1 - _ROUNDING)
    return low, high


@dataclass(frozen=True, eq=False)
class _Sides:
    """A sum as its positive terms and the magnitudes of its negative ones."""

    plus: Array
    minus: Array
