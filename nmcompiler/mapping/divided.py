"""A partition whose atoms have been given to cores: they become boxes, which fill new cores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from nmcompiler.ir.cores import Box
from nmcompiler.ir.kernels import Array
from nmcompiler.mapping.atoms import Atoms
from nmcompiler.mapping.needs import PopulationNeeds
from nmcompiler.mapping.pack import OpenCore
from nmcompiler.mapping.partition import OutOfCores, Partition, complete
from nmcompiler.mapping.pieces import BoxCosts
from nmcompiler.mapping.search import Outputs

__all__ = ["Divided", "divided", "rectangles"]


@dataclass(eq=False)
class Divided(Partition):
    """So many cores of the one type that there is, with given boxes of each population.

    Attributes:
        boxes: For each population its boxes on every core.
    """

    boxes: Mapping[str, Sequence[Sequence[Box]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        for _ in next(iter(self.boxes.values()), ()):
            self.cores.append(OpenCore(0, self.target.core_types[0].limits, self.target))

    def add(self, needs: PopulationNeeds) -> None:
        """Puts a population on the cores; its consumers must have been placed.

        Raises:
            OutOfCores: A core has too little room.
        """
        outputs = Outputs(
            self.readers.destinations(needs.name, needs.shape), self.readers.built(needs.name, needs.shape)
        )
        costs, boxes = BoxCosts(needs, outputs), self.boxes[needs.name]
        count = sum(map(len, boxes))
        self.grids[needs.name] = (count, 1, 1)
        for index, core in enumerate(self.cores):
            for box in boxes[index]:
                if not core.add(costs.piece(box)):
                    raise OutOfCores(needs.name, len(self.cores), count)
                self.readers.add(needs, index, box)


def divided(parts: Atoms, owner: Array, cores: int, chips: int | None) -> Divided | None:
    """Returns a partition with atoms on these cores; None where a core has too little room, or nothing to do.

    Args:
        parts: The atoms.
        owner: ``(A,)`` the core of each.
        cores: Number of cores.
        chips: Number of chips, or None for cores without end.
    """
    for joined in (True, False):
        made = Divided(parts.needs, chips, boxes=_boxes(parts, owner, cores, joined=joined))
        if complete(made):
            return made
    return None


def _boxes(parts: Atoms, owner: Array, cores: int, *, joined: bool) -> dict[str, list[list[Box]]]:
    """Returns the boxes of each population on every core.

    Atoms of one pixel that follow one another are joined, unless that makes a core store kernels twice.
    """
    found: dict[str, list[list[Box]]] = {}
    for name in parts.needs.populations:
        numbers = parts.of(name)
        mine, boxes = owner[numbers.start : numbers.stop], parts.boxes[numbers.start : numbers.stop]
        found[name] = [_covered(boxes[mine == core], joined=joined) for core in range(cores)]
    return found


def _covered(boxes: Array, *, joined: bool) -> list[Box]:
    """Returns boxes that together are some atoms, given in their order."""
    y, x, c0, c1 = boxes[:, 0], boxes[:, 2], boxes[:, 4], boxes[:, 5]
    if joined and len(boxes):
        follows = (y[1:] == y[:-1]) & (x[1:] == x[:-1]) & (c0[1:] == c1[:-1])
        starts = np.flatnonzero(np.concatenate([[True], ~follows]))
        ends = np.append(starts[1:], len(boxes)) - 1
        y, x, c0, c1 = y[starts], x[starts], c0[starts], c1[ends]
    pixels: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for row, column, first, last in zip(y.tolist(), x.tolist(), c0.tolist(), c1.tolist(), strict=True):
        pixels.setdefault((first, last), []).append((row, column))
    found = []
    for (first, last), some in pixels.items():
        by_row = [Box(*r, first, last) for r in rectangles(some)]
        turned = [(column, row) for row, column in some]
        by_column = [Box(*r[2:], *r[:2], first, last) for r in rectangles(turned)]
        found += by_row if len(by_row) <= len(by_column) else by_column
    return sorted(found)


def rectangles(pixels: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int, int, int]]:
    """Yields rectangles ``y0, y1, x0, x1`` that together are some pixels ``y, x``, each once.

    Runs of a row that the next row repeats are joined.
    """
    rows: dict[int, list[tuple[int, int]]] = {}
    for y, x in sorted(pixels):
        runs = rows.setdefault(y, [])
        if runs and runs[-1][1] == x:
            runs[-1] = runs[-1][0], x + 1
        else:
            runs.append((x, x + 1))
    begun: dict[tuple[int, int], int] = {}  # runs with their first row
    end = 0
    for y, runs in rows.items():
        for run in [run for run in begun if y != end or run not in runs]:
            yield begun.pop(run), end, *run
        for run in runs:
            begun.setdefault(run, y)
        end = y + 1
    for run, y in begun.items():
        yield y, end, *run
