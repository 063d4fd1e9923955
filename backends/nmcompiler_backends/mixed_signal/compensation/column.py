"""A digital gain and offset for every column of a hidden layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nmcompiler.session import Calibration, ChipSession
from nmcompiler.sim.result import Int64Array
from nmcompiler_backends.mixed_signal.compensation.affine import fit_lines, set_lines
from nmcompiler_backends.mixed_signal.compensation.neurons import levels_of, parameters

__all__ = ["ColumnAffine"]


@dataclass(frozen=True)
class ColumnAffine:
    """Least squares of the golden membranes on what the column reads, where it matters.

    A sample counts where golden or read membrane lies above −1 level (or one below the lowest value) and
    either lies below L + 1: beyond, the neuron is silent or saturated, whatever the current. Golden
    membranes are clipped to that window.
    """

    @property
    def name(self) -> str:
        """Identifier."""
        return "column"

    def apply(self, session: ChipSession, calibration: Calibration, blocks: Sequence[int]) -> None:
        """Trims one layer; see ``nmcompiler.session.Compensation``."""
        hidden = [b for b in blocks if levels_of(session.program, b).highest > 0]
        if not hidden:
            return
        sums = session.measure(calibration.x, hidden).adc
        for block in hidden:
            if block in sums:
                _trim(session, calibration, block, sums[block].sum(axis=1))


def _trim(session: ChipSession, calibration: Calibration, block: int, read: Int64Array) -> None:
    theta, start = parameters(session.program, block)
    levels = levels_of(session.program, block)
    low, high = (levels.lowest - 1) * theta, (levels.highest + 1) * theta
    wanted = calibration.membranes[block]
    used = (np.maximum(start + read, wanted) > low) & (np.minimum(start + read, wanted) < high)
    # In levels: the prior of the gains then weighs all columns alike.
    gain, offset = fit_lines(read / theta, (np.clip(wanted, low, high) - start) / theta, used)
    set_lines(session, block, gain, offset * theta)
