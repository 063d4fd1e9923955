"""Partition: populations are cut into boxes, and the boxes fill cores.

Populations are taken in reverse topological order, so that where a neuron must send is known exactly when
its population is cut: all limits, those of outputs included, hold by construction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from nmcompiler.errors import DoesNotFit
from nmcompiler.ir.cores import HOST, Box
from nmcompiler.ir.kernels import Shape
from nmcompiler.ir.progress import Progress, silent
from nmcompiler.mapping.needs import NetworkNeeds, PopulationNeeds
from nmcompiler.mapping.pack import OpenCore, exceeds
from nmcompiler.mapping.pieces import BoxCosts, Candidate
from nmcompiler.mapping.reach import Cuts, grid_box
from nmcompiler.mapping.readers import Readers
from nmcompiler.mapping.refusal import does_not_fit
from nmcompiler.mapping.search import Outputs, grid_needs, search
from nmcompiler.target.model import Limits, Target

__all__ = ["OutOfCores", "Partition", "TooSpread", "complete", "partition"]

# A piece is tried on this many of the cores with room for it, the latest first: beyond them a fit is rare,
# and those share its sources and consumers.
_CORES_TRIED = 32


class OutOfCores(Exception):
    """The chips have fewer cores than the network needs.

    Args:
        layer: The layer that finds no core.
        limit: Cores that can hold its pieces, of all chips.
        pieces: Pieces into which it is cut.
    """

    def __init__(self, layer: str, limit: int, pieces: int) -> None:
        super().__init__(layer, limit, pieces)
        self.layer = layer
        self.limit = limit
        self.pieces = pieces


class TooSpread(Exception):
    """The consumers of a neuron lie on too many cores.

    Args:
        refusal: The error, should nothing help.
        channel_parts: Parts into which the channels of each population that reads it are cut.
    """

    def __init__(self, refusal: DoesNotFit, channel_parts: Mapping[str, int]) -> None:
        super().__init__(refusal)
        self.refusal = refusal
        self.channel_parts = channel_parts

    def most_cut(self, bounds: Mapping[str, int]) -> tuple[str, int]:
        """Returns the consumer whose channels are cut most, for fewer parts of it may help.

        Raises:
            DoesNotFit: No consumer can be cut less; one that ignored its bound could not keep it.
        """
        choices = [(n, name) for name, n in self.channel_parts.items() if 1 < n <= bounds.get(name, n)]
        if not choices:
            raise self.refusal
        parts, name = max(choices)
        return name, parts


@dataclass(eq=False)
class Partition:
    """Cores filled with pieces.

    Attributes:
        needs: The network.
        chips: Number of chips, or None for cores without end.
        cores: The cores, in the order of opening (last populations first).
        channel_parts: Bounds on the parts into which the channels of a population are cut; a bound that
            no grid keeps is ignored.
        grids: Parts along y, x and c of each population.
        readers: What the pieces read.
    """

    needs: NetworkNeeds
    chips: int | None
    channel_parts: Mapping[str, int] = field(default_factory=dict)
    cores: list[OpenCore] = field(default_factory=list)
    grids: dict[str, Shape] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.readers = Readers(self.target.axon_fan_out)
        stored = () if self.target.weight_sharing else ("synapse_bits",)
        self.remaining = [
            None if self.chips is None else t.count * self.chips for t in self.target.core_types
        ]
        self._sums = ("neurons", "state_bits", "output_axons", *stored)
        self._rooms = np.zeros((len(self._sums), 64), np.int64)
        for needs in self.needs.later:
            self.readers.add(needs, HOST, Box.whole(needs.shape))

    @property
    def target(self) -> Target:
        """The chip."""
        return self.needs.target

    @property
    def rank(self) -> Mapping[str, int]:
        """Topological rank of each population."""
        return {name: i for i, name in enumerate(self.needs.populations)}

    def add(self, needs: PopulationNeeds) -> None:
        """Cuts a population and places its pieces; its consumers must have been placed.

        Raises:
            DoesNotFit: A single neuron breaks a limit on every kind of core.
            TooSpread: The consumers of a neuron lie on too many cores.
            OutOfCores: No core is left.
        """
        outputs = Outputs(
            self.readers.destinations(needs.name, needs.shape), self.readers.built(needs.name, needs.shape)
        )
        cuts = self._cuts(needs, outputs)
        self.grids[needs.name] = _parts(cuts)
        costs = BoxCosts(needs, outputs)
        for position in np.ndindex(*_parts(cuts)):
            piece = costs.piece(grid_box(cuts, position))
            self.readers.add(needs, self._place(piece), piece.box)

    def _cuts(self, needs: PopulationNeeds, outputs: Outputs) -> Cuts:
        """Returns the grid with the fewest boxes for which enough cores are left."""
        bound = self.channel_parts.get(needs.name)
        for channel_parts in dict.fromkeys((bound, None)):
            grids = []
            for core_type in self.target.core_types:
                cuts = search(needs, outputs, core_type.limits, channel_parts)
                if cuts is not None:
                    grids.append(cuts)
            if grids:
                grids.sort(key=_pieces)
                enough = (g for g in grids if self._room(needs, outputs, g) >= _pieces(g))
                return next(enough, grids[0])
        refusal = does_not_fit(needs, outputs, self.target)
        if refusal.resource in ("destinations", "output_axons"):
            consumers = self.needs.spiking.network.graph.successors(needs.name)
            raise TooSpread(refusal, {n: self.grids[n][2] for n in consumers if n in self.grids})
        raise refusal

    @cached_property
    def _by_size(self) -> tuple[int, ...]:
        """Core types, the smallest first."""
        types = self.target.core_types
        return tuple(sorted(range(len(types)), key=lambda k: _capacity(types[k].limits)))

    def _room(self, needs: PopulationNeeds, outputs: Outputs, cuts: Cuts) -> float:
        """Returns the number of unused cores that could each hold any box of a grid."""
        most = {r: int(f(cuts).max()) for r, f in grid_needs(needs, outputs).items()}
        kinds = [k for k, t in enumerate(self.target.core_types) if exceeds(most, t.limits) is None]
        return sum(np.inf if (left := self.remaining[k]) is None else left for k in kinds)

    def _place(self, piece: Candidate) -> int:
        """Puts a piece on a core that has room for it, else on a new one; returns the core's number."""
        for index in self._with_room(piece):
            if self.cores[index].add(piece):
                self._update(index)
                return index
        return self._open(piece)

    def _with_room(self, piece: Candidate) -> list[int]:
        """Returns the latest cores, the last first, that sums which no sharing can lower leave open."""
        room = np.ones(len(self.cores), bool)
        for resource, left in zip(self._sums, self._rooms, strict=True):
            room &= left[: len(self.cores)] >= piece.used[resource]
        latest: list[int] = np.flatnonzero(room)[: -_CORES_TRIED - 1 : -1].tolist()
        return latest

    def _update(self, index: int) -> None:
        if index == self._rooms.shape[1]:
            self._rooms = np.concatenate([self._rooms, np.zeros_like(self._rooms)], axis=1)
        self._rooms[:, index] = [self.cores[index].room(resource) for resource in self._sums]

    def _open(self, piece: Candidate) -> int:
        """Opens a core of the smallest type that holds the piece."""
        types = self.target.core_types
        fitting = [k for k, t in enumerate(types) if exceeds(piece.used, t.limits) is None]
        kinds = [k for k in fitting if self.remaining[k] != 0]
        if not kinds:
            name = piece.needs.name
            count = sum(types[k].count for k in fitting) * (self.chips or 1)
            raise OutOfCores(name, count, math.prod(self.grids[name]))
        kind = min(kinds, key=lambda k: _capacity(types[k].limits))
        left = self.remaining[kind]
        if left is not None:
            self.remaining[kind] = left - 1
        core = OpenCore(kind, types[kind].limits, self.target)
        core.add(piece)
        self.cores.append(core)
        self._update(len(self.cores) - 1)
        return len(self.cores) - 1


