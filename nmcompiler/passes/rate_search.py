"""Thresholds and biases of a layer in the free-running ``rate`` code, found by simulating it for T steps.

What a neuron sends within T steps depends on the order in which its sources' spikes arrive, and no closed
form says how. So the layer is simulated on the calibration samples' spike trains of the layers before it:
per channel, the threshold is taken for which ``s·count`` comes closest to the wanted activation, and the
bias is moved until both have the same mean. Layer-wise calibration of converted networks on spiking inputs:
Li et al., "A free lunch from ANN: towards efficient, accurate spiking neural networks calibration" (2021);
the start potential θ/2: Bu et al., "Optimal ANN-SNN conversion for high-accuracy and ultra-low-latency
spiking neural networks" (2022); spikes that are taken back: Wang et al., "Signed neuron with memory:
towards simple, accurate and high-efficient ANN-SNN conversion" (2022).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nmcompiler.evaluate.rate import fire
from nmcompiler.evaluate.rate_events import fire_events
from nmcompiler.ir.kernels import Array
from nmcompiler.passes.scales import ScaleSearch
from nmcompiler.target.model import USUAL, Dynamics

__all__ = ["RateTuner", "Steps"]

_GRID_FROM = 0.25  # smallest share of the largest value that T spikes may stand for
_GRID = 12
_UPDATES = 2  # of the bias, once the threshold is chosen
_LEAST_INSIDE = 0.25  # share of outputs that at least count as neither silent nor saturated
_FLOOR = 1e-3  # a channel's range is at least this share of the largest channel's


@dataclass(frozen=True, eq=False)
class Steps:
    """What a layer's neurons receive at some positions, and how they fire.

    Attributes:
        sums: ``(T, rows, c)`` float32 real values that arrive in each step; where every event is compared,
            ``(T, E, rows, c)`` of each event.
        bias: ``(rows, c)`` float32 bias of the whole sample.
        signed: Whether values may be negative.
        takes_back: Whether the chip's spikes carry a sign.
        settle: Steps that a neuron integrates before it may fire.
        dynamics: How the chip's neurons reset and how low they go; a floor is taken for zero, since what it
            is in real values depends on the thresholds.
    """

    sums: Array
    bias: Array
    signed: bool
    takes_back: bool
    settle: int
    dynamics: Dynamics = USUAL

    def counts(self, scale: Array, shift: Array) -> Array:
        """Returns ``(rows, c)`` spikes less those taken back, for thresholds ``scale``, ``(c,)`` both.

        Without signed spikes, an on and an off half send the positive and the negative values.
        """
        # The current of the steps of waiting stands in the start, as in ``Rate.neurons``.
        current = (self.bias + shift) / np.float32(len(self.sums) + self.settle)
        ahead = np.float32(self.settle) * current
        if self.takes_back or not self.signed:
            mode = 1 if self.signed else 2 if self.takes_back else 0
            return self._fired(self.sums, scale, scale / 2 + ahead, current, mode)
        on, off = (
            self._fired(sign * self.sums, scale, scale / 2 + sign * ahead, sign * current, 0)
            for sign in (1, -1)
        )
        halves: Array = on - off
        return halves

    @property
    def total(self) -> Array:
        """``(rows, c)``: all that arrives in a sample."""
        total: Array = self.sums.sum(axis=tuple(range(self.sums.ndim - 2))) + self.bias
        return total

    def _fired(self, sums: Array, scale: Array, start: Array, current: Array, mode: int) -> Array:
        floor = None if self.dynamics.floor is None else 0.0
        zero = self.dynamics.reset == "zero"
        if self.dynamics.compares == "event":
            return fire_events(sums, scale, start, current, wait=self.settle, to_zero=zero, floor=floor)
        return fire(sums, scale, start, current, mode, self.settle, to_zero=zero, floor=floor)


@dataclass
class _Best:
    """The best scale and shift of each channel so far, ``(c,)`` each."""

    error: Array
    scale: Array
    shift: Array

    def offer(self, scale: Array, shift: Array, error: Array) -> None:
        better = error < self.error
        for mine, theirs in ((self.error, error), (self.scale, scale), (self.shift, shift)):
            mine[better] = theirs[better]


@dataclass(frozen=True, eq=False)
class RateTuner:
    """Finds thresholds and biases of one layer.

    Attributes:
        steps: What the layer receives at some positions.
        wanted: ``(rows, c)`` activations of the float path.
        importance: ``(rows, c)`` or ``(rows, 1)``: what the squared error of each activation counts for.
        biased: Whether neurons have a bias that can be moved.
    """

    steps: Steps
    wanted: Array
    importance: Array
    biased: bool = True

    def search(self) -> ScaleSearch:
        """Returns the scale of each channel and the shift of its bias with the least squared error."""
        channels, steps = self.wanted.shape[1], len(self.steps.sums)
        largest = np.abs(self.wanted).max(axis=0).astype(np.float64)
        silent = largest <= _FLOOR * 1e-3 * largest.max(initial=0)
        none = np.zeros(channels, np.float32)
        if silent.all():
            reach = float(np.abs(self.steps.total).max(initial=0)) or 1.0
            return ScaleSearch(np.full(channels, reach / steps), silent)
        widest = np.maximum(largest, _FLOOR * largest.max()).astype(np.float32) / np.float32(steps)
        best = _Best(np.full(channels, np.inf), widest.copy(), none.copy())
        # From the widest down, each scale takes over the shift that the one before has found.
        shift = self._try(widest, none, best)
        for share in np.linspace(1, _GRID_FROM, _GRID, dtype=np.float32):
            shift = self._try(share * widest, shift, best)
        self._improve(best)
        scale = best.scale.astype(np.float64)
        scale[silent] = np.median(scale[~silent])
        return ScaleSearch(scale, silent, np.where(silent, 0, best.shift.astype(np.float64)))

    def shift(self, scale: Array, start: Array | float) -> Array:
        """Returns ``(c,)`` float64 what to add to the bias for given scales, from a first guess on."""
        scale = scale.astype(np.float32)
        best = _Best(np.full(len(scale), np.inf), scale.copy(), np.zeros_like(scale) + np.float32(start))
        self._improve(best)
        return best.shift.astype(np.float64)

    def _improve(self, best: _Best) -> None:
        """Moves the shifts for the best scales, and keeps those that help."""
        scale, shift = best.scale.copy(), best.shift.copy()
        for _ in range(_UPDATES + 1):
            shift = self._try(scale, shift, best)

    def _try(self, scale: Array, shift: Array, best: _Best) -> Array:
        """Offers scale and shift to the best; returns the shift that should bring the means together."""
        steps = self.steps
        count = steps.counts(scale, shift)
        error = scale * count.astype(np.float32) - self.wanted
        weighted = self.importance * np.square(error)
        best.offer(scale, shift, weighted.mean(axis=0, dtype=np.float64))
        if not self.biased:
            return shift
        lowest = -len(steps.sums) if steps.signed else 0
        inside = ((count > lowest) & (count < len(steps.sums))).mean(axis=0, dtype=np.float32)
        moved: Array = shift - error.mean(axis=0) / np.maximum(inside, np.float32(_LEAST_INSIDE))
        return moved
