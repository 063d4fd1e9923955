"""Synchronous rate code: q unit spikes, sent only after all inputs have arrived."""

from __future__ import annotations

import numpy as np

from nmcompiler.codings.base import Coding, IntArray, add_arrivals
from nmcompiler.ir.schedule import Slot

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
    keeps = True
    input_encodings = ("spikes",)
    integrate = staticmethod(add_arrivals)

    def steps(self, levels: int) -> int:
        """Returns ``levels``."""
        return levels

    def spikes_per_value(self, levels: int) -> IntArray:
        """Returns q."""
        return np.arange(levels + 1, dtype=np.int64)

    def encode(self, q: IntArray, slot: Slot) -> IntArray:
        """Returns |q| spikes of q's sign in the first |q| steps."""
        j = np.arange(slot.steps).reshape(-1, *(1,) * q.ndim)
        sent: IntArray = np.where(j < np.abs(q)[None], np.sign(q)[None], 0)
        return sent

    @staticmethod
    def fire(
        v: IntArray,
        aux: IntArray,
        out: IntArray,
        theta: IntArray,
        tile: int,
        step: int,
        steps: int,
        levels: int,
        signed: int,
        above: int,
    ) -> None:
        """Sends one spike while the membrane is at or above the threshold."""
        kind, n = v.dtype.type, np.uint64(tile)
        for s in range(np.uint64(v.size) // n):
            membranes, sent = v[s * n : s * n + n], out[s * n : s * n + n]
            for i in range(n):
                x = membranes[i]
                spike = kind(x >= kind(theta[i] + above)) - kind((signed == 1) & (x < above))
                sent[i] = spike
                membranes[i] = kind(x - spike * theta[i])
