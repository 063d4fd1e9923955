"""A partition in which each population is spread over all cores, so that none waits for another.

In a code with windows the layers fire one after another: cores that hold one layer each are idle in all
windows but one. Here each core holds a share of every population, and shares that talk to each other lie on
one core as far as possible. That needs more synapse memory, for kernels are stored on several cores, and more
input axons; with few cores there often is enough of both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from nmcompiler.ir.cores import HOST, Box
from nmcompiler.ir.kernels import Array, Shape
from nmcompiler.mapping.areas import union_size
from nmcompiler.mapping.needs import PopulationNeeds
from nmcompiler.mapping.pack import OpenCore
from nmcompiler.mapping.partition import OutOfCores, Partition
from nmcompiler.mapping.pieces import BoxCosts, Candidate
from nmcompiler.mapping.product import Product
from nmcompiler.mapping.reach import cut, grid_box
from nmcompiler.mapping.search import Outputs

__all__ = ["Spread"]


@dataclass(eq=False)
class Spread(Partition):
    """So many cores of the one type that there is, with a share of each population.

    Attributes:
        count: Number of cores.
        thrift: Spikes of a sample that synapses which fill all cores are worth.
        even: Shares are not considered where the largest has so many times the synapses of that of the most
            even ones.
    """

    count: int = 1
    thrift: float = 0.0
    even: float = 1.15

    def __post_init__(self) -> None:
        super().__post_init__()
        for _ in range(self.count):
            self.cores.append(OpenCore(0, self.target.core_types[0].limits, self.target))

    def add(self, needs: PopulationNeeds) -> None:
        """Spreads a population; its consumers must have been placed.

        Raises:
            OutOfCores: No shares all fit.
        """
        outputs = Outputs(
            self.readers.destinations(needs.name, needs.shape), self.readers.built(needs.name, needs.shape)
        )
        costs = BoxCosts(needs, outputs)
        ways = [way for shares in _ways(needs.shape, self.count) if (way := self._way(costs, shares))]
        if not ways:
            raise OutOfCores(needs.name, self.count, self.count)
        even = min(way.largest for way in ways) * self.even
        best = min((way for way in ways if way.largest <= even), key=lambda way: way.cost)
        self.grids[needs.name] = (sum(map(len, best.pieces)), 1, 1)
        for pieces, index in zip(best.pieces, best.cores, strict=True):
            for piece in pieces:
                if not self.cores[index].add(piece):
                    raise OutOfCores(needs.name, self.count, self.count)
                self.readers.add(needs, index, piece.box)

    def _way(self, costs: BoxCosts, shares: Sequence[Sequence[Box]]) -> _Way | None:
        """Returns shares of a population with the core of each; None where one fits no core."""
        from scipy.optimize import linear_sum_assignment

        needs = costs.needs
        pieces = [[costs.piece(box) for box in boxes] for boxes in shares]
        fits = np.array([[_fits(core, share) for core in self.cores] for share in pieces])
        if not fits.any(axis=1).all():
            return None
        shared = self._shared(needs, shares)
        share, core = linear_sum_assignment(np.where(fits, -shared, needs.population.size + 1.0))
        if not fits[share, core].all():
            return None
        traffic = -self.needs.rate(needs.name) * float(shared[share, core].sum())
        for some in pieces:
            for key, shape in needs.source_shapes.items():
                areas = tuple(area for piece in some for area in piece.areas[key])
                if areas:
                    traffic += self.needs.rate(key[0]) * union_size(areas, shape, pixels=False)
        bits = sum(piece.synapse_bits for some in pieces for piece in some)
        limit = self.target.core_types[0].limits.synapse_bits or 1
        largest = max(sum(map(_synapses, some)) for some in pieces)
        return _Way(pieces, core.tolist(), largest, traffic + self.thrift * bits / (limit * self.count))

    def _shared(self, needs: PopulationNeeds, shares: Sequence[Sequence[Box]]) -> Array:
        """Returns how many neurons of each share each core reads, at most all, ``(shares, cores)``."""
        found = np.zeros((len(shares), self.count))
        for core, _, read in self.readers.reads(needs.name):
            if core == HOST or not isinstance(read, Product):
                continue
            for k, boxes in enumerate(shares):
                found[k, core] += sum(_common(box, read) for box in boxes)
        size = np.array([sum(box.size for box in boxes) for boxes in shares])
        most: Array = np.minimum(found, size[:, None])
        return most


@dataclass(frozen=True, eq=False)
class _Way:
    """One way to share out a population.

    Attributes:
        pieces: The boxes of each share.
        cores: The core of each share.
        largest: Most synapses of a share.
        cost: Spikes read, less those that stay on a core, and the price of the memory.
    """

    pieces: list[list[Candidate]]
    cores: list[int]
    largest: int
    cost: float


def _fits(core: OpenCore, pieces: Sequence[Candidate]) -> bool:
    if len(pieces) == 1:
        return core.with_piece(pieces[0], core.limits) is not None
    trial = core.copy()
    return all(trial.add(piece) for piece in pieces)


def _common(box: Box, read: Product) -> int:
    rows, columns = read.rows[box.y0 : box.y1].sum(), read.columns[box.x0 : box.x1].sum()
    return int(rows * columns * max(min(box.c1, read.last) - max(box.c0, read.first), 0))


def _synapses(piece: Candidate) -> int:
    return sum(piece.costs.synapses(number, piece.box) for number in range(len(piece.needs.wires)))


def _ways(shape: Shape, count: int) -> Iterator[list[list[Box]]]:
    """Yields ways to share out a shape: grids, and ranges of positions row by row or column by column."""
    for grid in _grids(shape, count):
        cuts = cut(shape, grid)
        yield [[grid_box(cuts, index)] for index in np.ndindex(*grid)]
    height, width, channels = shape
    if count <= height * width and min(height, width) > 1:
        for turned in (False, True):
            rows, columns = (width, height) if turned else (height, width)
            ends = (np.arange(count + 1) * rows * columns // count).tolist()
            yield [
                [_box(*r, *c, channels, turned) for r, c in _range(first, last, columns)]
                for first, last in pairwise(ends)
            ]


def _range(first: int, last: int, width: int) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Yields rows and columns of the boxes that make up positions ``first … last − 1``: three at most."""
    (top, left), (bottom, right) = divmod(first, width), divmod(last, width)
    if top == bottom:
        yield (top, top + 1), (left, right)
        return
    if left:
        yield (top, top + 1), (left, width)
        top += 1
    if top < bottom:
        yield (top, bottom), (0, width)
    if right:
        yield (bottom, bottom + 1), (0, right)


def _box(y0: int, y1: int, x0: int, x1: int, channels: int, turned: bool) -> Box:
    return Box(x0, x1, y0, y1, 0, channels) if turned else Box(y0, y1, x0, x1, 0, channels)


def _grids(shape: Shape, count: int) -> Iterator[Shape]:
    """Yields the grids of ``count`` boxes, or of as many fewer as the shape allows."""
    for boxes in range(count, 0, -1):
        grids = [
            (y, x, boxes // (y * x))
            for y in range(1, min(shape[0], boxes) + 1)
            for x in range(1, min(shape[1], boxes // y) + 1)
            if boxes % (y * x) == 0 and boxes // (y * x) <= shape[2]
        ]
        if grids:
            yield from grids
            return
