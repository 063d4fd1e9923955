"""Sets how far each ADC reaches by what calibration samples make it read now: currents shrink by drift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nmcompiler.session import Calibration, ChipSession

__all__ = ["AdcRange"]

_TRIM = "adc-range"
_ROUNDS = 6


@dataclass(frozen=True)
class AdcRange:
    """``range = (1 + margin) · largest current`` of each tile over the calibration samples.

    A tile whose codes reach the end of their scale may have clipped: its range is doubled, and it is read
    again.

    Attributes:
        largest: Largest code of an ADC.
        margin: Room for samples that bring more current than those for calibration.
    """

    largest: int
    margin: float = 0.1

    @property
    def name(self) -> str:
        """Identifier."""
        return "adc-range"

    def apply(self, session: ChipSession, calibration: Calibration, blocks: Sequence[int]) -> None:
        """Trims one layer; see ``nmcompiler.session.Compensation``."""
        limits = session.ranges[_TRIM]
        open_blocks = list(blocks)
        for _ in range(_ROUNDS):
            peaks = session.measure(calibration.x, open_blocks).peaks
            codes = session.trim[_TRIM].copy()
            clipped = []
            for block, peak in peaks.items():
                mine = session.span(_TRIM, block)
                fitted = np.ceil(codes[mine] * (1 + self.margin) * np.maximum(peak, 1) / self.largest)
                full = peak >= self.largest
                wanted = np.where(full, 2 * codes[mine], fitted).astype(np.int64)
                codes[mine] = np.clip(wanted, limits.lowest, limits.highest)
                if full.any():
                    clipped.append(block)
            session.configure({_TRIM: codes})
            if not clipped:
                return
            open_blocks = clipped
