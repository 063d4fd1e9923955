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
from nmcompiler.ir.kernels import Array
from nmcompiler.passes.rate_arrivals import Events
from nmcompiler.passes.scales import ScaleSearch
from nmcompiler.target.model import USUAL, Dynamics

__all__ = ["RateTuner", "Steps", "whole_lead"]

_GRID_FROM = 0.25  # smallest share of the largest value that T spikes may stand for
_GRID = 12
_UPDATES = 2  # of the bias, once the threshold is chosen
_LEAST_INSIDE = 0.25  # share of outputs that at least count as neither silent nor saturated
_GRID_FROM_BY_EVENT = 0.125  # likewise, of neurons that may send several spikes in one step
# What membranes of neurons that lose something start lower by, in shares of the largest arrivals of a step.
_LEADS = (0.0, -1.0, -0.5, 0.5, 1.0, 2.0, 4.0)
_FLOOR = 1e-3  # a channel's range is at least this share of the largest channel's


@dataclass(frozen=True, eq=False)
class Steps:
    """What a layer's neurons receive at some positions, and how they fire.

    Attributes:
        arrived: ``(T, rows, c)`` float32 real values that arrive in each step, or all events one by one.
        bias: ``(rows, c)`` float32 bias of the whole sample.
        signed: Whether values may be negative.
        takes_back: Whether the chip's spikes carry a sign.
        settle: Steps that a neuron integrates before it may fire.
        dynamics: How the chip's neurons reset and how low they go; a floor is taken for zero, since what it
            is in real values depends on the thresholds.
    """

    arrived: Array | Events
    bias: Array
    signed: bool
    takes_back: bool
    settle: int
    dynamics: Dynamics = USUAL

    def counts(self, scale: Array, shift: Array, lead: Array | float = 0.0) -> Array:
        """Returns ``(rows, c)`` spikes less those taken back, for thresholds ``scale``, ``(c,)`` all.

        ``shift`` is added to the bias, and membranes start ``lead`` higher than at half a threshold.
        Without signed spikes, an on and an off half send the positive and the negative values.
        """
        # The current of the steps of waiting stands in the start, as in ``Rate.neurons``.
        current = (self.bias + shift) / np.float32(self.length + self.settle)
        ahead = np.float32(self.settle) * current
        if self.takes_back or not self.signed:
            mode = 1 if self.signed else 2 if self.takes_back else 0
            return self._fired(1, scale, ahead, current, mode, lead)
        on, off = (self._fired(sign, scale, ahead, current, 0, lead) for sign in (1, -1))
        halves: Array = on - off
        return halves

    @property
    def length(self) -> int:
        """T."""
        return self.arrived.steps if isinstance(self.arrived, Events) else len(self.arrived)

    @property
    def total(self) -> Array:
        """``(rows, c)``: all that arrives in a sample."""
        if isinstance(self.arrived, Events):
            return self.arrived.total + self.bias
        total: Array = self.arrived.sum(axis=0) + self.bias
        return total

    def _fired(
        self, sign: int, scale: Array, ahead: Array, current: Array, mode: int, lead: Array | float
    ) -> Array:
        """Returns the counts of neurons, or with sign −1 of those with all weights turned round."""
        start, current = scale / 2 + lead + sign * ahead, sign * current
        if isinstance(self.arrived, Events):
            return self.arrived.counts(scale, start, current, self.settle, sign, self.dynamics)
        floor = None if self.dynamics.floor is None else 0.0
        zero = self.dynamics.reset == "zero"
        sums = self.arrived if sign > 0 else -self.arrived
        return fire(sums, scale, start, current, mode, self.settle, to_zero=zero, floor=floor)


