"""What one event of every neuron reaches: routes, axons, runs and the links of the mesh."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from .block import Block, require

Synapse = tuple[int, int]  # (number of the neuron, weight · 2^shift)


@dataclass(frozen=True)
class Wiring:
    """What one event of a neuron does, by number of the neuron; made once from routes, runs and cores."""

    targets: list[list[tuple[int, list[Synapse]]]]  # (delay, synapses of the axon) of every route
    synops: list[int]
    hops: list[int]


def wire(tables: dict[str, Any], blocks: list[Block], mesh_columns: int | None) -> Wiring:
    """The wiring of the tables; ValueError where a synapse or a route leads out of its bounds."""
    axons = _axons(tables, blocks)
    neurons = sum(block.n for block in blocks)
    targets: list[list[tuple[int, list[Synapse]]]] = [[] for _ in range(neurons)]
    cores: list[set[int]] = [set() for _ in range(neurons)]
    for gid0, n, core, axon0, delay in tables["routes"]:
        require(gid0 >= 0 and gid0 + n <= neurons, "a route starts outside the neurons")
        require(delay >= 1, "a route has no delay")
        for j in range(n):
            targets[gid0 + j].append((delay, axons[core, axon0 + j]))
            cores[gid0 + j].add(core)
    passes = tables["passes"]
    for block in blocks:
        for gid in range(block.gid0, block.gid0 + block.n):
            earlier = not block.is_input and any(passes[c] < passes[block.core] for c in cores[gid])
            require(not earlier, "a route leads back to an earlier pass")
    return Wiring(
        targets=targets,
        synops=[sum(len(synapses) for _, synapses in routes) for routes in targets],
        hops=_hops(tables, blocks, cores, mesh_columns),
    )


def _axons(tables: dict[str, Any], blocks: list[Block]) -> dict[tuple[int, int], list[Synapse]]:
    """The synapses of every (core, axon)."""
    axons: dict[tuple[int, int], list[Synapse]] = defaultdict(list)
    crossbars = {row[0]: Crossbar(row[1], row[2]) for row in tables["crossbars"]}
    types = _types(tables)
    for b, block in enumerate(blocks):
        crossings: set[tuple[int, int]] = set()
        bits: set[int] = set()
        for run in tables["runs"][block.run0 : block.run0 + block.run_n]:
            axon0, n, pattern, target0, weight0, weight_stride, target_stride = run
            rows = range(tables["patterns"][pattern], tables["patterns"][pattern + 1])
            for j in range(n):
                synapses = axons[block.core, axon0 + j]
                for weight, target, length in [tables["segments"][row] for row in rows]:
                    for i in range(length):
                        at = weight0 + j * weight_stride + weight + i
                        to = target0 + j * target_stride + target + i
                        require(0 <= at < block.weight_n, "a synapse reads a weight of another block")
                        require(0 <= to < block.n, "a synapse leads to a neuron outside its block")
                        weight_or_bit = tables["weights"][block.weight0 + at]
                        if b in crossbars:
                            require((axon0 + j, to) not in crossings, "a crossing occurs twice")
                            require(
                                at not in bits and weight_or_bit in (0, 1), "a crossing has no bit of its own"
                            )
                            crossings.add((axon0 + j, to))
                            bits.add(at)
                            if weight_or_bit == 0:
                                continue
                            kind = types.get((block.core, axon0 + j), 0)
                            weight_or_bit = crossbars[b].weight(tables["type_weights"], to, kind)
                        synapses.append((block.gid0 + to, weight_or_bit * 2**block.shift))
    return axons


@dataclass(frozen=True)
class Crossbar:
    """A row of `crossbars` less its block."""

    types: int
    weight0: int

    def weight(self, type_weights: list[int], neuron: int, kind: int) -> int:
        """The weight of a neuron of the block for a type of axons."""
        require(kind < self.types, "an axon has a type that its crossbar has no weight for")
        return type_weights[self.weight0 + neuron * self.types + kind]


def _types(tables: dict[str, Any]) -> dict[tuple[int, int], int]:
    """The type of every (core, axon) that has been given one."""
    types: dict[tuple[int, int], int] = {}
    for core, axon0, n, kind in tables["axon_types"]:
        for axon in range(axon0, axon0 + n):
            require((core, axon) not in types, "an axon has two types")
            types[core, axon] = kind
    return types


def _hops(
    tables: dict[str, Any], blocks: list[Block], destinations: list[set[int]], mesh_columns: int | None
) -> list[int]:
    """Links that one event of every neuron takes; a link of another pass is another link.

    What a later pass reads goes to the host, at row 0 and column 0 of chip 0, and from there in that pass.
    """
    cores, passes, host = tables["cores"], tables["passes"], (0, 0)
    hops: list[int] = []
    for block in blocks:
        start = host if block.is_input else _position(cores[block.core], mesh_columns)
        for gid in range(block.gid0, block.gid0 + block.n):
            links: set[tuple[int, tuple[int, int, int, int]]] = set()
            for core in destinations[gid]:
                end, turn = _position(cores[core], mesh_columns), passes[core]
                if block.is_input or turn == passes[block.core]:
                    links |= {(turn, link) for link in _links(start, end)}
                else:
                    links |= {(passes[block.core], link) for link in _links(start, host)}
                    links |= {(turn, link) for link in _links(host, end)}
            hops.append(len(links))
    return hops


def _position(core: list[int], mesh_columns: int | None) -> tuple[int, int]:
    """Row and column on the common mesh."""
    chip, row, column = core
    if chip == 0:
        return row, column
    if mesh_columns is None:
        raise ValueError("several chips, but the target has no mesh.columns")
    return row, chip * mesh_columns + column


def _links(start: tuple[int, int], end: tuple[int, int]) -> set[tuple[int, int, int, int]]:
    """The links of one route: first the column changes, then the row."""
    row, column = start
    links: set[tuple[int, int, int, int]] = set()
    while column != end[1]:
        following = column + (1 if end[1] > column else -1)
        links.add((row, column, row, following))
        column = following
    while row != end[0]:
        following = row + (1 if end[0] > row else -1)
        links.add((row, column, following, column))
        row = following
    return links
