"""Thresholds of neurons, trimmed until they spike as often as the integer network says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nmcompiler.session import Calibration, ChipSession
from nmcompiler_backends.mixed_signal.compensation.sweep import sweep

__all__ = ["ThresholdTrim"]


@dataclass(frozen=True)
class ThresholdTrim:
    """Every neuron takes the code of its threshold's DAC with which its counts are nearest; see ``sweep``.

    It answers what multiplies all that a neuron receives: its own threshold, and what the mismatch of its
    synapses has in common.
    """

    @property
    def name(self) -> str:
        """Identifier."""
        return "threshold"

    def apply(self, session: ChipSession, calibration: Calibration, blocks: Sequence[int]) -> None:
        """Trims one layer; see ``nmcompiler.session.Compensation``."""
        sweep(session, self.name, calibration, blocks)
