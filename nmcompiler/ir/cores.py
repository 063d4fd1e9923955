"""The core graph: which neurons sit on which core, and what travels between cores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from nmcompiler.ir.graph import Graph
from nmcompiler.ir.kernels import Array, Shape

__all__ = ["HOST", "Box", "Core", "CoreGraph", "CoreLink", "Piece", "PlacementFigures", "Traffic", "Usage"]


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
class PlacementFigures:
    """What a placement costs a sample, and what any placement of the same cores costs at least.

    Attributes:
        cost: Multicast cost: expected spikes times the links of their route trees.
        cost_bound: Its lower bound.
        unicast_cost: Expected spikes times Manhattan distance, each destination counted on its own.
        unicast_bound: Its lower bound (neighbour capacity).
        max_link_load: Expected spikes on the busiest link.
        max_link_bound: Its lower bound.
        off_chip_spikes: Expected spikes times the links to another chip that they cross.
        spilled_spikes: Expected spikes that the host keeps for a later pass.
    """

    cost: float = 0.0
    cost_bound: float = 0.0
    unicast_cost: float = 0.0
    unicast_bound: float = 0.0
    max_link_load: float = 0.0
    max_link_bound: float = 0.0
    off_chip_spikes: float = 0.0
    spilled_spikes: float = 0.0

    @classmethod
    def together(cls, passes: Sequence[PlacementFigures]) -> PlacementFigures:
        """Returns the figures of several passes: the busiest link is that of any, all else adds up."""

        def figure(key: str) -> float:
            values = [getattr(each, key) for each in passes]
            return max(values, default=0.0) if key.startswith("max_") else sum(values)

        return cls(**{f.name: figure(f.name) for f in fields(cls)})


@dataclass(frozen=True)
class CoreGraph:
    """Placed cores, with the figures of the mapping.

    Attributes:
        graph: Cores, and the expected traffic between them.
        lower_bound: Cores that any partition needs.
        placement: What the placement costs.
    """

    graph: Graph[Core, CoreLink]
    lower_bound: int = 1
    placement: PlacementFigures = PlacementFigures()

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
