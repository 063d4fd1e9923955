"""Maps a spiking network onto a chip: partition, placement, and the figures of both."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from nmcompiler.errors import DoesNotFit, UsageError
from nmcompiler.ir.cores import HOST, Core, CoreGraph, CoreLink, Piece, PlacementFigures, Traffic, Usage
from nmcompiler.ir.graph import Graph
from nmcompiler.ir.progress import Progress, silent
from nmcompiler.ir.spiking import Spiking
from nmcompiler.mapping.bounds import lower_bound
from nmcompiler.mapping.link_times import link_times
from nmcompiler.mapping.needs import NetworkNeeds, network_needs
from nmcompiler.mapping.nets import Nets, nets
from nmcompiler.mapping.pack import OpenCore
from nmcompiler.mapping.partition import OutOfCores, Partition, partition
from nmcompiler.mapping.place import Board, Spot, place, positions
from nmcompiler.mapping.placement_bounds import placement_bounds
from nmcompiler.mapping.portfolio import best, best_to_refine, candidates, is_special
from nmcompiler.mapping.refine import MOST_ATOMS, MOST_CORES, Places, refined, rounds
from nmcompiler.mapping.refusal import out_of_cores, out_of_large_cores
from nmcompiler.mapping.route import Positions, max_link_load, off_chip_spikes, tree_sizes, unicast_cost
from nmcompiler.mapping.turns import Load, in_order, loads
from nmcompiler.mapping.work import core_ns, core_work, duration
from nmcompiler.target.model import RESOURCES, Target

__all__ = ["EFFORTS", "Effort", "MapOptions", "map_network"]


class Effort(NamedTuple):
    """How much work the mapping may be: see the attributes of ``MapOptions`` of the same names."""

    moves: int
    visits: int
    search: bool = True
    atom_moves: int = 0


EFFORTS = {
    "low": Effort(500, 10_000_000, search=False),
    "normal": Effort(5_000, 50_000_000, atom_moves=400),
    "high": Effort(100_000, 1_000_000_000, atom_moves=2_000),
}
"""The effort of each name that a user may give."""

_FEW = 20  # fewer cores are placed with the moves of so many
_COUNTED = 2  # times the cores of all chips that can be joined: further, a number of cores says nothing more


@dataclass(frozen=True)
class MapOptions:
    """Options of the mapping.

    Attributes:
        chips: Most chips that may be used; None for as many as the target can join. Never more are used
            than are needed.
        passes: Most passes over these chips, each with other weights; None for as many as are needed. One
            is taken where it is enough.
        seed: Of the random numbers of the placement.
        progress: Told how far the work is.
        moves: Moves that the placement tries for every core, as long as ``visits`` last; those of 20 cores
            where there are fewer.
        visits: Most destinations that it looks at: a move looks at all destinations of the nets of a core.
        atom_moves: Moves that a refinement of the partition tries for every atom; 0 for none. They end sooner
            where ``visits`` do not last.
        place: Whether cores are placed where traffic is least. Without, they lie in order, no links connect
            them and the figures of placement are 0: enough to know how many there are.
    """

    chips: int | None = None
    passes: int | None = 1
    seed: int = 0
    progress: Progress = silent
    moves: int = EFFORTS["normal"].moves
    visits: int = EFFORTS["normal"].visits
    place: bool = True
    search: bool = True
    atom_moves: int = EFFORTS["normal"].atom_moves


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
    if options.passes is not None and options.passes < 1:
        raise UsageError(f"{options.passes} passes", asked="--passes", allowed="1 or more, or auto")
    needs = network_needs(spiking, target, traffic)
    to_refine = _refines(needs, options)
    loaded, found = _loads(needs, most, traffic, options, to_refine=to_refine)
    rank = {name: i for i, name in enumerate(needs.populations)}
    graph: Graph[Core, CoreLink] = Graph()
    figures = []
    for turn, load in enumerate(loaded):
        first, board = len(graph), Board(target, load.chips)
        connections, placed = _connected_and_placed(load, board, traffic, options)
        if connections is not None and found and to_refine:
            better = _refined(load, board, connections, placed, traffic, options)
            if better is not None:
                load, connections, placed = better
            else:  # it was taken to be refined, and is not the best as it is
                parted = best(found)
                load = replace(load, parted=parted, order=tuple(in_order(parted)))
                connections, placed = _connected_and_placed(load, board, traffic, options)
        for core, spot in zip(load.cores, placed, strict=True):
            graph.add(_core(len(graph), core, spot, rank, turn))
        if connections is not None:
            _connect(graph, first, connections)
            figures.append(_figures(board, positions(placed, target), len(placed), connections))
    bound = lower_bound(needs, target, most * len(loaded))
    return CoreGraph(graph, bound, PlacementFigures.together(figures))


def _loads(
    needs: NetworkNeeds, most: int, traffic: Traffic, options: MapOptions, *, to_refine: bool
) -> tuple[list[Load], list[Partition]]:
    """Returns what is loaded in each pass: everything in one where that can be done.

    Then the partitions are returned as well of which one is loaded.
    """
    try:
        found, chips = _on_fewest_chips(needs, most, options, to_refine=to_refine)
    except DoesNotFit:
        if options.passes == 1:
            raise
        return loads(needs, most, options.passes, traffic, options.progress), []
    parted = best_to_refine(found) if to_refine else best(found)
    return [Load(parted, tuple(in_order(parted)), chips)], found


def _on_fewest_chips(
    needs: NetworkNeeds, most: int, options: MapOptions, *, to_refine: bool
) -> tuple[list[Partition], int]:
    """Returns partitions on as few chips as are needed, and their number.

    With one type of core a partition does not depend on how many there are.
    """
    target, progress = needs.target, options.progress

    def made(chips: int) -> list[Partition]:
        if options.search:
            return candidates(needs, chips, progress, to_refine=to_refine)
        return [partition(needs, chips, progress)]

    if len(target.core_types) == 1:
        try:
            found = made(_COUNTED * target.max_chips)
        except OutOfCores as error:
            cut = {error.layer: error.pieces}
            raise out_of_cores(cut, error.limit + 1, most, target, counted=False) from error
        cores = len(found[0].cores)
        chips = max(1, -(-cores // target.cores_per_chip))
        if chips > most:
            cut = {name: math.prod(parts) for name, parts in best(found).grids.items()}
            raise out_of_cores(cut, cores, most, target)
        return found, chips
    for chips in range(1, most):
        try:
            return made(chips), chips
        except OutOfCores:
            continue
    try:
        return made(most), most
    except OutOfCores as error:
        raise out_of_large_cores(error.layer, error.limit, most, target) from error


def _connected_and_placed(
    load: Load, board: Board, traffic: Traffic, options: MapOptions
) -> tuple[Nets | None, list[Spot]]:
    """Returns what travels between the cores of a load, where that is asked for, and where they stand."""
    connections = nets(load.parted, load.order, traffic) if options.place else None
    return connections, _placed(load, board, connections, traffic, options)


def _placed(
    load: Load,
    board: Board,
    connections: Nets | None,
    traffic: Traffic,
    options: MapOptions,
    start: Sequence[Spot] | None = None,
) -> list[Spot]:
    """Returns the positions of the cores of a load, in order where nothing says what travels."""
    kinds = [core.kind for core in load.cores]
    if connections is None:
        return board.spots(next(board.starts(kinds)))
    busy = core_ns(load.parted, core_work(load.parted, load.order, traffic))
    return place(
        board,
        kinds,
        connections,
        moves=_moves(len(kinds), connections, options),
        seed=options.seed,
        times=link_times(board.target, busy, connections),
        start=start,
        progress=options.progress,
    )


def _refines(needs: NetworkNeeds, options: MapOptions) -> bool:
    """Returns whether neurons are divided anew over placed cores, where these are not too many."""
    if not options.place or options.atom_moves == 0 or is_special(needs.target):
        return False
    pixels = sum(p.shape[0] * p.shape[1] for p in needs.spiking.network.graph)  # each at least one atom
    return pixels <= MOST_ATOMS and lower_bound(needs, needs.target, needs.target.max_chips) <= MOST_CORES


def _refined(
    load: Load, board: Board, connections: Nets, placed: list[Spot], traffic: Traffic, options: MapOptions
) -> tuple[Load, Nets, list[Spot]] | None:
    """Returns cores with neurons divided anew, what travels between them, and where they stand.

    None where nothing better was found than what there is.
    """
    before, longest = load, duration(load.parted, core_work(load.parted, load.order, traffic))
    for aim in rounds(board.target):
        at = positions(placed, board.target)
        parted = refined(
            load.parted,
            load.order,
            Places(at.row, board.along[at.column]),
            traffic,
            moves=options.atom_moves,
            visits=options.visits,
            seed=options.seed,
            aim=aim,
            longest=longest,
        )
        if parted is None:
            break
        order = in_order(parted)
        there, found = [placed[k] for k in order], nets(parted, order, traffic)
        if _cost(found, positions(there, board.target)) > aim.worst * _cost(connections, at):
            break  # where only some channels of an atom are read, it is known only now what travels
        load, connections = Load(parted, tuple(order), load.chips), found
        placed = _placed(load, board, connections, traffic, options, there)
    return None if load is before else (load, connections, placed)


def _cost(connections: Nets, at: Positions) -> float:
    return float(connections.spikes @ tree_sizes(at, connections))


def _moves(cores: int, connections: Nets, options: MapOptions) -> int:
    if cores < 2:
        return 0
    ends = connections.degrees + 1.0
    visits = max(float(ends @ ends) / cores, 1.0)  # of a move: each end of a net meets all of them
    return min(options.moves * max(cores, _FEW), int(options.visits / visits))


def _connect(graph: Graph[Core, CoreLink], first: int, connections: Nets) -> None:
    """Connects the cores of a load, the first of which has the number ``first``."""
    source, reached, spikes = connections.pairs()
    between: dict[tuple[int, int], float] = {}
    for a, b, amount in zip(source.tolist(), reached.tolist(), spikes.tolist(), strict=True):
        if HOST not in (a, b):
            between[a, b] = between.get((a, b), 0.0) + amount
    for (a, b), amount in sorted(between.items()):
        graph.connect(f"core{first + a}", f"core{first + b}", CoreLink(amount))


def _figures(board: Board, at: Positions, cores: int, connections: Nets) -> PlacementFigures:
    """Returns what the placement of one load costs."""
    bounds = placement_bounds(connections, cores, *board.at.shape)
    kept = np.repeat(connections.spikes, connections.degrees)[connections.cores == HOST]
    return PlacementFigures(
        cost=_cost(connections, at),
        cost_bound=bounds.cost,
        unicast_cost=unicast_cost(at, connections),
        unicast_bound=bounds.unicast_cost,
        max_link_load=max_link_load(at, connections),
        max_link_bound=bounds.max_link_load,
        off_chip_spikes=off_chip_spikes(at, connections, board.target.mesh.columns),
        spilled_spikes=float(kept.sum()),
    )


def _core(index: int, core: OpenCore, spot: Spot, rank: Mapping[str, int], turn: int) -> Core:
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
        turn,
    )
