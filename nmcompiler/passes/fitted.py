"""Integers of one layer that make up for their own rounding: weights one after another, then the bias."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nmcompiler.ir.kernels import Array
from nmcompiler.ir.layers import Layer
from nmcompiler.passes.columns import most_rows
from nmcompiler.passes.few_bits import FEW_BITS, FINER, cut_weights
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
            numbers = _better(state, layer, branches, bias, numbers)
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
            integer, scale = _better_output(state, layer, branches, bias, integer, scale, step)
            theta = readout_theta(step, scale, state.formats) * one
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


def _better(
    state: State, layer: Layer, branches: tuple[Branch, ...], bias: Array, numbers: Integers
) -> Integers:
    """Returns integers with weights that make up for each other's rounding, where the chip holds them."""
    formats = state.formats
    finer = np.floor(np.minimum(numbers.theta * np.array(FINER)[:, None], formats.theta)).astype(np.int64)
    thetas = formats.held_theta(np.maximum(finer, 1))
    cut = _cut(state, layer, branches, thetas / numbers.scale, together=formats.per_population)
    if cut is not None:
        theta = np.take_along_axis(thetas, cut[1][None], axis=0)[0]
        made = Integers(cut[0], theta, numbers.scale)
        if formats.hold(made.branches, np.round(bias * made.unit), theta, layer.sum_shape):
            return made
    better = _in_turn(state, layer, branches, numbers.unit)
    if formats.hold(better, np.round(bias * numbers.unit), numbers.theta, layer.sum_shape):
        return replace(numbers, branches=better)
    return numbers


def _better_output(
    state: State,
    layer: Layer,
    branches: tuple[Branch, ...],
    bias: Array,
    integer: tuple[Branch, ...],
    scale: float,
    step: float | None,
) -> tuple[tuple[Branch, ...], float]:
    """Returns better branches of a read-out and their scale, where the chip holds them."""

    def held(made: tuple[Branch, ...], scale: float) -> bool:
        theta = np.full(layer.sum_shape[2], readout_theta(step, scale, state.formats))
        fits = state.formats.hold(made, np.round(bias / scale), theta, layer.sum_shape)
        return bool(fits and theta[0] <= state.formats.theta)

    units = np.array(FINER)[:, None] / np.full(layer.sum_shape[2], scale)
    cut = _cut(state, layer, branches, units, together=True)
    if cut is not None:
        finer = scale / FINER[cut[1][0]]
        if held(cut[0], finer):
            return cut[0], finer
    better = _in_turn(state, layer, branches, np.full(layer.sum_shape[2], 1 / scale))
    return (better if held(better, scale) else integer), scale


def _cut(
    state: State, layer: Layer, branches: tuple[Branch, ...], units: Array, *, together: bool
) -> tuple[tuple[Branch, ...], Array] | None:
    """Returns weights of few bits and which unit each channel took; None where they have more bits."""
    if state.formats.weight > FEW_BITS:
        return None
    at = _rows_in_turn(state, layer, branches)
    values = {branch.source: state.signals[branch.source].q for branch in branches}
    return cut_weights(branches, values, units, at, layer.sum_shape, state.formats.weight, together=together)


def _in_turn(state: State, layer: Layer, branches: tuple[Branch, ...], unit: Array) -> tuple[Branch, ...]:
    """Returns branches with whole weights that make up for each other's rounding; they may not fit."""
    at = _rows_in_turn(state, layer, branches)
    limit = state.formats.weight
    rounded = []
    for branch in branches:
        scaled = scale_targets(branch.kernel, unit, layer.sum_shape)
        q = state.signals[branch.source].q
        rounded.append(replace(branch, kernel=round_in_turn(scaled, q, at, layer.sum_shape, limit)))
    return tuple(rounded)


def _rows_in_turn(state: State, layer: Layer, branches: tuple[Branch, ...]) -> Positions:
    rows = most_rows(tuple(branch.kernel for branch in branches), _ROWS_IN_TURN)
    return Positions.spread(state.samples, layer.sum_shape, rows)
