"""A digital gain and offset for every read-out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nmcompiler.session import Calibration, ChipSession
from nmcompiler_backends.mixed_signal.compensation.affine import fit_lines, set_lines
from nmcompiler_backends.mixed_signal.compensation.neurons import levels_of, parameters

__all__ = ["OutputAffine"]


@dataclass(frozen=True)
class OutputAffine:
    """Least squares of the golden results on what read-outs read, over all samples."""

    @property
    def name(self) -> str:
        """Identifier."""
        return "output"

    def apply(self, session: ChipSession, calibration: Calibration, blocks: Sequence[int]) -> None:
        """Trims one layer; see ``nmcompiler.session.Compensation``."""
        outputs = [b for b in blocks if levels_of(session.program, b).highest == 0]
        if not outputs:
            return
        sums = session.measure(calibration.x, outputs).adc
        for block in outputs:
            read = sums[block] if sums[block].ndim == 2 else sums[block].sum(axis=1)
            start = parameters(session.program, block)[1]
            wanted = calibration.membranes[block] - start
            set_lines(session, block, *fit_lines(read, wanted, np.ones(read.shape, bool)))
