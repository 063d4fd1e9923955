"""The core graph: which neurons sit on which core, and what travels between cores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nmcompiler.ir.graph import Graph
from nmcompiler.ir.kernels import Array, Shape

__all__ = ["HOST", "Box", "Core", "CoreGraph", "CoreLink", "Piece", "Traffic", "Usage"]


HOST = -1
"""The number of the host where a core is named: it stands at row 0, column 0 of chip 0."""


@dataclass(frozen=True, order=True)
class Box:
    """A part of a population: rows ``y0 … y1 − 1``, columns ``x0 … x1 − 1``, channels ``c0 … c1 − 1``."""

    y0: int
    y1: int
    x0: int
    x1: int
    c0: int
    c1: int

    @property
    def shape(self) -> Shape:
        """``(height, width, channels)``."""
        return self.y1 - self.y0, self.x1 - self.x0, self.c1 - self.c0

    @property
    def size(self) -> int:
        """Number of neurons."""
        h, w, c = self.shape
        return h * w * c

    @classmethod
    def whole(cls, shape: Shape) -> Box:
        """Returns the box of a whole population."""
        return cls(0, shape[0], 0, shape[1], 0, shape[2])


@dataclass(frozen=True)
class Piece:
    """A box of one population."""

    population: str
    box: Box


@dataclass(frozen=True)
class Usage:
    """How much of one resource a core uses; ``limit`` is None where the chip sets none."""

    resource: str
    used: int
    limit: int | None


@dataclass(frozen=True)
class Core:
    """A core with its place and its pieces, in topological order of their populations.

    Attributes:
        index: Number of the core, from 0; also its order in the program.
        chip: Number of the chip. Chips stand in one row, so the column on the common mesh is
            ``chip · columns + column``.
        row: Row on the chip's mesh.
        column: Column on the chip's mesh.
        core_type: Index into the target's core types.
        pieces: What sits on it.
        usage: Used and limit of every resource of the target's vocabulary.
        turn: The pass over the chips in which it is loaded, from 0. Cores of different passes may stand at
            one place.
    """

    index: int
    chip: int
    row: int
    column: int
    core_type: int
    pieces: tuple[Piece, ...]
    usage: tuple[Usage, ...] = ()
    turn: int = 0

    @property
    def name(self) -> str:
        """Key in the graph."""
        return f"core{self.index}"


@dataclass(frozen=True)
class CoreLink:
    """What travels from one core to another: expected spikes of one sample."""

    spikes: float


@dataclass(frozen=True, eq=False)
class Traffic:
    """Expected spikes of one sample, from calibration.

    Attributes:
        spikes: For each population ``(height, width, channels)`` float64, inputs included.
    """

    spikes: Mapping[str, Array]


@dataclass(frozen=True)
class CoreGraph:
    """Placed cores, with the figures of the mapping.

    Attributes:
        graph: Cores, and the expected traffic between them.
        lower_bound: Cores that any partition needs.
        cost: Multicast cost: expected spikes a sample times the links of their route trees.
        unicast_cost: Expected spikes times Manhattan distance, each destination counted on its own.
        placement_bound: A lower bound of ``unicast_cost`` for this partition (neighbour capacity).
        max_link_load: Expected spikes a sample on the busiest link.
        spilled: Expected spikes a sample that the host keeps for a later pass.
    """

    graph: Graph[Core, CoreLink]
    lower_bound: int
    cost: float
    unicast_cost: float
    placement_bound: float
    max_link_load: float
    spilled: float = 0.0

    @property
    def cores(self) -> tuple[Core, ...]:
        """The cores by index."""
        return tuple(sorted((self.graph.node(n) for n in self.graph.nx.nodes), key=lambda c: c.index))

    @property
    def chips(self) -> int:
        """Number of chips used."""
        return max((c.chip for c in self.cores), default=-1) + 1

    @property
    def turns(self) -> int:
        """Number of passes over the chips."""
        return max((c.turn for c in self.cores), default=0) + 1