def complete(parted: Partition, progress: Progress = silent) -> bool:
    """Adds all populations to a partition; returns whether they fit, and no core is left without any."""
    count = len(parted.needs.populations)
    try:
        for done, population in enumerate(reversed(list(parted.needs.populations.values()))):
            progress("partition", done, count)
            parted.add(population)
    except (DoesNotFit, OutOfCores, TooSpread):
        return False
    for core in parted.cores:
        core.settle()
    progress("partition", count, count)
    return all(core.pieces for core in parted.cores)


def _parts(cuts: Cuts) -> Shape:
    y, x, c = (len(bounds) - 1 for bounds in cuts)
    return y, x, c


def _pieces(cuts: Cuts) -> int:
    return math.prod(_parts(cuts))


def _capacity(limits: Limits) -> tuple[float, ...]:
    """Orders core types by size."""
    amounts = (limits.synapse_bits, limits.neurons, limits.input_axons, limits.output_axons)
    return tuple(float("inf") if amount is None else amount for amount in amounts)


def partition(needs: NetworkNeeds, chips: int | None, progress: Progress = silent) -> Partition:
    """Cuts and packs a network.

    Where a neuron is read on too many cores, the channels of a consumer are cut into fewer parts (its space
    then into more), as long as that can be done.

    Args:
        needs: The network on a chip.
        chips: Number of chips, or None for cores without end.
        progress: Told after each population.

    Raises:
        DoesNotFit: A single neuron of a layer breaks a limit.
        OutOfCores: The chips have fewer cores than are needed.
    """
    channel_parts: dict[str, int] = {}
    while True:
        try:
            return _attempt(needs, chips, channel_parts, progress)
        except TooSpread as spread:
            name, parts = spread.most_cut(channel_parts)
            channel_parts[name] = parts - 1


def _attempt(
    needs: NetworkNeeds, chips: int | None, channel_parts: Mapping[str, int], progress: Progress
) -> Partition:
    result = Partition(needs, chips, dict(channel_parts))
    for done, population in enumerate(reversed(list(needs.populations.values()))):
        progress("partition", done, len(needs.populations))
        result.add(population)
    for core in result.cores:
        core.settle()
    progress("partition", len(needs.populations), len(needs.populations))
    return result
