"""Random samples in place of calibration data: limits follow from shapes and formats, hardly from values."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nmcompiler.ir.kernels import Array
from nmcompiler.ir.layers import Model

__all__ = ["StandIns"]

_COUNT = 4
_MOST_MACS = 400_000_000  # that all samples together may take


class StandIns:
    """A few random samples for every input of one model, and what is known of its layers on them.

    Attributes:
        samples: ``(N, *shape)`` float32 by name of the input, from 0 to ``largest``.
        sums: The layers' sums on them by name, filled by the first quantisation for those that follow.

    Args:
        model: The model.
        largest: Largest value of an input.
    """

    def __init__(self, model: Model, largest: float = 1.0) -> None:
        rng = np.random.default_rng(0)
        count = max(1, min(_COUNT, _MOST_MACS // max(model.macs, 1)))
        self.samples: Mapping[str, Array] = {
            port.name: np.float32(largest) * rng.random((count, *port.shape), np.float32)
            for port in model.inputs
        }
        self.sums: dict[str, Array] = {}
