"""Integers of one population: thresholds first, then weights and biases, all within a chip's formats."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from nmcompiler.errors import DoesNotFit
from nmcompiler.ir.kernels import Array, Shape, with_weight
from nmcompiler.passes.formats import Branch, Formats, magnitudes
from nmcompiler.passes.kernel_algebra import scale_targets

__all__ = [
    "Integers",
    "fit_coded",
    "fit_coded_readout",
    "fit_population",
    "fit_readout",
    "readout_theta",
]

_AT_A_TIME = 1 << 17  # weights that stay near the caches
_ANY = 1 << 15  # codes times their factors are within the chip's weights by construction
_MARGIN = 1.5  # what a sum may exceed the calibration samples by where nothing is proved


@dataclass(frozen=True, eq=False)
class Integers:
    """Numbers of a population: ``v = theta / scale`` turns real values into its accumulator's unit.

    Attributes:
        branches: The in-edges with integer kernels.
        theta: ``(c,)`` int64.
        scale: ``(c,)`` float64, larger than asked for where even θ = 1 made weights too large.
    """

    branches: tuple[Branch, ...]
    theta: Array
    scale: Array

    @property
    def unit(self) -> Array:
        """``(c,)`` float64: what a real value is multiplied by."""
        unit: Array = self.theta / self.scale
        return unit


def fit_population(
    name: str,
    branches: tuple[Branch, ...],
    bias: Array,
    scale: Array,
    shape: Shape,
    formats: Formats,
    *,
    observed: Array,
    levels: int,
    ceiling: float,
) -> Integers:
    """Returns the largest thresholds for which weights, bias, threshold and membrane fit the chip.

    Args:
        name: The layer, for errors.
        branches: In-edges with real weights.
        bias: Real bias, broadcastable to ``shape``.
        scale: ``(c,)`` real value of one unit.
        shape: ``(height, width, channels)``.
        formats: What the chip holds.
        observed: ``(c,)`` largest magnitude of the real sum on the calibration samples.
        levels: L of the population.
        ceiling: Largest scale allowed. Up to it a scale grows where its weights, its membrane or its bias
            do not fit at θ = 1; weights that still do not fit are cut.

    Raises:
        DoesNotFit: Where even θ = 1 leaves the membrane or the bias too large.
    """
    peak, reach, offset = magnitudes(branches, bias, shape)
    reach = peak if formats.one_event else reach
    farthest = reach + offset if formats.proved else _MARGIN * np.maximum(observed, offset)
    least = np.maximum(peak / formats.weight, farthest / (0.98 * formats.membrane - 1))
    least = np.maximum(least, offset / formats.bias)
    scale = np.maximum(scale, np.minimum(least, ceiling))
    with np.errstate(divide="ignore"):
        by_weight = formats.weight * scale / peak
        by_bias = np.minimum(formats.bias * scale / offset, formats.theta)
    room = np.minimum(formats.membrane * scale / (farthest + scale), by_bias)
    theta = np.floor(np.minimum(np.maximum(by_weight, 1), room) + 1e-9).astype(np.int64)
    weightless = peak == 0
    if np.any(weightless) and not weightless.all():
        theta[weightless] = np.minimum(theta[weightless], int(np.median(theta[~weightless])))
    if formats.per_population and theta.min() >= 1:
        theta, scale = _shared(theta, scale, room, levels, formats.weight, ceiling)
    while True:
        if theta.min() < 1:
            worst = int(np.argmin(room))
            need = float((farthest + scale)[worst] / scale[worst])
            raise _too_small(name, need, formats)
        theta = formats.held_theta(theta)
        made = Integers(_rounded(branches, theta / scale, shape, formats), theta, scale)
        whole = np.round(bias * made.unit)
        over = formats.reach(made.branches, whole, theta, shape) > formats.membrane
        if not formats.proved or not np.any(over):
            return made
        theta = np.where(over, np.minimum(theta - 1, theta * 63 // 64), theta)
        if formats.per_population:
            theta[:] = theta.min()


def fit_coded(
    name: str,
    branches: tuple[Branch, ...],
    quantum: Array,
    bias: Array,
    scale: Array,
    shape: Shape,
    formats: Formats,
) -> Integers:
    """Returns the integers of a population whose real weights are ``quantum[c] · code``.

    A weight becomes ``a[c] · code`` with the largest a that weights, bias, threshold and membrane allow;
    the scale is then the nearest to the one asked for that makes this exact.

    Raises:
        DoesNotFit: Where even a = 1 leaves the membrane, the threshold or the bias too large.
    """
    _, reach, offset = magnitudes(branches, bias, shape)
    rooms = (
        ("bits of a bias", formats.bias, offset / quantum),
        ("bits of a threshold", formats.theta, scale / quantum),
        ("state_bits", formats.membrane, (reach + offset + scale) / quantum),
    )
    most = np.min([limit / np.maximum(need, 1e-9) for _, limit, need in rooms], axis=0)
    factor = np.floor(np.minimum(most, formats.grain))
    if factor.min() < 1:
        what, limit, need = max(rooms, key=lambda room: float((room[2] / room[1]).max()))
        raise _too_small(name, float(need.max()), formats, what, limit)
    theta = np.maximum(np.round(factor * scale / quantum), 1).astype(np.int64)
    unit = factor / quantum
    return Integers(_rounded(branches, unit, shape, replace(formats, weight=_ANY)), theta, theta / unit)


def fit_coded_readout(
    name: str,
    branches: tuple[Branch, ...],
    quantum: Array,
    bias: Array,
    shape: Shape,
    formats: Formats,
    step: float | None,
) -> tuple[tuple[Branch, ...], float]:
    """Returns what ``fit_readout`` does, for quanta that are multiples of the largest over the grain."""
    unit = formats.grain / float(quantum.max())
    integer = _rounded(branches, unit * np.ones(shape[2]), shape, replace(formats, weight=_ANY))
    theta = readout_theta(step, 1 / unit, formats)
    held = formats.hold(integer, np.round(bias * unit), theta * np.ones(shape[2], np.int64), shape)
    if not held or theta > formats.theta:
        _, reach, offset = magnitudes(branches, bias, shape)
        raise _too_small(name, float((reach + offset).max() * unit) + theta, formats)
    return integer, 1 / unit


def _shared(
    theta: Array, scale: Array, room: Array, levels: int, weight: int, ceiling: float
) -> tuple[Array, Array]:
    """Returns one threshold for all channels, and scales with which every channel can have it.

    A channel whose own threshold is larger gets coarser weights, and one whose own is smaller a coarser
    scale, or cut weights where the ceiling forbids that: else a channel that hardly ever fires, and needs
    large weights for it, would take the weights of all others. The threshold taken has the least sum of
    both errors, estimated for outputs spread over their range: ``s²/12`` from rounding the output, and
    ``0.1·(s·L/w)²`` from rounding weights whose largest is ``w``; no channel can lose more than its signal,
    ``0.1·(s·L)²``.

    Args:
        theta: ``(c,)`` int64 own thresholds, at least 1.
        scale: ``(c,)`` scales for them.
        room: ``(c,)`` largest thresholds for which bias and membrane fit at these scales.
        levels: L.
        weight: Largest weight.
        ceiling: Largest scale allowed.
    """
    tried = np.unique(np.geomspace(theta.min(), theta.max(), 64).astype(np.int64))
    tried = tried[tried <= max(float((room * np.maximum(ceiling / scale, 1)).min()), theta.min())]
    ratio = tried[:, None] / theta
    rounding = np.square(np.maximum(ratio, 1) / levels) / 12
    weights = 0.1 / np.square(weight * np.minimum(ratio, 1))
    lost = np.square(scale) * np.minimum(rounding + weights, 0.1)
    best = tried[np.argmin(lost.sum(axis=1))]
    coarser = np.minimum(scale * np.maximum(best / theta, 1), ceiling)
    return np.full_like(theta, best), np.maximum(coarser, scale)


def fit_readout(
    name: str,
    branches: tuple[Branch, ...],
    bias: Array,
    shape: Shape,
    formats: Formats,
    *,
    observed: Array,
    step: float | None = None,
) -> tuple[tuple[Branch, ...], float]:
    """Returns a read-out's integer branches and the one scale of its sums, the smallest for which all fits.

    ``step`` is what a unit of its values stands for, where it is read from those: the threshold fits too.
    """
    formats = formats if step is not None else replace(formats, one_event=False)
    peak, reach, offset = magnitudes(branches, bias, shape)
    reach = peak if formats.one_event else reach
    farthest = reach + offset if formats.proved else _MARGIN * np.maximum(observed, offset)
    with np.errstate(divide="ignore"):
        by_weight, by_bias = formats.weight / peak.max(), formats.bias / offset.max()
        unit = min(by_weight, by_bias, formats.membrane / farthest.max())
    unit = unit if np.isfinite(unit) else 1.0
    if step is not None:
        unit = min(unit, formats.theta / step, formats.membrane / (farthest.max() + step))
    one = np.ones(shape[2], np.int64)
    while True:
        integer = _rounded(branches, unit * one, shape, formats)
        theta = readout_theta(step, 1 / unit, formats)
        if theta <= formats.theta and formats.hold(integer, np.round(bias * unit), theta * one, shape):
            return integer, 1 / float(unit)
        unit *= 63 / 64
        if unit * (peak.max() or offset.max()) < 0.5:  # constants have a bias alone
            raise _too_small(name, float(farthest.max() * unit), formats)


def readout_theta(step: float | None, scale: float, formats: Formats) -> int:
    """Returns the threshold with which a unit of a read-out's values stands for about ``step``.

    All outputs have the same, so that they can be compared; 1 where the sums themselves are read.
    """
    return 1 if step is None else int(formats.held_theta(np.array(max(1, round(step / scale)))))


def _rounded(branches: tuple[Branch, ...], unit: Array, shape: Shape, formats: Formats) -> tuple[Branch, ...]:
    result = []
    for branch in branches:
        scaled = scale_targets(branch.kernel, unit, shape)
        weight = np.asarray(scaled.weight, np.float64)
        if weight is branch.kernel.weight:
            weight = weight.copy()
        result.append(replace(branch, kernel=with_weight(scaled, _whole(weight, formats.weight))))
    return tuple(result)


def _whole(weight: Array, largest: int) -> Array:
    """Rounds and clips float64 weights, and returns them as int64 in the same memory.

    A layer may have 100 million weights: the pages of a second array cost more than the rounding.
    """
    flat = np.ascontiguousarray(weight).reshape(-1)
    whole = flat.view(np.int64)
    for first in range(0, len(flat), _AT_A_TIME):
        part = np.round(flat[first : first + _AT_A_TIME])
        whole[first : first + _AT_A_TIME] = np.clip(part, -largest, largest, out=part)
    return whole.reshape(weight.shape)


def _too_small(
    name: str, need: float, formats: Formats, what: str = "state_bits", limit: int | None = None
) -> DoesNotFit:
    """Returns the error for a number that is larger than what a chip holds.

    Args:
        name: The layer.
        need: The magnitude that is needed.
        formats: What the chip holds.
        what: What is too small; bits of a membrane where it is left out.
        limit: The largest magnitude, where it is not that of a membrane.
    """
    most, kept = (formats.membrane, formats.kept) if limit is None else (limit, 0)
    held = (most + kept).bit_length() + 1
    return DoesNotFit(
        layer=name,
        resource=what,
        # Some formats hold not every number of their bits: what they do not hold takes one bit more.
        used=max((math.ceil(need) + kept).bit_length() + 1, held + 1),
        limit=held,
        target=formats.name,
        hint="use fewer levels, fewer weight bits, or a chip with larger membranes or biases",
        words="bits of a membrane (its sign included)" if what == "state_bits" else what,
    )
