"""What a chip's numbers can hold, and whether the sums of a population stay within it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nmcompiler.ir.bounds import sums_of_weights
from nmcompiler.ir.kernels import Array, Kernel, Shape
from nmcompiler.passes.kernel_algebra import largest_weight
from nmcompiler.target.model import Target

__all__ = ["Branch", "Formats", "magnitudes"]

# An off half starts up to one higher than −b, and chips that fire on v > θ start one higher.
_KEPT = 2


@dataclass(frozen=True, eq=False)
class Branch:
    """An in-edge during quantisation.

    Attributes:
        source: Name of the layer that is read.
        kernel: Real weights per unit of the source's integers.
        slot: Operand position.
        levels: Sum of the largest magnitudes of the source's terms.
        signed: Whether the source is signed.
    """

    source: str
    kernel: Kernel
    slot: int
    levels: int
    signed: bool


@dataclass(frozen=True)
class Formats:
    """The largest magnitudes that a chip can hold.

    Attributes:
        weight: Of a weight.
        theta: Of a threshold.
        membrane: Of a membrane.
        mantissa: Of a bias's mantissa; None where biases are limited by the membrane alone: chips without
            a bias of their own start the membrane at it.
        exponent: Largest exponent of a bias.
        per_population: Whether all neurons of a population share one threshold.
        name: The chip, for errors.
        proved: Whether membranes must fit for every input, by the sums of their weights; else for what
            calibration saw, with a margin.
        grain: Where weights are a code times a whole number of the neuron: the largest such number, and
            ``weight`` is that of a code. 0 where a weight is any whole number.
        typed: Types of axons, bits of a typed weight and most axons of a core, on which the formats of a
            layer then depend; empty where a weight is any whole number.
        biased: Whether neurons have a bias at all; where not, none is added to make up for an error.
        one_event: Whether a membrane that fires holds at most one event beyond its threshold: it is compared
            after each, a spike sets it to zero, and a floor keeps it from falling.
    """

    weight: int
    theta: int
    membrane: int
    mantissa: int | None
    exponent: int
    per_population: bool
    name: str
    proved: bool = True
    grain: int = 0
    typed: tuple[int, ...] = ()
    biased: bool = True
    one_event: bool = False

    @classmethod
    def of(
        cls,
        target: Target,
        *,
        weight_bits: int | None = None,
        headroom_bits: int = 0,
        proved: bool = True,
    ) -> Formats:
        """Returns the formats of a chip.

        Args:
            target: The chip.
            weight_bits: Fewer bits than the chip has, sign included.
            headroom_bits: Bits that a code adds to thresholds, biases and membranes.
            proved: Whether membranes must fit for every input.
        """
        bits = min(weight_bits or target.weight_bits, target.weight_bits)
        mantissa = None if target.bias is None else (1 << target.bias.mantissa_bits - 1) - 1
        return cls(
            weight=max((1 << bits - 1) - 1, 1),
            theta=max(((1 << target.threshold.bits) - 1) >> headroom_bits, 1),
            membrane=max((target.membrane_max >> headroom_bits) - _KEPT, 1),
            mantissa=mantissa if mantissa is None else mantissa >> headroom_bits,
            exponent=0 if target.bias is None else target.bias.exponent_max,
            per_population=target.threshold.per == "population",
            name=target.title,
            proved=proved,
            typed=_typed(target),
            biased=target.bias is not None,
            one_event=target.dynamics.forgets_events,
        )

    @property
    def kept(self) -> int:
        """Values of a membrane that its start may take, and that sums must leave."""
        return _KEPT

    @property
    def bias(self) -> int:
        """Largest magnitude of a bias."""
        return self.membrane if self.mantissa is None else self.mantissa << self.exponent

    def round_bias(self, bias: Array) -> Array:
        """Returns the nearest biases that the chip can hold, int64; none is clipped."""
        whole = np.round(bias).astype(np.int64)
        if self.mantissa is None:
            return whole
        unit = np.ones_like(whole)
        for _ in range(self.exponent):
            unit = np.where(np.abs(np.round(bias / unit)) > self.mantissa, unit * 2, unit)
        return np.round(bias / unit).astype(np.int64) * unit

    def held_theta(self, theta: Array) -> Array:
        """Returns thresholds that the chip can use: odd ones where it has no bias.

        The off half of a signed value has the bias ``−b + θ − 1 − 2·⌊θ/2⌋``, which is 0 for b = 0 and odd θ.
        """
        return theta if self.biased else np.maximum(theta - (theta % 2 == 0), 1)

    def hold(self, branches: tuple[Branch, ...], bias: Array, theta: Array, shape: Shape) -> bool:
        """Whether no sum of integer branches, bias and threshold can leave the chip's registers.

        Args:
            branches: In-edges with integer kernels.
            bias: int64, broadcastable to ``shape``.
            theta: ``(c,)`` int64.
            shape: ``(height, width, channels)``.
        """
        reach = self.reach(branches, bias, theta, shape)
        fits = not self.proved or reach.max() <= self.membrane
        return bool(fits and np.abs(bias).max() <= self.bias)

    def reach(self, branches: tuple[Branch, ...], bias: Array, theta: Array, shape: Shape) -> Array:
        """Returns ``(c,)``: how far the membranes of each channel can go, arguments as of ``hold``.

        Where a membrane holds at most one event beyond its threshold, that is how far.
        """
        if self.one_event:
            peaks = [largest_weight(branch.kernel, shape) for branch in branches]
            return _per_channel(np.sum(peaks, axis=0) + np.abs(bias) + theta, shape)
        up, down = np.zeros((1, 1, 1)), np.zeros((1, 1, 1))
        for branch in branches:
            more, less = _sums(branch, shape)
            up, down = up + more, down + less
        return _per_channel(np.maximum(up, down) + np.abs(bias) + theta, shape)


def _typed(target: Target) -> tuple[int, ...]:
    crossbar = target.crossbar
    if crossbar is None:
        return ()
    axons = max(kind.limits.input_axons or 0 for kind in target.core_types)
    return crossbar.axon_types, crossbar.weight_bits, axons


def magnitudes(branches: tuple[Branch, ...], bias: Array, shape: Shape) -> tuple[Array, Array, Array]:
    """Returns per channel the largest weight, the farthest sum, and the largest bias, in real units."""
    peak, up, down = np.zeros(shape[2]), np.zeros((1, 1, 1)), np.zeros((1, 1, 1))
    for branch in branches:
        peak = np.maximum(peak, largest_weight(branch.kernel, shape))
        more, less = _sums(branch, shape)
        up, down = up + more, down + less
    return peak, _per_channel(np.maximum(up, down), shape), _per_channel(np.abs(bias), shape)


def _sums(branch: Branch, shape: Shape) -> tuple[Array, Array]:
    positive, negative = sums_of_weights(branch.kernel, shape)
    if branch.signed:
        positive = negative = positive + negative
    return positive * branch.levels, negative * branch.levels


def _per_channel(value: Array, shape: Shape) -> Array:
    most: Array = np.broadcast_to(value, (*value.shape[:2], shape[2])).max(axis=(0, 1))
    return most
