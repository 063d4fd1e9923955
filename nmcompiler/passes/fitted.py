"""Integers of one layer that make up for their own rounding: weights one after another, then the bias."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nmcompiler.ir.kernels import Array
from nmcompiler.ir.layers import Layer
from nmcompiler.passes.formats import Branch
from nmcompiler.passes.gptq import round_in_turn
from nmcompiler.passes.kernel_algebra import scale_targets
from nmcompiler.passes.layerwise import State, corrected, integer_sum
from nmcompiler.passes.refit import Positions
from nmcompiler.passes.scales import output_gain
from nmcompiler.passes.thresholds import (
    Integers,
    fit_coded,
    fit_coded_readout,
    fit_population,
    fit_readout,
    readout_theta,
)

__all__ = ["fit_hidden", "fit_output", "stretched"]

_ROWS_IN_TURN = 8192  # positions that the rounding of weights looks at


def fit_hidden(
    state: State,
    layer: Layer,
    branches: tuple[Branch, ...],
    bias: Array,
    exact: Array,
    scale: Array,
    observed: Array,
    levels: int,
) -> tuple[Integers, Array, Array]:
    """Returns a layer's integers, its sums ``Σ w·q`` on the samples, and its integer bias.

    The bias makes up for the rounding of the weights; where it no longer fits, θ is chosen once more.
    """
    allowed = bias
    while True:
        if state.quantum is None:
            numbers = fit_population(
                layer.name,
                branches,
                allowed,
                scale,
                layer.sum_shape,
                state.formats,
                observed=observed,
                levels=levels,
                ceiling=layer.activation.upper / levels,
            )
        else:
            numbers = fit_coded(
                layer.name, branches, state.quantum, allowed, scale, layer.sum_shape, state.formats
            )
        if state.in_turn and state.quantum is None:
            better = _in_turn(state, layer, branches, numbers.unit)
            if state.formats.hold(better, np.round(bias * numbers.unit), numbers.theta, layer.sum_shape):
                numbers = replace(numbers, branches=better)
        acc = integer_sum(state, numbers.branches, exact, bias, numbers.unit, layer.sum_shape)
        real = acc / numbers.unit.astype(np.float32) + bias.astype(np.float32)
        better_bias, _ = corrected(state, bias, exact, real)
        b = state.formats.round_bias(better_bias * numbers.unit)
        if state.formats.hold(numbers.branches, b, numbers.theta, layer.sum_shape):
            return numbers, acc, b
        allowed = 1.05 * np.maximum(np.abs(allowed), np.abs(better_bias))


def fit_output(
    state: State,
    layer: Layer,
    branches: tuple[Branch, ...],
    bias: Array,
    exact: Array,
    observed: Array,
    step: float | None,
) -> tuple[tuple[Branch, ...], float, Array]:
    """Returns a read-out's integer branches, the one scale of its sums and its integer bias.

    ``step`` is what a unit of its values stands for, where it is read from those.
    """
    allowed = bias
    one = np.ones(layer.sum_shape[2], np.int64)
    while True:
        if state.quantum is None:
            integer, scale = fit_readout(
                layer.name, branches, allowed, layer.sum_shape, state.formats, observed=observed, step=step
            )
        else:
            integer, scale = fit_coded_readout(
                layer.name, branches, state.quantum, allowed, layer.sum_shape, state.formats, step
            )
        theta = readout_theta(step, scale, state.formats) * one
        if state.in_turn and state.quantum is None:
            better = _in_turn(state, layer, branches, one / scale)
            if state.formats.hold(better, np.round(bias / scale), theta, layer.sum_shape):
                integer = better
        acc = integer_sum(state, integer, exact, bias, 1 / scale, layer.sum_shape)
        better_bias, _ = corrected(state, bias, exact, acc * np.float32(scale) + bias.astype(np.float32))
        b = state.formats.round_bias(better_bias / scale)
        if state.formats.hold(integer, b, theta, layer.sum_shape):
            return integer, scale, b
        allowed = 1.05 * np.maximum(np.abs(allowed), np.abs(better_bias))


def stretched(
    state: State,
    layer: Layer,
    branches: tuple[Branch, ...],
    bias: Array,
    sums: Array,
    exact: Array,
) -> tuple[tuple[Branch, ...], Array, Array]:
    """Returns a read-out whose outputs no longer are drawn towards their means, and its sums."""
    if not state.formats.biased:  # only a bias could leave the means where they are
        return branches, bias, sums
    gain = output_gain(exact, sums)
    middle = sums.mean(axis=(0, 1, 2), dtype=np.float64)
    branches = tuple(replace(b, kernel=scale_targets(b.kernel, gain, layer.sum_shape)) for b in branches)
    return branches, gain * bias + (1 - gain) * middle, (gain * (sums - middle) + middle).astype(np.float32)


def _in_turn(state: State, layer: Layer, branches: tuple[Branch, ...], unit: Array) -> tuple[Branch, ...]:
    """Returns branches with whole weights that make up for each other's rounding; they may not fit."""
    at = Positions.spread(state.samples, layer.sum_shape, _ROWS_IN_TURN)
    limit = state.formats.weight
    rounded = []
    for branch in branches:
        scaled = scale_targets(branch.kernel, unit, layer.sum_shape)
        q = state.signals[branch.source].q
        rounded.append(replace(branch, kernel=round_in_turn(scaled, q, at, layer.sum_shape, limit)))
    return tuple(rounded)
