"""What the pieces on a core read, without a mask of every source: products of rows, columns and channels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import singledispatch
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from nmcompiler.ir.cores import Box
from nmcompiler.ir.distinct import distinct
from nmcompiler.ir.kernels import Array, Shape
from nmcompiler.mapping.reach import ListReach, ProductReach, Reach, axons

__all__ = ["Area", "ListArea", "ProductArea", "area", "joined", "size", "union_size"]


@dataclass(frozen=True, eq=False)
class ProductArea:
    """The source neurons in some rows, some columns and a range of channels.

    Attributes:
        rows: Bit y says whether row y is one of them: short numbers are compared faster than arrays.
        columns: Likewise.
        first: First channel.
        last: One past the last channel.
        pixels: Number of (row, column) pairs.
    """

    rows: int
    columns: int
    first: int
    last: int
    pixels: int

    def mark(self, mask: Array) -> None:
        """Sets the area in a bool mask of the source."""
        rows, columns = (
            [k for k in range(length) if bits >> k & 1]
            for bits, length in zip((self.rows, self.columns), mask.shape, strict=False)
        )
        mask[np.array(rows)[:, None], np.array(columns), self.first : self.last] = True


@dataclass(frozen=True, eq=False)
class ListArea:
    """Source neurons by flat position, ``(n,)`` int64."""

    positions: Array

    def mark(self, mask: Array) -> None:
        """Sets the area in a bool mask of the source."""
        mask.reshape(-1)[self.positions] = True


Area: TypeAlias = ProductArea | ListArea


@singledispatch
def area(reach: Reach, box: Box) -> Area | None:
    """Returns the source neurons that a box reads through one projection, or None where it reads none."""
    raise TypeError(f"no rule for the area of a {type(reach).__name__}")


@area.register
def _product(reach: ProductReach, box: Box) -> Area | None:
    first, last = reach.channel_range(box.c0, box.c1)
    if first >= last:
        return None
    rows, columns = reach.row_bits(box.y0, box.y1), reach.column_bits(box.x0, box.x1)
    return _product_of(rows, columns, first, last) if rows and columns else None


@area.register
def _list(reach: ListReach, box: Box) -> Area | None:
    _, w, c = reach.target
    lines = [(y * w + x) * c for y in range(box.y0, box.y1) for x in range(box.x0, box.x1)]
    parts = [reach.columns[reach.start[n + box.c0] : reach.start[n + box.c1]] for n in lines]
    positions = distinct(np.concatenate(parts))
    return ListArea(positions) if len(positions) else None


def joined(areas: tuple[Area, ...], new: Iterable[Area]) -> tuple[Area, ...]:
    """Returns areas with those of ``new``; they are the same object where these contain nothing more.

    Two that differ in rows, in columns or in channels alone become one, so that areas stay few.
    """
    for one in new:
        if isinstance(one, ListArea):
            areas = (*areas, one)
            continue
        place, found = _meeting(areas, one)
        if found is None:
            areas = (*areas, one)
        elif found is not areas[place]:
            areas = joined((*areas[:place], *areas[place + 1 :]), [found])
    return areas


def _meeting(areas: tuple[Area, ...], one: ProductArea) -> tuple[int, ProductArea | None]:
    """Returns the place of an area that contains another, and that area; else of one that makes a product.

    The product of both is returned with its place, or None where there is none.
    """
    rows, columns, first, last = one.rows, one.columns, one.first, one.last
    place, found = 0, None
    for k, other in enumerate(areas):
        if isinstance(other, ListArea):
            continue
        more_rows, more_columns = rows & ~other.rows, columns & ~other.columns
        if first >= other.first and last <= other.last and not more_rows and not more_columns:
            return k, other
        if found is not None:
            continue
        if first == other.first and last == other.last:
            if rows == other.rows or columns == other.columns:
                place, found = k, _product_of(rows | other.rows, columns | other.columns, first, last)
        elif rows == other.rows and columns == other.columns and first <= other.last and other.first <= last:
            place, found = k, _product_of(rows, columns, min(first, other.first), max(last, other.last))
    return place, found


def _product_of(rows: int, columns: int, first: int, last: int) -> ProductArea:
    return ProductArea(rows, columns, first, last, rows.bit_count() * columns.bit_count())


def size(one: Area, *, pixels: bool) -> int:
    """Returns the source neurons of an area, or at least as many as its pixels."""
    if isinstance(one, ListArea):
        return len(one.positions)
    return one.pixels * (1 if pixels else one.last - one.first)


def union_size(areas: tuple[Area, ...], shape: Shape, *, pixels: bool) -> int:
    """Returns the number of source neurons, or source pixels, in any of some areas of a source."""
    if len(areas) == 1 and not isinstance(areas[0], ListArea):
        return size(areas[0], pixels=pixels)
    products = [a for a in areas if isinstance(a, ProductArea)]
    if len(products) < len(areas):
        mask = np.zeros(shape, bool)
        for one in areas:
            one.mark(mask)
        return axons(mask, pixels=pixels)
    if pixels:
        return _pixels(products)
    edges = sorted({edge for a in products for edge in (a.first, a.last)})
    if len(edges) == 2:
        return _pixels(products) * (edges[1] - edges[0])
    total, known = 0, dict[tuple[int, ...], int]()
    for first, last in pairwise(edges):
        here = tuple(i for i, a in enumerate(products) if a.first <= first and last <= a.last)
        if here and here not in known:
            known[here] = _pixels([products[i] for i in here])
        total += known.get(here, 0) * (last - first)
    return total


def _pixels(products: list[ProductArea]) -> int:
    """Returns the number of (row, column) pairs in any of some products."""
    if len(products) == 1:
        return products[0].pixels
    if len(products) == 2:
        one, two = products
        common = (one.rows & two.rows).bit_count() * (one.columns & two.columns).bit_count()
        return one.pixels + two.pixels - common
    parts = dict[int, int]()  # for sets of columns the rows in which just these are covered
    for one in products:
        left, divided = one.rows, dict[int, int]()
        for columns, rows in parts.items():
            within, wider = rows & one.rows, columns | one.columns
            left &= ~rows
            if within:
                divided[wider] = divided.get(wider, 0) | within
            if within != rows:
                divided[columns] = divided.get(columns, 0) | rows & ~within
        if left:
            divided[one.columns] = divided.get(one.columns, 0) | left
        parts = divided
    return sum(columns.bit_count() * rows.bit_count() for columns, rows in parts.items())
