"""A network neuron by neuron, on any cores: what travels, what every core has to do, what it would need.

A mapper of this package cuts populations into boxes; others may put any neuron anywhere. So that all are
judged alike, everything here is counted from single synapses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nmcompiler.ir.cores import CoreGraph
from nmcompiler.ir.kernels import Array, Conv
from nmcompiler.ir.spiking import Spiking
from nmcompiler.mapping.nets import HOST, Nets
from nmcompiler.mapping.reach import reach
from nmcompiler.mapping.route import Positions, tree_sizes
from nmcompiler.program.expand import expand
from nmcompiler.report.workload import Workload
from nmcompiler.sim.routes import Tree, route_tree
from nmcompiler.target.model import Limits, Target

__all__ = [
    "NeuronGraph",
    "kept_alone",
    "most_needed",
    "neuron_graph",
    "owners",
    "traffic",
    "what_travels",
    "work",
]


@dataclass(frozen=True, eq=False)
class NeuronGraph:
    """All n neurons, inputs included, population after population, and their E synapses.

    Attributes:
        spiking: The network.
        first: Number of the first neuron of each population, in topological order.
        source: ``(E,)`` int32.
        target: ``(E,)`` int32.
        is_input: ``(n,)`` bool.
        slots: ``(K, 2)`` int64: first step and number of steps in which neurons fire.
        slot: ``(n,)`` int64: of each neuron.
    """

    spiking: Spiking
    first: Mapping[str, int]
    source: Array
    target: Array
    is_input: Array
    slots: Array
    slot: Array

    @cached_property
    def bounds(self) -> Array:
        """Number of the first neuron of each population, and of all, ``(populations + 1,)`` int64."""
        return np.array([*self.first.values(), len(self.is_input)], np.int64)

    @cached_property
    def population(self) -> Array:
        """Number of the population of each neuron, ``(n,)`` int64."""
        return np.repeat(np.arange(len(self.first)), np.diff(self.bounds))

    def flat(self, values: Mapping[str, Array]) -> Array:
        """Returns values of populations, ``(height, width, channels)`` each, neuron by neuron."""
        shapes = {p.name: p.shape for p in self.spiking.network.graph}
        return np.concatenate([np.broadcast_to(values[k], shapes[k]).reshape(-1) for k in self.first])


def neuron_graph(spiking: Spiking) -> NeuronGraph:
    """Returns the neurons and synapses of a network; a synapse of weight 0 is one."""
    graph = spiking.network.graph
    populations = list(graph)
    ends = np.cumsum([0, *(p.size for p in populations)]).tolist()
    first = {p.name: end for p, end in zip(populations, ends, strict=False)}
    sources, targets = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
    for p in populations:
        for edge in graph.in_edges(p.name):
            shape = graph.node(edge.source).shape
            target, source, _ = expand(edge.payload.kernel, shape, p.shape, np.arange(p.size))
            sources.append((source + first[edge.source]).astype(np.int32))
            targets.append((target + first[p.name]).astype(np.int32))
    fires = [spiking.schedule.slots[p.name] for p in populations]
    times = np.array([(s.fire_start, s.steps) for s in fires], np.int64).reshape(-1, 2)
    slots, slot = np.unique(times, axis=0, return_inverse=True)
    sizes = [p.size for p in populations]
    return NeuronGraph(
        spiking=spiking,
        first=first,
        source=np.concatenate(sources),
        target=np.concatenate(targets),
        is_input=np.repeat([p.role == "input" for p in populations], sizes),
        slots=slots,
        slot=np.repeat(slot.reshape(-1), sizes),
    )


def owners(graph: NeuronGraph, cores: CoreGraph) -> Array:
    """Returns the core of each neuron, ``(n,)`` int64; that of an input is the host."""
    owner = np.full(len(graph.is_input), HOST, np.int64)
    shapes = {p.name: p.shape for p in graph.spiking.network.graph}
    for core in cores.cores:
        for piece in core.pieces:
            begin, shape, box = graph.first[piece.population], shapes[piece.population], piece.box
            mine = owner[begin : begin + int(np.prod(shape))].reshape(shape)
            mine[box.y0 : box.y1, box.x0 : box.x1, box.c0 : box.c1] = core.index
    return owner


def _reached(graph: NeuronGraph, owner: Array, cores: int) -> Array:
    """Returns which cores read each neuron, ``(n, cores)`` bool, its own one included."""
    mask = np.zeros((len(owner), cores), bool)
    mask[graph.source, owner[graph.target]] = True
    return mask


def what_travels(graph: NeuronGraph, owner: Array, spikes: Array) -> tuple[Nets, Array]:
    """Returns the nets of neurons on cores, and the slot of each net.

    Neurons of one core and one slot that reach the same cores are one net.
    """
    cores = int(owner.max(initial=0)) + 1
    mask = _reached(graph, owner, cores)
    placed = np.flatnonzero(owner >= 0)
    mask[placed, owner[placed]] = False
    some = np.flatnonzero(mask.any(axis=1))
    words = np.packbits(mask[some], axis=1)
    keys = np.ascontiguousarray(owner[some] * len(graph.slots) + graph.slot[some]).view(np.uint8)
    rows = np.concatenate([keys.reshape(len(some), 8), words], axis=1)
    as_one = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.shape[1]))).reshape(-1)
    _, index, label = np.unique(as_one, return_index=True, return_inverse=True)
    chosen = some[index]
    net, reached = np.nonzero(mask[chosen])
    start = np.searchsorted(net, np.arange(len(chosen) + 1)).astype(np.int64)
    amounts = np.bincount(label.reshape(-1), spikes[some], len(chosen))
    slot = graph.slot[chosen]
    return Nets(owner[chosen], amounts, start, reached.astype(np.int64), slot), slot


def traffic(at: Positions, nets: Nets) -> float:
    """Returns Σ spikes · links in the union of the routes of each net."""
    return float(nets.spikes @ tree_sizes(at, nets))


def work(graph: NeuronGraph, owner: Array, spikes: Array, at: Positions, nets: Nets, slot: Array) -> Workload:
    """Returns what neurons on placed cores have to do when they send ``spikes`` each.

    Args:
        graph: The neurons.
        owner: ``(n,)`` their cores.
        spikes: ``(n,)`` what each sends.
        at: Where the cores stand, and perhaps the host behind them.
        nets: As ``what_travels`` returns them for the same owners and spikes.
        slot: Likewise.
    """
    cores, slots = int(owner.max()) + 1, len(graph.slots)
    to = graph.slot[graph.source] * cores + owner[graph.target]
    synops = np.bincount(to, spikes[graph.source], slots * cores).reshape(slots, cores)
    placed = owner >= 0
    sent = np.bincount(graph.slot[placed] * cores + owner[placed], spikes[placed], slots * cores)
    none = np.zeros(0)
    return Workload(
        slots=graph.slots,
        synops=synops,
        spikes=sent.reshape(slots, cores),
        links=_links(at, nets, slot, slots),
        neurons=np.bincount(owner[placed], minlength=cores),
        block_synops=none,
        block_spikes=none,
        block_links=none.reshape(0, 2),
        turns=np.zeros(slots, np.int64),
    )


def _links(at: Positions, nets: Nets, slot: Array, slots: int) -> Array:
    """Returns the spikes on every link by slot, ``(K, 4, rows, columns)``: east, west, south, north."""
    links = np.zeros((slots, 4, int(at.row.max()) + 1, int(at.column.max()) + 1))
    places = list(zip(at.row.tolist(), at.column.tolist(), strict=True))
    rows, columns = at.sources(nets)
    ends, members = nets.start.tolist(), nets.cores.tolist()
    for k, start in enumerate(zip(rows.tolist(), columns.tolist(), strict=True)):
        tree = route_tree(start, (places[c] for c in members[ends[k] : ends[k + 1]]))
        _load(links[slot[k]], tree, nets.spikes[k])
    return links


def _load(links: Array, tree: Tree, count: float) -> None:
    """Adds spikes to the links of a route tree."""
    east, west, south, north = links
    east[tree.row, tree.column : tree.east] += count
    west[tree.row, tree.west + 1 : tree.column + 1] += count
    for column, first, last in tree.branches:
        south[tree.row : last, column] += count
        north[first + 1 : tree.row + 1, column] += count


def most_needed(graph: NeuronGraph, owner: Array, target: Target) -> dict[str, tuple[int, int]]:
    """Returns what the core that needs most of a resource needs, and the limit, where the two break.

    Counted in favour of who placed the neurons: the limit is that of the largest kind of core, and where
    weights are shared a core stores a kernel once for each channel of which it holds any neuron.
    """
    cores = int(owner.max()) + 1
    placed = owner >= 0
    mask = _reached(graph, owner, cores)
    neurons = np.bincount(owner[placed], minlength=cores) * target.compartments_per_neuron
    degree = mask.sum(axis=1)
    unit = graph.population if target.axon_unit == "pixel" else None
    sources = mask.sum(axis=0) if unit is None else _pixels(graph, mask)
    needed = {
        "neurons": neurons,
        "state_bits": neurons * target.membrane_bits,
        "input_axons": sources * target.axons_per_source,
        "output_axons": np.bincount(owner[placed], degree[placed], cores),
        "destinations": degree[placed],
        "synapse_bits": _stored(graph, owner, cores, target) * target.weight_bits,
    }
    found = {}
    for resource, amounts in needed.items():
        limit, most = _limit([t.limits for t in target.core_types], resource), int(amounts.max(initial=0))
        if limit is not None and most > limit:
            found[resource] = (most, limit)
    return found


def _limit(kinds: list[Limits], resource: str) -> int | None:
    found = [getattr(limits, resource) for limits in kinds]
    return None if None in found else max(found)


def _pixels(graph: NeuronGraph, mask: Array) -> Array:
    """Returns the source pixels that each core reads, ``(cores,)``."""
    channels = [p.shape[2] for p in graph.spiking.network.graph]
    pixel = (np.arange(len(mask)) - graph.bounds[graph.population]) // np.array(channels)[graph.population]
    starts = np.flatnonzero(np.diff(pixel, prepend=-1) | np.diff(graph.population, prepend=-1))
    read: Array = np.logical_or.reduceat(mask, starts, axis=0).sum(axis=0)
    return read


def kept_alone(graph: NeuronGraph, target: Target) -> Array:
    """Returns the weights that each neuron stores for itself, ``(n,)`` int64: those that no chip shares."""
    network, counts = graph.spiking.network.graph, {}
    for p in network:
        counts[p.name] = np.zeros(p.shape, np.int64)
        for edge in network.in_edges(p.name):
            if not (isinstance(edge.payload.kernel, Conv) and target.weight_sharing):
                counts[p.name] += reach(edge.payload.kernel, network.node(edge.source).shape, p.shape).fan_in
    return graph.flat(counts)


def _stored(graph: NeuronGraph, owner: Array, cores: int, target: Target) -> Array:
    """Returns the weights that each core stores at least, ``(cores,)``."""
    network, placed = graph.spiking.network.graph, owner >= 0
    alone = kept_alone(graph, target)
    stored = np.bincount(owner[placed], alone[placed], cores).astype(np.int64)
    for p in network:
        mine = owner[graph.first[p.name] : graph.first[p.name] + p.size]
        for edge in network.in_edges(p.name):
            kernel, shape = edge.payload.kernel, network.node(edge.source).shape
            if not (isinstance(kernel, Conv) and target.weight_sharing):
                continue
            read = np.broadcast_to(reach(kernel, shape, p.shape).fan_in, p.shape).reshape(-1)
            apart = np.bincount(mine, read, cores).astype(np.int64)
            held = np.unique(mine[read > 0] * p.shape[2] + np.flatnonzero(read) % p.shape[2]) // p.shape[2]
            once = np.bincount(held, minlength=cores) * int(np.prod(kernel.weight.shape[:3]))
            stored += np.minimum(apart, once)
    return stored
