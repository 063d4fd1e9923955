"""Maps a spiking network onto a chip: partition, placement, and the figures of both."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nmcompiler.errors import UsageError
from nmcompiler.ir.cores import Core, CoreGraph, CoreLink, Piece, Traffic, Usage
from nmcompiler.ir.graph import Graph
from nmcompiler.ir.progress import Progress, silent
from nmcompiler.ir.spiking import Spiking
from nmcompiler.mapping.bounds import lower_bound
from nmcompiler.mapping.needs import NetworkNeeds, network_needs
from nmcompiler.mapping.nets import HOST, Nets, nets
from nmcompiler.mapping.pack import OpenCore
from nmcompiler.mapping.partition import OutOfCores, Partition
from nmcompiler.mapping.place import Board, Spot, place, positions
from nmcompiler.mapping.portfolio import best_partition
from nmcompiler.mapping.refusal import out_of_cores, out_of_large_cores
from nmcompiler.mapping.route import capacity_bound, max_link_load, tree_sizes, unicast_cost
from nmcompiler.target.model import RESOURCES, Target

__all__ = ["EFFORTS", "MapOptions", "map_network"]

EFFORTS = {"low": (500, 50_000), "normal": (20_000, 2_000_000), "high": (400_000, 40_000_000)}
"""``MapOptions.moves`` and ``most_moves`` for each name that a user may give."""

_COUNTED = 2  # times the cores of all chips that can be joined: further, a number of cores says nothing more


@dataclass(frozen=True)
class MapOptions:
    """Options of the mapping.

    Attributes:
        chips: Most chips that may be used; None for as many as the target can join. Never more are used
            than are needed.
        seed: Of the random numbers of the placement.
        progress: Told how far the work is.
        moves: Moves that the placement tries for every core, up to ``most_moves`` in all.
        most_moves: Moves that it tries at most.
        place: Whether cores are placed where traffic is least. Without, they lie in order, no links connect
            them and the figures of placement are 0: enough to know how many there are.
    """

    chips: int | None = None
    seed: int = 0
    progress: Progress = silent
    moves: int = EFFORTS["normal"][0]
    most_moves: int = EFFORTS["normal"][1]
    place: bool = True


def map_network(spiking: Spiking, target: Target, traffic: Traffic, options: MapOptions) -> CoreGraph:
    """Returns the placed cores of a network on a chip.

    Args:
        spiking: The network, with schedule and neuron parameters.
        target: The chip.
        traffic: Expected spikes a sample of every population, inputs included.
        options: Chips, seed, progress and effort.

    Raises:
        UsageError: ``options.chips`` is not a number of chips that the target can have.
        DoesNotFit: A neuron of a layer breaks a limit of every kind of core, or the cores are too few.
    """
    most = target.max_chips if options.chips is None else options.chips
    if not 1 <= most <= target.max_chips:
        raise UsageError(
            f"{most} chips", asked="--chips", allowed=f"1 to {target.max_chips} for {target.name}, or auto"
        )
    needs = network_needs(spiking, target, traffic)
    parted, chips = _on_fewest_chips(needs, most, options.progress)
    order = _order(parted)
    cores = [parted.cores[i] for i in order]
    kinds, bound = [core.kind for core in cores], lower_bound(needs, target, most)
    board = Board(target, chips)
    if not options.place:
        placed = board.spots(next(board.starts(kinds)))
        return CoreGraph(_graph(cores, placed, parted.rank), bound, 0.0, 0.0, 0.0, 0.0)
    connections = nets(parted, order, traffic)
    placed = place(
        board,
        kinds,
        connections,
        moves=min(options.moves * len(cores), options.most_moves) if len(cores) > 1 else 0,
        seed=options.seed,
        progress=options.progress,
    )
    return _with_figures(_graph(cores, placed, parted.rank), placed, connections, target, bound)


def _on_fewest_chips(needs: NetworkNeeds, most: int, progress: Progress) -> tuple[Partition, int]:
    """Returns the partition on as few chips as it needs, and their number.

    With one type of core the partition does not depend on how many there are.
    """
    target = needs.target
    if len(target.core_types) == 1:
        try:
            parted = best_partition(needs, _COUNTED * target.max_chips, progress)
        except OutOfCores as error:
            cut = {error.layer: error.pieces}
            raise out_of_cores(cut, error.limit + 1, most, target, counted=False) from error
        chips = max(1, -(-len(parted.cores) // target.cores_per_chip))
        if chips > most:
            cut = {name: math.prod(parts) for name, parts in parted.grids.items()}
            raise out_of_cores(cut, len(parted.cores), most, target)
        return parted, chips
    for chips in range(1, most):
        try:
            return best_partition(needs, chips, progress), chips
        except OutOfCores:
            continue
    try:
        return best_partition(needs, most, progress), most
    except OutOfCores as error:
        raise out_of_large_cores(error.layer, error.limit, most, target) from error


def _order(parted: Partition) -> list[int]:
    """Returns the cores in topological order of their first population, then of its boxes."""
    rank = parted.rank
    return sorted(
        range(len(parted.cores)),
        key=lambda i: min((rank[p.needs.name], p.box) for p in parted.cores[i].pieces),
    )


def _graph(
    cores: Sequence[OpenCore], placed: Sequence[Spot], rank: Mapping[str, int]
) -> Graph[Core, CoreLink]:
    """Returns the cores at their places, not yet connected."""
    graph: Graph[Core, CoreLink] = Graph()
    for index, (core, spot) in enumerate(zip(cores, placed, strict=True)):
        graph.add(_core(index, core, spot, rank))
    return graph


def _with_figures(
    graph: Graph[Core, CoreLink], placed: Sequence[Spot], connections: Nets, target: Target, bound: int
) -> CoreGraph:
    """Connects the cores and adds the figures of partition and placement."""
    source, reached, spikes = connections.pairs()
    between: dict[tuple[int, int], float] = {}
    for a, b, amount in zip(source.tolist(), reached.tolist(), spikes.tolist(), strict=True):
        if a != HOST:
            between[a, b] = between.get((a, b), 0.0) + amount
    for (a, b), amount in sorted(between.items()):
        graph.connect(f"core{a}", f"core{b}", CoreLink(amount))
    at = positions(placed, target)
    return CoreGraph(
        graph,
        lower_bound=bound,
        cost=float(connections.spikes @ tree_sizes(at, connections)),
        unicast_cost=unicast_cost(at, connections),
        placement_bound=capacity_bound(connections, len(placed)),
        max_link_load=max_link_load(at, connections),
    )


def _core(index: int, core: OpenCore, spot: Spot, rank: Mapping[str, int]) -> Core:
    pieces = sorted(core.pieces, key=lambda p: (rank[p.needs.name], p.box))
    usage = tuple(Usage(r, core.used[r], getattr(core.limits, r)) for r in RESOURCES)
    return Core(
        index,
        spot.chip,
        spot.row,
        spot.column,
        spot.kind,
        tuple(Piece(p.needs.name, p.box) for p in pieces),
        usage,
    )
