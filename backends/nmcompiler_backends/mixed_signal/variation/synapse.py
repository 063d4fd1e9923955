"""Synapses whose weights are digital codes: what equal codes bring, and how equal sums are read, differs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from nmcompiler_backends.mixed_signal.variation.chip import FloatArray, Normals
from nmcompiler_backends.mixed_signal.variation.mismatch import Mismatch

__all__ = ["SynapseDevice"]


@dataclass(frozen=True)
class SynapseDevice:
    """A synapse circuit and the read-out of its column; a part that is None does not vary.

    A code x brings the current ``x · f``, f drawn once for each synapse; the sum of a tile's column is read
    as ``g · Σ``, g drawn once for each column of each tile. Both are ``Mismatch``: a code of 0 brings
    nothing, and nothing changes with time.

    Attributes:
        weight: Of the currents of synapses.
        gain: Of the gains of columns.
    """

    weight: Mismatch | None
    gain: Mismatch | None

    @classmethod
    def of(cls, weight_cv: float | None, gain_cv: float | None) -> SynapseDevice:
        """Returns synapses with coefficients of variation; a part with none, or with 0, does not vary."""
        return cls(
            Mismatch.of_weights(weight_cv) if weight_cv else None,
            Mismatch.of_parameters(gain_cv) if gain_cv else None,
        )

    @property
    def sources(self) -> tuple[str, ...]:
        """What varies."""
        parts = {"weight": self.weight, "gain": self.gain}
        return tuple(name for name, part in parts.items() if part is not None)

    def only(self, sources: Collection[str]) -> SynapseDevice:
        """Returns synapses in which nothing but these varies."""
        return SynapseDevice(
            self.weight if "weight" in sources else None, self.gain if "gain" in sources else None
        )

    def check(self, time_s: float) -> None:
        """Accepts any time: codes stay what they are."""

    def conductances(self, x: FloatArray, time_s: float, normals: Normals) -> FloatArray:
        """Returns the currents, over the largest one, of codes x, over the largest; see ``PcmDevice``."""
        return x if self.weight is None else x * self.weight.factors(normals("weight"))

    def gains(self, shape: tuple[int, ...], normals: Normals) -> FloatArray:
        """Returns by what the sums of columns are multiplied where they are read."""
        return np.ones(shape) if self.gain is None else self.gain.factors(normals("gain"))
