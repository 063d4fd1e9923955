"""What the pieces on a core read, without a mask of every source: products of rows, columns and channels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import singledispatch
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from nmcompiler.ir.cores import Box
from nmcompiler.ir.kernels import Array, Shape
from nmcompiler.mapping.reach import ListReach, ProductReach, Reach, axons

__all__ = ["Area", "ListArea", "ProductArea", "area", "joined", "size", "union_size"]


@dataclass(frozen=True, eq=False)
class ProductArea:
    """The source neurons in some rows, some columns and a range of channels.

    Attributes:
        rows: ``(source h,)`` bool.
        columns: ``(source w,)`` bool.
        first: First channel.
        last: One past the last channel.
        pixels: Number of (row, column) pairs.
    """

    rows: Array
    columns: Array
    first: int
    last: int
    pixels: int

    def mark(self, mask: Array) -> None:
        """Sets the area in a bool mask of the source."""
        mask[np.flatnonzero(self.rows)[:, None], np.flatnonzero(self.columns), self.first : self.last] = True


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
    first, last = int(reach.first[box.c0 : box.c1].min()), int(reach.last[box.c0 : box.c1].max())
    rows: Array = np.any(reach.rows[box.y0 : box.y1], axis=0)
    columns: Array = np.any(reach.columns[box.x0 : box.x1], axis=0)
    pixels = int(np.count_nonzero(rows)) * int(np.count_nonzero(columns))
    return ProductArea(rows, columns, first, last, pixels) if pixels and first < last else None


@area.register
def _list(reach: ListReach, box: Box) -> Area | None:
    _, w, c = reach.target
    lines = [(y * w + x) * c for y in range(box.y0, box.y1) for x in range(box.x0, box.x1)]
    parts = [reach.columns[reach.start[n + box.c0] : reach.start[n + box.c1]] for n in lines]
    positions = np.unique(np.concatenate(parts))
    return ListArea(positions) if len(positions) else None


def joined(areas: tuple[Area, ...], new: Iterable[Area]) -> tuple[Area, ...]:
    """Returns areas with those of ``new`` that none of them contains."""
    for one in new:
        if not any(_contains(other, one) for other in areas):
            areas = (*areas, one)
    return areas


def size(one: Area, *, pixels: bool) -> int:
    """Returns the source neurons of an area, or at least as many as its pixels."""
    if isinstance(one, ListArea):
        return len(one.positions)
    return one.pixels * (1 if pixels else one.last - one.first)


def _contains(outer: Area, inner: Area) -> bool:
    if isinstance(outer, ListArea) or isinstance(inner, ListArea):
        return False
    return (
        outer.first <= inner.first
        and inner.last <= outer.last
        and outer.pixels >= inner.pixels
        and not bool((inner.rows & ~outer.rows).any())
        and not bool((inner.columns & ~outer.columns).any())
    )


def union_size(areas: tuple[Area, ...], shape: Shape, *, pixels: bool) -> int:
    """Returns the number of source neurons, or source pixels, in any of some areas of a source."""
    products = [a for a in areas if isinstance(a, ProductArea)]
    if len(products) < len(areas):
        mask = np.zeros(shape, bool)
        for one in areas:
            one.mark(mask)
        return axons(mask, pixels=pixels)
    if len(products) == 1:
        return products[0].pixels * (1 if pixels else products[0].last - products[0].first)
    if pixels:
        return _pixels(products)
    edges = sorted({edge for a in products for edge in (a.first, a.last)})
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
        rows, columns = np.count_nonzero(one.rows & two.rows), np.count_nonzero(one.columns & two.columns)
        return one.pixels + two.pixels - int(rows) * int(columns)
    mask = products[0].rows[:, None] & products[0].columns
    for one in products[1:]:
        mask |= one.rows[:, None] & one.columns
    return int(np.count_nonzero(mask))
