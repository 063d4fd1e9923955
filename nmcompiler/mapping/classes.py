"""Which readers each neuron of a population has, without a mask of all neurons for every reader.

What boxes read are products of rows, columns and channels. All their cut lines together divide a population
into classes of neurons with the same readers: a few for each box, however many neurons there are. Where
lists of synapses read as well, the neurons that they name are looked at one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from nmcompiler.ir.distinct import distinct
from nmcompiler.ir.kernels import Array, Shape
from nmcompiler.mapping.product import Product, ranges

__all__ = ["Classes", "classes"]

_MOST_MARKED = 1 << 26  # pairs of a class and a reader, a byte each, that are marked and not sorted


@dataclass(frozen=True, eq=False)
class Classes:
    """The neurons of a population; those of a class have the same readers.

    Attributes:
        label: ``(h, w, c)`` int64: class of each neuron.
        start: ``(n + 1,)`` int64: class i has the readers ``readers[start[i] : start[i + 1]]``.
        readers: Numbers of readers, int64, ascending within a class, each once.
    """

    label: Array
    start: Array
    readers: Array

    @property
    def counts(self) -> Array:
        """Number of readers of each neuron, ``(h, w, c)`` int64."""
        counts: Array = np.diff(self.start)[self.label]
        return counts

    def merged(self) -> Classes:
        """Returns the same with one class for each set of readers."""
        group, first = _alike(self.start, self.readers)
        begin, end = self.start[first], self.start[first + 1]
        start = np.concatenate([[0], np.cumsum(end - begin)])
        return Classes(group[self.label], start, self.readers[ranges(begin, end)])


def classes(shape: Shape, reads: Iterable[tuple[int, Product | Array]]) -> Classes:
    """Returns the readers of each neuron of a population.

    Args:
        shape: Shape of the population.
        reads: Number of a reader, at least 0, and what it reads: a product, or flat positions of neurons. A
            reader may come many times.
    """
    products: list[tuple[int, Product]] = []
    lists: list[tuple[int, Array]] = []
    for reader, read in reads:
        if isinstance(read, Product):
            products.append((reader, read))
        else:
            lists.append((reader, read))
    readers = 1 + max((reader for reader, _ in (*products, *lists)), default=0)
    found = _of_products(shape, products, readers)
    return _with_lists(found, lists, readers) if lists else found


def _of_products(shape: Shape, products: Sequence[tuple[int, Product]], readers: int) -> Classes:
    """Returns the classes of products alone: the boxes between all their cut lines."""
    row, rows = _lines(shape[0], [p.rows for _, p in products])
    column, columns = _lines(shape[1], [p.columns for _, p in products])
    ends = {0, *(p.first for _, p in products), *(p.last for _, p in products)} - {shape[2]}
    bounds = np.array(sorted(ends), np.int64)
    channel = np.searchsorted(bounds, np.arange(shape[2]), side="right") - 1
    nx, nc = int(column.max()) + 1, len(bounds)
    pairs = []
    for reader, p in products:
        first, last = np.searchsorted(bounds, (p.first, p.last)).tolist()
        line = rows[p.rows.tobytes()][:, None] * nx + columns[p.columns.tobytes()]
        pairs.append(((line[:, :, None] * nc + np.arange(first, last)) * readers + reader).reshape(-1))
    label = (row[:, None] * nx + column)[:, :, None] * nc + channel
    return Classes(label, *_sets(pairs, (int(row.max()) + 1) * nx * nc, readers))


def _lines(length: int, masks: Sequence[Array]) -> tuple[Array, dict[bytes, Array]]:
    """Returns the class of each position on an axis, and the classes that make up each mask, by its bytes."""
    distinct = {mask.tobytes(): mask for mask in masks}
    table = np.stack([np.ones(length, bool), *distinct.values()], axis=1)
    _, first, label = np.unique(np.packbits(table, axis=1), axis=0, return_index=True, return_inverse=True)
    return label.reshape(-1), {key: np.flatnonzero(mask[first]) for key, mask in distinct.items()}


def _with_lists(found: Classes, lists: Sequence[tuple[int, Array]], readers: int) -> Classes:
    """Returns the classes where some readers read neurons by their positions as well."""
    label = found.label.reshape(-1)
    start, listed = _sets([read * readers + reader for reader, read in lists], label.size, readers)
    group, _ = _alike(start, listed)
    _, first, both = np.unique(label * (group.max() + 1) + group, return_index=True, return_inverse=True)
    pairs = []
    for begins, members, row in ((found.start, found.readers, label[first]), (start, listed, first)):
        begin, end = begins[row], begins[row + 1]
        pairs.append(np.repeat(np.arange(len(first)), end - begin) * readers + members[ranges(begin, end)])
    return Classes(both.reshape(found.label.shape), *_sets(pairs, len(first), readers))


def _sets(pairs: Sequence[Array], count: int, readers: int) -> tuple[Array, Array]:
    """Returns ``start`` and ``readers`` of so many classes from numbers ``class · readers + reader``."""
    joined = np.concatenate([np.zeros(0, np.int64), *pairs])
    if count * readers <= _MOST_MARKED:  # marking is many times faster than sorting
        marked = np.zeros(count * readers, bool)
        marked[joined] = True
        joined = np.flatnonzero(marked)
    else:
        joined = distinct(joined)
    of, reader = np.divmod(joined, readers)
    return np.concatenate([[0], np.cumsum(np.bincount(of, minlength=count))]), reader


def _alike(start: Array, readers: Array) -> tuple[Array, Array]:
    """Returns a number for each class, equal where the readers are, and the first class of each number."""
    data, ends = np.ascontiguousarray(readers, np.int64).tobytes(), (start * 8).tolist()
    numbers: dict[bytes, int] = {}
    group = [numbers.setdefault(data[a:b], len(numbers)) for a, b in pairwise(ends)]
    return np.array(group, np.int64), np.unique(group, return_index=True)[1]
