"""Phase code: a value is sent as its binary digits, most significant first."""

from __future__ import annotations

import numpy as np

from nmcompiler.codings.base import Coding, IntArray
from nmcompiler.ir.schedule import Slot

__all__ = ["Phase"]


class Phase(Coding):
    """``⌈log2(L + 1)⌉`` steps, popcount(q) spikes; a spike k steps before the end weighs 2^(k − 1).

    Equations (SEMANTICS §2), with arrivals A(t), membrane v, dendrite D, threshold θ, B steps::

        every step          D ← 2·D + A(t)
        start of a window   v ← v + D;  D ← 0
        before firing       v ← min(v, (L + 1)·θ − 1)
        step j of B         spike if v ≥ 2^(B−1−j)·θ, then v ← v − 2^(B−1−j)·θ

    A signed neuron with v < 0 sends the digits of ⌈−v/θ⌉ with a minus sign: it fires on
    ``min(−v + θ − 1, (L + 1)·θ − 1)``. v itself is never doubled.
    """

    name = "phase"
    title = "binary digits of the value, most significant first"
    exact = True
    windowed = True
    keeps = True
    registers = 2
    input_encodings = ("spikes",)

    def steps(self, levels: int) -> int:
        """Returns ⌈log2(levels + 1)⌉."""
        return int(levels).bit_length()

    def spikes_per_value(self, levels: int) -> IntArray:
        """Returns popcount(q)."""
        return np.bitwise_count(np.arange(levels + 1)).astype(np.int64)

    def encode(self, q: IntArray, slot: Slot) -> IntArray:
        """Returns the digits, most significant first, with the sign of q."""
        shifts = np.arange(slot.steps - 1, -1, -1).reshape(-1, *(1,) * q.ndim)
        sent: IntArray = (np.abs(q)[None] >> shifts & 1) * np.sign(q)[None]
        return sent

    def decode(self, sent: IntArray, slot: Slot) -> IntArray:
        """Returns Σ sent · 2^(B − 1 − j)."""
        weights = 2 ** np.arange(slot.steps - 1, -1, -1, dtype=np.int64)
        value: IntArray = np.tensordot(weights, sent, axes=1)
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
        """The dendrite doubles every step and joins the membrane at the start of a window."""
        kind = v.dtype.type
        low, high, clipped = kind(minimum), kind(maximum), kind(0)
        for k in range(np.uint64(v.size)):
            sent = kind(2 * dendrite[k] + arrivals[k])
            dendrite[k] = min(max(sent, low), high)
            clipped = kind(clipped + kind(dendrite[k] != sent))
        if boundary:
            for k in range(np.uint64(v.size)):
                x = kind(v[k] + dendrite[k])
                v[k] = min(max(x, low), high)
                clipped = kind(clipped + kind(v[k] != x))
                dendrite[k] = 0
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
        """Sends one binary digit; ``aux`` holds the sign with which a neuron fires."""
        kind, n = v.dtype.type, np.uint64(tile)
        for s in range(np.uint64(v.size) // n):
            if step == 0:
                for i in range(n):
                    k, th = s * n + i, theta[i]
                    turned = signed == 1 and v[k] < above
                    aux[k] = -1 if turned else 1
                    x = kind(th - 1 + 2 * above - v[k]) if turned else v[k]
                    v[k] = min(x, kind((levels + 1) * th - 1 + above))
            mine = slice(s * n, s * n + n)
            membranes, sign, sent = v[mine], aux[mine], out[mine]
            one = kind(1)
            for _ in range(steps - 1 - step):  # a shift of 32 bits would be made one of 64
                one = kind(one + one)
            for i in range(n):
                digit = kind(theta[i] * one)
                spike = kind(membranes[i] >= kind(digit + kind(above)))
                membranes[i] = kind(membranes[i] - spike * digit)
                sent[i] = kind(spike * sign[i])
