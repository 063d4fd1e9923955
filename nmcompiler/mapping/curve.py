"""A space-filling curve over a rectangle of any size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nmcompiler.ir.kernels import Array

__all__ = ["hilbert", "snake"]


def hilbert(rows: int, columns: int) -> list[tuple[int, int]]:
    """Returns all (row, column) of a rectangle along a generalised Hilbert curve that starts at (0, 0).

    Steps go to a neighbour, but for one diagonal step where the longer side is odd and the shorter even.
    Where the rectangle is at least as wide as high, the curve ends in row 0 of the last column (or one
    before it), beside the start of the next chip. Method: a rectangle is split into two or three smaller
    ones along its longer side, of even lengths where possible (J. Červený, *gilbert*).
    """
    if columns >= rows:
        return [(y, x) for x, y in _walk(0, 0, columns, 0, 0, rows)]
    return [(y, x) for x, y in _walk(0, 0, 0, rows, columns, 0)]


def snake(rows: int, columns: int, height: int) -> Array:
    """Returns when each cell of a rectangle is visited, ``(rows, columns)`` int64.

    Strip after strip of ``height`` rows, column after column, turning at the ends.
    """
    row, column = np.mgrid[:rows, :columns]
    strip = row // height
    along = np.where(strip % 2 == 0, column, columns - 1 - column)
    high = np.minimum(height, rows - strip * height)
    visited: Array = strip * height * columns + along * high + row % height
    return visited


def _walk(x: int, y: int, ax: int, ay: int, bx: int, by: int) -> Iterator[tuple[int, int]]:
    """Yields the cells of the rectangle at (x, y) with major side (ax, ay) and minor side (bx, by)."""
    width, height = abs(ax + ay), abs(bx + by)
    dax, day, dbx, dby = _sign(ax), _sign(ay), _sign(bx), _sign(by)
    if height == 1 or width == 1:
        step = (dax, day) if height == 1 else (dbx, dby)
        for i in range(max(width, height)):
            yield x + i * step[0], y + i * step[1]
        return
    ax2, ay2, bx2, by2 = _half(ax), _half(ay), _half(bx), _half(by)
    if 2 * width > 3 * height:
        if abs(ax2 + ay2) % 2 and width > 2:
            ax2, ay2 = ax2 + dax, ay2 + day
        yield from _walk(x, y, ax2, ay2, bx, by)
        yield from _walk(x + ax2, y + ay2, ax - ax2, ay - ay2, bx, by)
        return
    if abs(bx2 + by2) % 2 and height > 2:
        bx2, by2 = bx2 + dbx, by2 + dby
    yield from _walk(x, y, bx2, by2, ax2, ay2)
    yield from _walk(x + bx2, y + by2, ax, ay, bx - bx2, by - by2)
    yield from _walk(
        x + (ax - dax) + (bx2 - dbx), y + (ay - day) + (by2 - dby), -bx2, -by2, -(ax - ax2), -(ay - ay2)
    )


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)


def _half(value: int) -> int:
    return value // 2 if value >= 0 else -(-value // 2)
