"""Filling cores with one population: every core takes as much of it as it has room for.

A population is cut into slabs; along one axis each core takes as many slices of a slab as fit, of the next
slice a part along the second axis, and of what follows a part along the third. Boxes are then not equal, and
what one population leaves of a core the next one fills.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from nmcompiler.ir.cores import Box
from nmcompiler.ir.kernels import Shape
from nmcompiler.mapping.pack import OpenCore
from nmcompiler.mapping.pieces import BoxCosts, Candidate
from nmcompiler.mapping.reach import cut, grid_box
from nmcompiler.target.model import Limits

__all__ = ["Filling", "Plan", "plans"]


_WASTE = 1.2  # times its share of what the population stores, a part of a slice may store


@dataclass(frozen=True)
class Plan:
    """How a population is cut.

    Attributes:
        slabs: Slabs along y, x and c; one along the first axis.
        axes: The axes (0: y, 1: x, 2: c) in the order in which they are cut.
        depth: How many of them are.
    """

    slabs: Shape
    axes: tuple[int, int, int]
    depth: int


def plans(parts: Shape, depth: int, *, pixels: bool = False) -> Iterable[Plan]:
    """Yields plans whose pieces are about those of a grid of ``parts``.

    With ``pixels`` they cut channels first only where the grid cuts them.
    """
    for first, others in ((2, (0, 1)), (1, (0, 2)), (0, (1, 2))):
        if parts[first] == 1 and max(parts) > 1:
            continue
        if pixels and first == 2 and parts[2] == 1:
            continue
        slabs = [1 if axis == first else n for axis, n in enumerate(parts)]
        yield Plan((slabs[0], slabs[1], slabs[2]), (first, *others), depth)


@dataclass(eq=False)
class Filling:
    """A population being filled into copies of cores.

    Attributes:
        costs: Costs of its boxes.
        plan: How it is cut.
        limits: What of each type of core it may use.
        fewest_bits: Bits of synapses that the population stores at least.
        cores: Copies of the cores that took a part, by number.
        pieces: What each took.
    """

    costs: BoxCosts
    plan: Plan
    limits: tuple[Limits, ...]
    fewest_bits: int
    cores: dict[int, OpenCore] = field(default_factory=dict)
    pieces: dict[int, list[Candidate]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = self.costs.needs.shape
        cuts = cut(shape, self.plan.slabs)
        slabs = [grid_box(cuts, index) for index in np.ndindex(*(len(bounds) - 1 for bounds in cuts))]
        self.pending = slabs[::-1]

    def fill(self, number: int, core: OpenCore) -> int:
        """Lets a core take what it has room for; returns how many neurons."""
        copy, taken = core.copy(), list[Candidate]()
        while self.pending:
            box = self.pending.pop()
            rest = self._take(copy, box, 0, taken)
            self.pending += rest[::-1]
            if rest:
                break
        if taken:
            self.cores[number] = copy
            self.pieces[number] = taken
        return sum(piece.box.size for piece in taken)

    def _take(self, core: OpenCore, box: Box, level: int, taken: list[Candidate]) -> list[Box]:
        """Adds to a core the largest part of a box that it has room for; returns what remains, in order."""
        axis = self.plan.axes[level]
        piece = self._prefix(core, box, axis)
        if piece is not None and (level == 0 or self._worthwhile(core, piece)):
            core.add(piece)
            taken.append(piece)
            box = _after(box, axis, _ends(piece.box, axis)[1])
        if not box.size:
            return []
        if level + 1 == self.plan.depth:
            return [box]
        first = _ends(box, axis)[0]
        count = len(taken)
        rest = self._take(core, _until(box, axis, first + 1), level + 1, taken)
        if len(taken) == count:
            return [box]
        behind = _after(box, axis, first + 1)
        return [*rest, behind] if behind.size else rest

    def _worthwhile(self, core: OpenCore, piece: Candidate) -> bool:
        """Returns whether a part of a slice stores little for its neurons, or for all that must be stored."""
        limits = self.limits[core.kind]
        if limits.synapse_bits is None:
            return True
        bits = core.more_synapse_bits(piece)
        if (
            limits.neurons is not None
            and bits * limits.neurons <= piece.sums["neurons"] * limits.synapse_bits
        ):
            return True
        return bits * self.costs.needs.population.size <= _WASTE * self.fewest_bits * piece.box.size

    def _prefix(self, core: OpenCore, box: Box, axis: int) -> Candidate | None:
        """Returns the longest first part of a box along an axis that a core has room for."""
        first, end = _ends(box, axis)
        limits = self.limits[core.kind]
        slice_size = box.size // (end - first) * self.costs.needs.target.compartments_per_neuron
        low, high = 0, end - first
        if limits.neurons is not None:
            high = min(high, (limits.neurons - core.used["neurons"]) // slice_size)
        best, middle = None, high
        while low < high:
            piece = self.costs.piece(_until(box, axis, first + middle))
            if core.with_piece(piece, limits) is None:
                high = middle - 1
            else:
                best, low = piece, middle
            middle = (low + high + 1) // 2
        return best


def _ends(box: Box, axis: int) -> tuple[int, int]:
    return ((box.y0, box.y1), (box.x0, box.x1), (box.c0, box.c1))[axis]


def _until(box: Box, axis: int, end: int) -> Box:
    ends = [box.y1, box.x1, box.c1]
    ends[axis] = end
    return Box(box.y0, ends[0], box.x0, ends[1], box.c0, ends[2])


def _after(box: Box, axis: int, first: int) -> Box:
    starts = [box.y0, box.x0, box.c0]
    starts[axis] = first
    return Box(starts[0], box.y1, starts[1], box.x1, starts[2], box.c1)