@dataclass
class _Best:
    """The best scale, shift and lead of each channel so far, ``(c,)`` each."""

    error: Array
    scale: Array
    shift: Array
    lead: Array

    def offer(self, scale: Array, shift: Array, lead: Array, error: Array) -> None:
        better = error < self.error
        self.error[better] = error[better]
        for mine, theirs in ((self.scale, scale), (self.shift, shift), (self.lead, lead)):
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
        channels, steps = self.wanted.shape[1], self.steps.length
        largest = np.abs(self.wanted).max(axis=0).astype(np.float64)
        silent = largest <= _FLOOR * 1e-3 * largest.max(initial=0)
        none = np.zeros(channels, np.float32)
        if silent.all():
            reach = float(np.abs(self.steps.total).max(initial=0)) or 1.0
            return ScaleSearch(np.full(channels, reach / steps), silent)
        widest = np.maximum(largest, _FLOOR * largest.max()).astype(np.float32) / np.float32(steps)
        best = _Best(np.full(channels, np.inf), widest.copy(), none.copy(), none.copy())
        for share in self._leads:
            # From the widest down, each scale takes over the shift that the one before has found.
            lead = np.float32(-share) * widest
            shift = self._try(widest, none, lead, best)
            for part in np.linspace(1, self._smallest, _GRID, dtype=np.float32):
                shift = self._try(part * widest, shift, lead, best)
        self._improve(best)
        scale = best.scale.astype(np.float64)
        scale[silent] = np.median(scale[~silent])
        found, lead = (np.where(silent, 0, x.astype(np.float64)) for x in (best.shift, best.lead))
        return ScaleSearch(scale, silent, found, lead)

    @property
    def _leads(self) -> tuple[float, ...]:
        """What is tried for the start of the membranes: half a threshold alone where nothing is lost.

        An event that comes too early makes a neuron fire in error, and it never makes up for it; a lower
        start keeps it from firing until more has arrived. Membranes that are set to zero lose what they held
        beyond θ, and a higher start gives it back. At a floor nothing of a start is kept.
        """
        dynamics = self.steps.dynamics
        keeps = self.biased and dynamics.floor is None
        return _LEADS if keeps and dynamics != USUAL else _LEADS[:1]

    @property
    def _smallest(self) -> float:
        return _GRID_FROM_BY_EVENT if self.steps.dynamics.compares == "event" else _GRID_FROM

    def shift(self, scale: Array, start: Array | float, lead: Array | float = 0.0) -> Array:
        """Returns ``(c,)`` float64 what to add to the bias for given scales, from a first guess on."""
        scale = scale.astype(np.float32)
        first, held = (np.zeros_like(scale) + np.float32(x) for x in (start, lead))
        best = _Best(np.full(len(scale), np.inf), scale.copy(), first, held)
        self._improve(best)
        return best.shift.astype(np.float64)

    def _improve(self, best: _Best) -> None:
        """Moves the shifts for the best scales, and keeps those that help."""
        scale, shift, lead = best.scale.copy(), best.shift.copy(), best.lead.copy()
        for _ in range(_UPDATES + 1):
            shift = self._try(scale, shift, lead, best)

    def _try(self, scale: Array, shift: Array, lead: Array, best: _Best) -> Array:
        """Offers what is tried to the best; returns the shift that should bring the means together."""
        steps = self.steps
        count = steps.counts(scale, shift, lead)
        error = scale * count.astype(np.float32) - self.wanted
        weighted = self.importance * np.square(error)
        best.offer(scale, shift, lead, weighted.mean(axis=0, dtype=np.float64))
        if not self.biased:
            return shift
        lowest = -steps.length if steps.signed else 0
        inside = ((count > lowest) & (count < steps.length)).mean(axis=0, dtype=np.float32)
        moved: Array = shift - error.mean(axis=0) / np.maximum(inside, np.float32(_LEAST_INSIDE))
        return moved


def whole_lead(lead: Array | float, unit: Array, membrane: int) -> Array:
    """Returns ``(c,)`` int64 starts of membranes beyond half a threshold, at most half of what one holds.

    Args:
        lead: Real starts.
        unit: ``(c,)`` what a unit of the real sums is in whole numbers.
        membrane: Largest membrane.
    """
    whole: Array = np.clip(np.round(lead * unit), -(membrane // 2), membrane // 2).astype(np.int64)
    return whole
