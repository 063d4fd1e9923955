"""Products of rows, columns and channels: what boxes of a population read and hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nmcompiler.ir.cores import Box
from nmcompiler.ir.kernels import Array, Shape

__all__ = ["Product", "ranges"]


def ranges(begin: Array, end: Array) -> Array:
    """Returns the numbers ``begin[0] … end[0] − 1``, then ``begin[1] … end[1] − 1``, and so on."""
    lengths = end - begin
    before = np.cumsum(lengths) - lengths
    return np.repeat(begin - before, lengths) + np.arange(lengths.sum())


@dataclass(frozen=True, eq=False)
class Product:
    """Neurons of a population: some rows × some columns × a range of channels.

    Attributes:
        rows: ``(h,)`` bool.
        columns: ``(w,)`` bool.
        first: First channel.
        last: One past the last channel; at least ``first``.
    """

    rows: Array
    columns: Array
    first: int
    last: int

    @classmethod
    def of(cls, box: Box, shape: Shape) -> Product:
        """Returns the neurons of a box of a population of this shape."""
        rows, columns = np.zeros(shape[0], bool), np.zeros(shape[1], bool)
        rows[box.y0 : box.y1], columns[box.x0 : box.x1] = True, True
        return cls(rows, columns, box.c0, box.c1)
