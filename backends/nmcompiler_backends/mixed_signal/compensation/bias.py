"""Biases of neurons, trimmed until they spike as often as the integer network says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nmcompiler.session import Calibration, ChipSession
from nmcompiler_backends.mixed_signal.compensation.sweep import sweep

__all__ = ["BiasTrim"]


@dataclass(frozen=True)
class BiasTrim:
    """Every neuron takes the code of its bias's DAC with which its counts are nearest; see ``sweep``.

    It answers what the mismatch of synapses adds to a neuron on average: few synapses, whose errors do not
    average out, leave a threshold no code that is right for small and large sums alike.
    """

    @property
    def name(self) -> str:
        """Identifier."""
        return "bias"

    def apply(self, session: ChipSession, calibration: Calibration, blocks: Sequence[int]) -> None:
        """Trims one layer; see ``nmcompiler.session.Compensation``."""
        sweep(session, self.name, calibration, blocks)
