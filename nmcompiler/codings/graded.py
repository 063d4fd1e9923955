"""Graded code: one event carries the value itself, and on a stream only what has changed."""

from __future__ import annotations

import numpy as np

from nmcompiler.codings.base import Coding, IntArray, add_arrivals
from nmcompiler.ir.schedule import Slot

__all__ = ["Graded"]


class Graded(Coding):
    """One step, one event where q ≠ 0.

    Equations (SEMANTICS §2), with arrivals A(t) = Σ w · value, membrane v, threshold θ, last value a::

        every step          v ← v + A(t)
        the step of firing  q = clip(⌊v / θ⌋, lowest, L);  send q − a where it is not 0;  a ← q

    A sample starts with a = 0, so that q itself is sent. Firing leaves v as it is. On a stream of frames v
    and a stay as the frame before left them: sources send what changed, so v is again its start plus Σ w · q.
    """

    name = "graded"
    title = "one event that carries the value"
    exact = True
    windowed = True
    keeps = True
    streams = True
    divides = True
    input_encodings = ("graded",)
    integrate = staticmethod(add_arrivals)

    def steps(self, levels: int) -> int:
        """Returns 1."""
        return 1

    def payload_bits(self, levels: int, signed: bool, *, changes: bool = False) -> int:
        """Returns the bits of the largest value, or change of a value, and of its sign where it has one."""
        if changes:
            return (2 * levels if signed else levels).bit_length() + 1
        return levels.bit_length() + int(signed)

    def spikes_per_value(self, levels: int) -> IntArray:
        """Returns 1 where q is not 0."""
        return np.minimum(np.arange(levels + 1, dtype=np.int64), 1)

    def encode(self, q: IntArray, slot: Slot) -> IntArray:
        """Returns q in the first step."""
        first = np.arange(slot.steps).reshape(-1, *(1,) * q.ndim) == 0
        sent: IntArray = np.where(first, q[None], 0)
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
        """Sends the change of the value; ``aux`` holds the value as sent so far."""
        lowest, kind, n = np.float64(-levels if signed == 1 else 0), v.dtype.type, np.uint64(tile)
        highest = np.float64(levels)
        for s in range(np.uint64(v.size) // n):
            for i in range(n):
                k = s * n + i
                # Exact: a quotient of whole numbers below 2^52 rounds up to a whole number only if it is one.
                q = kind(min(max(np.floor(kind(v[k] - kind(above)) / theta[i]), lowest), highest))
                out[k] = kind(q - aux[k])
                aux[k] = q
