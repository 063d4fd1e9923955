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

from nmcompiler.ir.kernels import Array, Shape
from nmcompiler.mapping.product import Product, ranges

__all__ = ["Classes", "classes"]

_MOST_MARKED = 1 << 26  # pairs of a class and a reader, a byte each, that are marked and not listed


@dataclass(frozen=True, eq=False)
class Classes:
    """The neurons of a population; those of a class have the same readers.

    Attributes:
        label: ``(h, w, c)`` int64: class of each neuron.
        start: ``(n + 1,)`` int64: class i has the readers ``readers[start[i] : start[i + 1]]``.
        readers: Numbers of readers, int64 or int32, ascending within a class, each once.
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
    members, of = [], []
    for reader, p in sorted(products, key=lambda read: read[0]):
        first, last = np.searchsorted(bounds, (p.first, p.last)).tolist()
        line = (rows[p.rows.tobytes()][:, None] * nx + columns[p.columns.tobytes()]).astype(np.int32)
        members.append((line[:, :, None] * np.int32(nc) + np.arange(first, last, dtype=np.int32)).reshape(-1))
        of.append(reader)
    label = (row[:, None] * nx + column)[:, :, None] * nc + channel
    of_each = np.repeat(np.array(of, np.int32), [len(some) for some in members])
    return Classes(label, *_sets(_joined(members), of_each, (int(row.max()) + 1) * nx * nc, readers))


def _lines(length: int, masks: Sequence[Array]) -> tuple[Array, dict[bytes, Array]]:
    """Returns the class of each position on an axis, and the classes that make up each mask, by its bytes."""
    distinct = {mask.tobytes(): mask for mask in masks}
    table = np.stack([np.ones(length, bool), *distinct.values()], axis=1)
    _, first, label = np.unique(np.packbits(table, axis=1), axis=0, return_index=True, return_inverse=True)
    return label.reshape(-1), {key: np.flatnonzero(mask[first]) for key, mask in distinct.items()}


def _with_lists(found: Classes, lists: Sequence[tuple[int, Array]], readers: int) -> Classes:
    """Returns the classes where some readers read neurons by their positions as well."""
    label = found.label.reshape(-1)
    of_each = np.repeat([reader for reader, _ in lists], [len(read) for _, read in lists])
    start, listed = _sets(_joined([read for _, read in lists]), of_each, label.size, readers)
    group, _ = _alike(start, listed)
    _, first, both = np.unique(label * (group.max() + 1) + group, return_index=True, return_inverse=True)
    members, of = [], []
    for begins, known, row in ((found.start, found.readers, label[first]), (start, listed, first)):
        begin, end = begins[row], begins[row + 1]
        members.append(np.repeat(np.arange(len(first)), end - begin))
        of.append(known[ranges(begin, end)])
    both = both.reshape(found.label.shape)
    return Classes(both, *_sets(_joined(members), _joined(of), len(first), readers))


def _joined(parts: Sequence[Array]) -> Array:
    return np.concatenate(parts) if parts else np.zeros(0, np.int32)


def _sets(members: Array, of: Array, count: int, readers: int) -> tuple[Array, Array]:
    """Returns ``start`` and ``readers`` of so many classes from pairs of a class and a reader of it.

    A pair may come many times. Readers in ascending order take the least time.
    """
    if count * readers <= _MOST_MARKED:
        marked = np.zeros(count * readers, bool)
        marked[members.astype(np.int64) * readers + of] = True
        member, of = np.divmod(np.flatnonzero(marked), readers)
        return np.concatenate([[0], np.cumsum(np.bincount(member, minlength=count))]), of
    # scipy is imported where there is much to do, not by commands that map little.
    from scipy.sparse import coo_array

    shape, pairs = (count, readers), (members.astype(np.int32, copy=False), of.astype(np.int32, copy=False))
    table = coo_array((np.ones(len(of), bool), pairs), shape=shape).tocsr()  # by counting, not by comparing
    return table.indptr.astype(np.int64), table.indices


def _alike(start: Array, readers: Array) -> tuple[Array, Array]:
    """Returns a number for each class, equal where the readers are, and the first class of each number.

    Sets are told apart by a sum over their members of numbers that look random. Should two sums ever be equal
    and their sets not, the sets themselves are compared.
    """
    each = _mixed(np.arange(readers.max(initial=0) + 1))[readers]
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(each)])
    _, first, group = np.unique(sums[start[1:]] - sums[start[:-1]], return_index=True, return_inverse=True)
    rank, order = np.empty(len(first), np.int64), np.argsort(first)
    rank[order] = np.arange(len(first))
    group, first = rank[group], first[order]
    if _are_equal(start, readers, first[group]):
        return group, first
    data, ends = np.ascontiguousarray(readers, np.int64).tobytes(), (start * 8).tolist()
    numbers: dict[bytes, int] = {}
    compared = [numbers.setdefault(data[a:b], len(numbers)) for a, b in pairwise(ends)]
    return np.array(compared, np.int64), np.unique(compared, return_index=True)[1]


def _mixed(numbers: Array) -> Array:
    """Returns for each number one of 64 bits that looks random, uint64 (SplitMix64, Steele et al. 2014)."""
    z = numbers.astype(np.uint64) + np.uint64(1)
    z *= np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Array = z ^ (z >> np.uint64(31))
    return mixed


def _are_equal(start: Array, readers: Array, like: Array) -> bool:
    """Returns whether every class has the readers of the class ``like`` says."""
    sizes = np.diff(start)
    if (sizes != sizes[like]).any():
        return False
    return np.array_equal(readers[start[0] : start[-1]], readers[ranges(start[like], start[like + 1])])
