"""Time-to-first-spike code: a value is sent as the time of one spike, the earlier the larger."""

from __future__ import annotations

import numpy as np

from nmcompiler.codings.base import Coding, IntArray
from nmcompiler.ir.schedule import Slot

__all__ = ["Ttfs"]


class Ttfs(Coding):
    """L steps, one spike where q ≠ 0; a spike m steps before the end of its window stands for m.

    Equations (SEMANTICS §2), with arrivals A(t), membrane v, slope u, threshold θ::

        every step          u ← u + A(t);  v ← v + u
        start of a window   u ← 0, after v has taken it once more
        step j of L         the first spike if v ≥ θ·(L − j)

    A signed neuron sends −1 at the first step with −v + θ − 1 ≥ θ·(L − j). Firing leaves v as it is.
    """

    name = "ttfs"
    title = "one spike, the earlier the larger the value"
    exact = True
    windowed = True
    keeps = True
    registers = 2
    input_encodings = ("spikes",)

    def steps(self, levels: int) -> int:
        """Returns ``levels``."""
        return levels

    def spikes_per_value(self, levels: int) -> IntArray:
        """Returns 1 where q is not 0."""
        return np.minimum(np.arange(levels + 1, dtype=np.int64), 1)

    def encode(self, q: IntArray, slot: Slot) -> IntArray:
        """Returns one spike of q's sign, |q| steps before the end."""
        left = slot.steps - np.arange(slot.steps).reshape(-1, *(1,) * q.ndim)
        sent: IntArray = np.where(left == np.abs(q)[None], np.sign(q)[None], 0)
        return sent

    def decode(self, sent: IntArray, slot: Slot) -> IntArray:
        """Returns Σ sent · (L − j)."""
        value: IntArray = np.tensordot(np.arange(slot.steps, 0, -1, dtype=np.int64), sent, axes=1)
        return value

    @staticmethod
    def integrate(
        arrivals: IntArray,
        v: IntArray,
        dendrite: IntArray,
        current: IntArray,
        tile: int,
        active: int,
        boundary: int,
        minimum: int,
        maximum: int,
    ) -> int:
        """``dendrite`` is the slope: what has arrived in this window joins the membrane in every step."""
        kind = v.dtype.type
        low, high, clipped = kind(minimum), kind(maximum), kind(0)
        for k in range(np.uint64(v.size)):
            slope = kind(dendrite[k] + arrivals[k])
            u = min(max(slope, low), high)
            x = kind(v[k] + u)
            v[k] = min(max(x, low), high)
            clipped = kind(clipped + kind(u != slope))
            clipped = kind(clipped + kind(v[k] != x))
            dendrite[k] = 0 if boundary else u
        return int(clipped)

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
        """Sends the only spike of a neuron; ``aux`` is 1 once it has."""
        left, kind, n = steps - step, v.dtype.type, np.uint64(tile)
        for s in range(np.uint64(v.size) // n):
            for i in range(n):
                k = s * n + i
                up = v[k] >= kind(theta[i] * left + above)
                down = signed == 1 and v[k] < kind(above - theta[i] * (left - 1))
                sends = 1 if up else (-1 if down else 0)
                out[k] = sends if aux[k] == 0 else 0
                aux[k] = 1 if up or down else aux[k]
