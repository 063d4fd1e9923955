"""Mismatch of analog parameters: equal circuits differ a little, for as long as the chip lives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nmcompiler_backends.mixed_signal.variation.chip import FloatArray

__all__ = ["Mismatch"]


@dataclass(frozen=True)
class Mismatch:
    """A parameter that is off by a factor, drawn once for each circuit of a chip.

    ``p' = p · max(floor, 1 + cv · N(0, 1))``. Source: rockpool's model of DYNAP-SE2 (cv 0.1 by default);
    the floor is ours: without it, wide mismatch gives thresholds below 0 and synapses of the wrong sign.

    Attributes:
        cv: Coefficient of variation: the standard deviation over the mean, at least 0.
        floor: Smallest factor: 0 for weights, whose sign is wired; 0.1 for thresholds, gains and time
            constants, which are never 0.
    """

    cv: float
    floor: float = 0.0

    def factors(self, normals: FloatArray) -> FloatArray:
        """Returns the factor of each circuit, from standard normal numbers."""
        return np.maximum(self.floor, 1.0 + self.cv * normals)

    @classmethod
    def of_weights(cls, cv: float) -> Mismatch:
        """Returns the mismatch of synapses, which keep their sign."""
        return cls(cv, 0.0)

    @classmethod
    def of_parameters(cls, cv: float) -> Mismatch:
        """Returns the mismatch of thresholds, time constants, and gains of read-outs and columns."""
        return cls(cv, 0.1)
