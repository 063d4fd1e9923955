"""Distinct numbers of large arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["distinct"]


def distinct(values: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
    """Returns the distinct numbers of an array, ascending, ``(n,)`` int64.

    ``np.unique`` hashes from NumPy 2.3 on: for millions of numbers that takes tens of times as long.
    """
    ordered = np.sort(values, axis=None).astype(np.int64, copy=False)
    if not len(ordered):
        return ordered
    new = np.empty(len(ordered), bool)
    new[0] = True
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    return ordered[new]
