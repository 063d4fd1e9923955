"""What a unit of the outputs stands for, where they are read from spikes: one number for all of them."""

from __future__ import annotations

import numpy as np

from nmcompiler.ir.kernels import Array

__all__ = ["output_step"]

_FROM = 0.15  # smallest share of the largest output that the levels may cover
_GRID = 40
_SPARE = 2.0  # times the least squared error that may be spent on keeping the answer


def output_step(target: Array, values: Array, weight: Array, levels: int) -> float:
    """Returns the step of a quantiser with levels −L to L that serves both values and answers.

    The least squared error alone leaves the largest outputs far apart and the close ones between them tied,
    where a few outputs reach far. So of all steps whose squared error is at most twice the least (3 dB), the
    one is taken that keeps the largest output of most rows; a row in which n outputs tie for the largest
    counts 1/n.

    Args:
        target: ``(rows, c)`` what the outputs should be, from the float path.
        values: ``(rows, c)`` what they are before rounding, on quantised inputs.
        weight: ``(rows,)`` weight of each row's squared error.
        levels: L.
    """
    largest = float(np.abs(target).max(initial=0)) or float(np.abs(values).max(initial=0)) or 1.0
    steps = np.linspace(_FROM, 1, _GRID) * largest / levels
    errors, kept = np.empty(_GRID), np.empty(_GRID)
    wanted = target == target.max(axis=1, keepdims=True)
    for i, step in enumerate(steps):
        q = np.clip(np.floor(values / np.float32(step) + np.float32(0.5)), -levels, levels)
        errors[i] = (weight[:, None] * np.square(target - np.float32(step) * q)).mean(dtype=np.float64)
        found = q == q.max(axis=1, keepdims=True)
        kept[i] = ((found & wanted).sum(axis=1) / found.sum(axis=1)).mean()
    kept[errors > _SPARE * errors.min()] = -1.0
    best = np.flatnonzero(kept == kept.max())
    return float(steps[best[np.argmin(errors[best])]])
