"""Synchronous rate code: q unit spikes, sent only after all inputs have arrived."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nmcompiler.codings.base import Coding, IntArray, StepFunction, windowed_schedule
from nmcompiler.ir.network import Network
from nmcompiler.ir.schedule import Schedule, Slot

__all__ = ["RateSync"]


class RateSync(Coding):
    """L steps, q spikes.

    Equations (SEMANTICS §2)::

        every step          v ← v + A(t)
        each step of L      spike if v ≥ θ, then v ← v − θ

    A signed neuron sends −1 while v < 0, and v ← v + θ. Never outside these steps.
    """

    name = "rate-sync"
    title = "q unit spikes in a window of its own"
    exact = True
    windowed = True
    input_encodings = ("spikes",)

    def steps(self, levels: int) -> int:
        """Returns ``levels``."""
        return levels

    def schedule(self, network: Network, *, timesteps: int | None = None) -> Schedule:
        """Returns the windowed schedule; ``timesteps`` does not apply."""
        return windowed_schedule(self, network)

    def spikes_per_value(self, levels: int) -> IntArray:
        """Returns q."""
        return np.arange(levels + 1, dtype=np.int64)

    def encode(self, q: IntArray, slot: Slot) -> IntArray:
        """Returns |q| spikes of q's sign in the first |q| steps."""
        j = np.arange(slot.steps).reshape(-1, *(1,) * q.ndim)
        sent: IntArray = np.where(j < np.abs(q)[None], np.sign(q)[None], 0)
        return sent

    def decode(self, sent: IntArray, slot: Slot) -> IntArray:
        """Returns the sum of the spikes."""
        value: IntArray = sent.sum(axis=0)
        return value

    @property
    def integrate(self) -> StepFunction:
        """See the equations."""
        return integrate

    @property
    def fire(self) -> StepFunction:
        """See the equations."""
        return fire


def integrate(
    arrivals: npt.NDArray[Any],
    v: npt.NDArray[Any],
    dendrite: npt.NDArray[Any],
    current: npt.NDArray[Any],
    tile: int,
    active: int,
    boundary: int,
    minimum: int,
    maximum: int,
) -> int:
    """Every arrival joins the membrane."""
    saturations = 0
    for i in range(v.size):
        x = v[i] + arrivals[i]
        if x > maximum or x < minimum:
            x = min(max(x, minimum), maximum)
            saturations += 1
        v[i] = x
    return saturations


def fire(
    v: npt.NDArray[Any],
    aux: npt.NDArray[Any],
    out: npt.NDArray[Any],
    theta: npt.NDArray[Any],
    tile: int,
    step: int,
    steps: int,
    levels: int,
    signed: int,
    above: int,
) -> None:
    """Sends one spike while the membrane is at or above the threshold."""
    for i in range(v.size):
        th = theta[i % tile]
        out[i] = 0
        if v[i] >= th + above:
            v[i] -= th
            out[i] = 1
        elif signed and v[i] < above:
            v[i] += th
            out[i] = -1
