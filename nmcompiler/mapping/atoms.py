"""Atoms: the smallest parts of populations that refinement moves from core to core.

An atom is a range of channels of one pixel. A pixel is one atom, unless a partition divides it over cores or
its population has few pixels. Inputs are divided into pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nmcompiler.ir.cores import Box
from nmcompiler.ir.distinct import distinct
from nmcompiler.ir.kernels import Array, Shape
from nmcompiler.mapping.needs import NetworkNeeds, PopulationNeeds
from nmcompiler.mapping.partition import Partition
from nmcompiler.mapping.product import Product
from nmcompiler.mapping.reach import ProductReach

__all__ = ["Atoms", "TooMany", "atoms"]

_FEW_PIXELS, _PARTS = 16, 64  # populations of fewer pixels are divided into about so many atoms
_MOST_READ = 5_000_000  # pairs of atoms of which one reads the other


class TooMany(Exception):
    """There are more pairs of atoms than can be looked at in a reasonable time."""


@dataclass(frozen=True, eq=False)
class Atoms:
    """The A atoms of a network on C cores, population after population in topological order.

    Attributes:
        needs: The network on a chip.
        first: Number of the first atom of each population.
        labels: ``(h, w, c)`` int64 for each population: the atom of each neuron.
        boxes: ``(A, 6)`` int64: the box of each atom, as the fields of ``Box``.
        owner: ``(A,)`` int64: its core; C for inputs, which the host holds.
    """

    needs: NetworkNeeds
    first: dict[str, int]
    labels: dict[str, Array]
    boxes: Array
    owner: Array

    def __len__(self) -> int:
        """Number of atoms."""
        return len(self.boxes)

    @cached_property
    def population(self) -> Array:
        """Number of the population of each atom, ``(A,)`` int64."""
        ends = np.array([*self.first.values(), len(self)])
        return np.repeat(np.arange(len(self.first)), np.diff(ends))

    @cached_property
    def neurons(self) -> Array:
        """Neurons of each atom, ``(A,)`` int64."""
        size: Array = self.boxes[:, 5] - self.boxes[:, 4]
        return size

    def of(self, name: str) -> range:
        """Returns the numbers of the atoms of a population."""
        names = list(self.first)
        after = names.index(name) + 1
        return range(self.first[name], self.first[names[after]] if after < len(names) else len(self))

    def box(self, atom: int) -> Box:
        """Returns the box of an atom."""
        return Box(*self.boxes[atom].tolist())

    def sums(self, name: str, values: Array) -> Array:
        """Returns for each atom of a population the sum of values of its neurons, ``(h, w, c)``."""
        numbers = self.of(name)
        labels = self.labels[name].reshape(-1) - numbers.start
        each = np.broadcast_to(values, self.labels[name].shape).reshape(-1)
        found: Array = np.bincount(labels, each, len(numbers))
        return found

    @cached_property
    def meetings(self) -> Array:
        """Where atoms of a population meet, ``(V, 4)`` int64: those of all but inputs.

        Four that have channels in common are above left, above right, below left and below right, −1 beyond
        the population. Two of one pixel whose channels follow one another stand above −1 twice.
        """
        found = []
        for name in self.needs.populations:
            label = self.labels[name]
            begins = np.diff(label, axis=2, prepend=-1).any(axis=(0, 1))  # at other channels there is no more
            wide = np.pad(label[:, :, begins], ((1, 1), (1, 1), (0, 0)), constant_values=-1)
            four = np.stack([wide[:-1, :-1], wide[:-1, 1:], wide[1:, :-1], wide[1:, 1:]], axis=-1)
            new = np.diff(four, axis=2, prepend=-2).any(axis=-1)
            found.append(four[new])
            after = np.flatnonzero((np.diff(self.boxes[self.of(name)][:, :4], axis=0) == 0).all(axis=1))
            first = after + self.first[name]
            found.append(np.stack([first, first + 1, *np.full((2, len(first)), -1)], axis=1))
        return np.concatenate(found)

    @cached_property
    def reads(self) -> tuple[Array, Array]:
        """Pairs of atoms, the reading one and the one that it reads, in ascending order, each once.

        Raises:
            TooMany: They are too many.
        """
        readers, read, count = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], 0
        for name, needs in self.needs.populations.items():
            known: dict[bytes, Array] = {}  # what dense neurons read is the same for all
            for atom in self.of(name):
                found = _of_atom(needs, self.box(atom), self.labels, known)
                count += len(found)
                if count > _MOST_READ:
                    raise TooMany
                readers.append(np.full(len(found), atom))
                read.append(found)
        return np.concatenate(readers), np.concatenate(read)


def _of_atom(needs: PopulationNeeds, box: Box, labels: dict[str, Array], known: dict[bytes, Array]) -> Array:
    """Returns the atoms that one reads, in ascending order."""
    parts = []
    for number, wire in enumerate(needs.wires):
        label, area = labels[wire.key[0]], wire.reach.read(box)
        if not isinstance(area, Product):
            parts.append(distinct(label.reshape(-1)[area]))
            continue
        key = b"%d %d %d" % (number, area.first, area.last) + area.rows.tobytes() + area.columns.tobytes()
        if key not in known:
            rows, columns = np.flatnonzero(area.rows)[:, None], np.flatnonzero(area.columns)
            known[key] = distinct(label[rows, columns, area.first : area.last])
        parts.append(known[key])
    if len(parts) == 1:
        return parts[0]
    return distinct(np.concatenate([np.zeros(0, np.int64), *parts]))


def atoms(parted: Partition, order: Sequence[int]) -> Atoms:
    """Returns the atoms of a partition; core k is ``order[k]`` of it."""
    owners = {p.name: np.full(p.shape, len(order), np.int64) for p in parted.needs.sources}
    for k, core in enumerate(order):
        for piece in parted.cores[core].pieces:
            b = piece.box
            owners[piece.needs.name][b.y0 : b.y1, b.x0 : b.x1, b.c0 : b.c1] = k
    starts = {
        name: _starts(owned, divided=name in parted.needs.populations) for name, owned in owners.items()
    }
    for needs in reversed(list(parted.needs.populations.values())):
        _divide_sources(needs, starts)
    first, labels, boxes, owner, count = {}, {}, [], [], 0
    for name, owned in owners.items():
        begins = starts[name].reshape(-1)
        first[name], labels[name] = count, count - 1 + np.cumsum(begins).reshape(owned.shape)
        boxes.append(_boxes(begins, owned.shape))
        owner.append(owned.reshape(-1)[begins])
        count += len(owner[-1])
    return Atoms(parted.needs, first, labels, np.concatenate(boxes), np.concatenate(owner))


def _divide_sources(needs: PopulationNeeds, starts: dict[str, Array]) -> None:
    """Divides the sources of a population so that each of its atoms reads atoms as a whole.

    Only where its channels read some channels each, as in a depthwise convolution.
    """
    mine = starts[needs.name]
    for wire in needs.wires:
        read, source = wire.reach, starts[wire.key[0]]
        if not isinstance(read, ProductReach):
            continue
        for c in np.flatnonzero(mine.any(axis=(0, 1))).tolist():
            for channel in (read.first[c], read.last[c - 1] if c else 0):
                if 0 < channel < source.shape[2]:
                    source[:, :, channel] |= (read.rows.T @ mine[:, :, c] @ read.columns) > 0


def _starts(owned: Array, *, divided: bool) -> Array:
    """Returns the neurons with which atoms begin, ``(h, w, c)`` bool."""
    h, w, c = owned.shape
    starts = np.zeros(owned.shape, bool)
    starts[:, :, 1:] = owned[:, :, 1:] != owned[:, :, :-1]
    parts = min(c, -(-_PARTS // (h * w))) if divided and h * w < _FEW_PIXELS else 1
    starts[:, :, np.arange(parts) * c // parts] = True
    return starts


def _boxes(starts: Array, shape: Shape) -> Array:
    """Returns the boxes of the atoms of a population, ``(n, 6)``."""
    _, w, c = shape
    begin = np.flatnonzero(starts)
    pixel, c0 = np.divmod(begin, c)
    c1 = c0 + np.diff(begin, append=len(starts))
    y, x = np.divmod(pixel, w)
    return np.stack([y, y + 1, x, x + 1, c0, c1], axis=1)
