"""A layer whose weights become codes times quanta, before its thresholds are sought."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nmcompiler.errors import NmcError
from nmcompiler.ir.kernels import Array, Shape, with_weight
from nmcompiler.ir.layers import Layer
from nmcompiler.passes.codebook import code_weights, has_codes
from nmcompiler.passes.formats import Branch, Formats
from nmcompiler.passes.kernel_algebra import scale_targets
from nmcompiler.passes.layerwise import State, corrected, quantised_sum

__all__ = ["coded_layer"]

_BIAS_ROOM = 1.25  # times a bias that must fit before it makes up for the codes
_SPARE = 1.3  # times what the sums of a read-out reach: its threshold and a better bias come later


def coded_layer(
    state: State, layer: Layer, branches: tuple[Branch, ...], bias: Array, exact: Array, *, alike: bool
) -> tuple[tuple[Branch, ...], Array, Array]:
    """Returns in-edges with weights of few values, a bias that makes up for them, and the sums so made.

    The quanta are left in ``state``.

    Args:
        state: What has been built, with the formats of this layer.
        layer: The layer.
        branches: In-edges with real weights.
        bias: Broadcastable to the shape of the sums.
        exact: ``(N, h, w, c)`` the sums in floating point.
        alike: Whether all channels have one scale: their quanta are then whole multiples of one.

    Raises:
        NmcError: An in-edge is neither a convolution nor a dense layer of vectors.
    """
    formats, shape = state.formats, layer.sum_shape
    if not all(has_codes(branch.kernel, shape) for branch in branches):
        raise NmcError(
            f"layer '{layer.name}' reads values through wiring of its own",
            allowed=f"convolutions and dense layers, whose weights {formats.name} makes of its typed ones",
            hint="a chip whose synapses have weights of their own takes it",
            node=layer.name,
        )
    sources = tuple(state.signals[b.source].q for b in branches)
    least = _BIAS_ROOM * np.abs(np.broadcast_to(bias, shape)).max(axis=(0, 1)) / formats.bias
    if not alike:
        least = np.maximum(least, _held_by_thresholds(exact, formats))
    grain = formats.grain
    while True:
        coded = code_weights(branches, sources, shape, formats.weight, least, grain if alike else None)
        sums = quantised_sum(state, coded.branches, bias, shape)
        better, sums = corrected(state, bias, exact, sums)
        unit = grain / coded.quantum.max()
        if not alike or grain == 1 or _hold(formats, coded.branches, better, unit, shape):
            break
        grain //= 2
    state.formats, state.quantum = replace(formats, grain=grain), coded.quantum
    return coded.branches, better, sums


def _held_by_thresholds(exact: Array, formats: Formats) -> Array:
    """Returns the smallest quanta ``(c,)`` whose threshold fits: it is the scale over the quantum, at least.

    A scale is at most what its channel reaches; a channel that was never active has a middle one.
    """
    reached = np.abs(exact).max(axis=(0, 1, 2)).astype(np.float64)
    active = reached > 0
    middle = float(np.median(reached[active])) if active.any() else 0.0
    return np.where(active, reached, middle) / formats.theta


def _hold(formats: Formats, branches: tuple[Branch, ...], bias: Array, unit: float, shape: Shape) -> bool:
    """Whether the registers of a chip hold the sums of a read-out, in a unit for all, with some room."""
    units = _SPARE * unit * np.ones(shape[2])
    scaled = (scale_targets(b.kernel, units, shape) for b in branches)
    kernels = [with_weight(k, np.round(k.weight).astype(np.int64)) for k in scaled]
    whole = tuple(replace(b, kernel=k) for b, k in zip(branches, kernels, strict=True))
    return formats.hold(whole, np.round(_SPARE * unit * bias), np.ones(shape[2], np.int64), shape)
