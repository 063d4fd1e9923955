"""How membranes of outputs are read: a gain of each neuron's own, and an ADC for a block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from nmcompiler_backends.mixed_signal.array.codes import Part
from nmcompiler_backends.mixed_signal.variation import FloatArray

__all__ = ["Adc", "reach"]

Ints: TypeAlias = npt.NDArray[np.int64]

# Standard deviations of a sum of values that are equally likely and independent.
_DEVIATIONS = 4.0


@dataclass(frozen=True)
class Adc:
    """An analog-to-digital converter with codes of ``bits`` bits, symmetric around 0.

    Attributes:
        bits: Bits of a code, the sign included.
        full_scale: The membrane that the largest code stands for, above 0.
    """

    bits: int
    full_scale: float

    @property
    def top(self) -> int:
        """Largest code."""
        return int(2 ** (self.bits - 1)) - 1

    def codes(self, v: FloatArray) -> Ints:
        """Returns the codes of membranes, rounded and clipped."""
        codes: Ints = np.clip(np.rint(v * (self.top / self.full_scale)), -self.top, self.top).astype(np.int64)
        return codes

    def membranes(self, codes: Ints) -> Ints:
        """Returns what codes stand for, in whole units of the program's membranes."""
        read: Ints = np.rint(codes * (self.full_scale / self.top)).astype(np.int64)
        return read

    def clipped(self, v: FloatArray) -> int:
        """Returns how many membranes lie beyond the largest code."""
        return int((np.abs(np.rint(v * (self.top / self.full_scale))) > self.top).sum())


def reach(part: Part, peaks: Ints) -> float:
    """Returns how far the ADC of a block of outputs reaches before anybody calibrates it; at least 1.

    As far as its most demanding output needs, by the program alone: the magnitude of its mean and some
    standard deviations for sources whose values are equally likely up to their largest and independent,
    at most what the largest values can bring.

    Args:
        part: The block, its circuits those of a chip without mismatch.
        peaks: ``(M,)``: the largest value of each neuron of the program.
    """
    mean, square, most = (np.zeros(part.block.n) for _ in range(3))
    row, weight, target = part.rows.synapses
    brought = part.rows.weights[weight] * peaks[part.rows.source[row]].astype(np.float64)
    np.add.at(mean, target, brought / 2)
    np.add.at(square, target, brought**2 / 12)
    np.add.at(most, target, np.abs(brought))
    bias = part.circuits.start + part.block.slot.steps * part.circuits.current
    needed = np.minimum(np.abs(mean + bias) + _DEVIATIONS * np.sqrt(square), most + np.abs(bias))
    return float(max(needed.max(initial=0), 1.0))
