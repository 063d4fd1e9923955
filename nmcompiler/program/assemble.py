"""Program from a spiking network and its placed cores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nmcompiler.errors import DoesNotFit
from nmcompiler.ir.cores import Box, Core, CoreGraph, Piece
from nmcompiler.ir.graph import Graph
from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel
from nmcompiler.ir.network import Population
from nmcompiler.ir.spiking import NeuronParameters, Spiking
from nmcompiler.ir.typed import TypeCode, held_types
from nmcompiler.program.assemble_axons import AxonTable, Source, number_axons, reads, routes_of
from nmcompiler.program.assemble_synapses import BlockSynapses, PatternTable, stored_weights
from nmcompiler.program.crossbar import typed_crossbars
from nmcompiler.program.layout import (
    ARRAYS,
    BLOCK_COLUMNS,
    PASS_ARRAYS,
    BlockKind,
    Names,
    Program,
    ProgramInput,
    ProgramOutput,
)
from nmcompiler.target.model import Target

__all__ = ["assemble", "boundless_cores"]


def assemble(
    spiking: Spiking,
    cores: CoreGraph,
    target: Target,
    *,
    report: Mapping[str, Any] | None = None,
    source: bytes | None = None,
    extra: Mapping[str, bytes] | None = None,
) -> Program:
    """Returns the program that runs a spiking network on placed cores.

    Args:
        spiking: The golden network in its code.
        cores: Cores with their pieces; every population but the inputs is covered exactly once.
        target: The chip.
        report: Facts of the compilation for people.
        source: Bytes of the ONNX file.
        extra: Images of the backend.

    Raises:
        DoesNotFit: A weight does not fit the 16 bits of the format.
    """
    _check_weights(spiking)
    arrays = _Assembler(spiking, cores, target).arrays()
    network = spiking.network
    if target.crossbar is not None:
        arrays = typed_crossbars(arrays, _type_codes(spiking, target), target.axon_fan_out)
    populations = tuple(network.graph)
    return Program(
        coding=spiking.coding,
        fires_when=target.fires_when,
        membrane_bits=target.membrane_bits,
        window_starts=spiking.schedule.window_starts,
        total_steps=spiking.schedule.total_steps,
        arrays=arrays,
        inputs=_inputs(spiking),
        outputs=_outputs(spiking),
        target=target,
        report=dict(report or {}),
        names=Names(
            tuple(p.name for p in populations),
            tuple(p.op for p in populations),
            tuple(p.origin for p in populations),
        ),
        golden=spiking,
        source=source,
        extra=dict(extra or {}),
        dynamics=target.dynamics,
    )


def _type_codes(spiking: Spiking, target: Target) -> list[TypeCode | None]:
    """Returns how the weights of each population are made of typed weights, None for inputs."""
    network = spiking.network
    return [None if p.role == "input" else held_types(network, p.name, target) for p in network.graph]


def boundless_cores(spiking: Spiking) -> CoreGraph:
    """Returns one core that holds the whole network."""
    pieces = tuple(Piece(p.name, Box.whole(p.shape)) for p in spiking.network.graph if p.role != "input")
    graph: Graph[Core, Any] = Graph()
    graph.add(Core(index=0, chip=0, row=0, column=0, core_type=0, pieces=pieces))
    return CoreGraph(graph)


def _check_weights(spiking: Spiking) -> None:
    low, high = np.iinfo(np.int16).min, np.iinfo(np.int16).max
    for edge in spiking.network.graph.edges():
        weight = edge.payload.kernel.weight
        if weight.size and (weight.min() < low or weight.max() > high):
            largest = int(np.abs(weight).max())
            raise DoesNotFit(
                layer=edge.target,
                resource="bits of a weight",
                used=largest.bit_length() + 1,
                limit=16,
                target="the program format",
                hint="quantise with fewer weight bits",
            )


def _inputs(spiking: Spiking) -> tuple[ProgramInput, ...]:
    graph = spiking.network.graph
    numbers = {name: i for i, name in enumerate(graph.names())}
    encoding: Any = spiking.input_encoding
    ports = []
    for port in spiking.network.inputs:
        node = graph.node(port.node)
        order = np.asarray(port.order, np.int64)
        scale, offset = np.asarray(node.scale, np.float64), np.asarray(node.offset, np.float64)
        ports.append(ProgramInput(port.name, port.shape, numbers[port.node], order, scale, offset, encoding))
    return tuple(ports)


def _outputs(spiking: Spiking) -> tuple[ProgramOutput, ...]:
    graph = spiking.network.graph
    numbers = {name: i for i, name in enumerate(graph.names())}
    return tuple(
        ProgramOutput(
            port.name,
            port.shape,
            numbers[port.node],
            np.asarray(port.order, np.int64),
            float(graph.node(port.node).scale[0]),
            port.host_ops,
            None if port.off is None else np.asarray(port.off, np.int64),
        )
        for port in spiking.network.outputs
    )


@dataclass(frozen=True)
class _Placed:
    """A box of a population on a core; core −1 is the host."""

    population: int
    box: Box
    core: int


def _likeness(placed: _Placed) -> tuple[int, int, int, int]:
    """Returns core, population and channels: what boxes have in common that share kernels."""
    return placed.core, placed.population, placed.box.c0, placed.box.c1


@dataclass
class _Assembler:
    spiking: Spiking
    cores: CoreGraph
    target: Target
    patterns: PatternTable = field(default_factory=PatternTable)
    parameters: list[Array] = field(default_factory=list)
    populations: tuple[Population, ...] = ()
    sources: list[Source] = field(default_factory=list)
    placed: list[_Placed] = field(default_factory=list)
    alike: dict[tuple[int, int, int, int], list[Box]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.populations = tuple(self.spiking.network.graph)
        self.numbers = {p.name: i for i, p in enumerate(self.populations)}
        self.placed = self._place()
        self.sources = self._number_neurons()
        for placed in self.placed:
            self.alike.setdefault(_likeness(placed), []).append(placed.box)

    def arrays(self) -> dict[str, Array]:
        """Returns all arrays of the program."""
        tables = [self._core_axons(core) for core in self.cores.cores]
        blocks, runs, weights = [], [np.zeros((0, 7), np.int64)], [np.zeros(0, np.int64)]
        gid = run = weight = parameter = 0
        for placed in self.placed:
            synapses, kind = self._synapses(placed, tables)
            parameters = self._parameters(placed)
            rows, stored = sum(len(r) for r in synapses.runs), synapses.size
            places = (gid, parameter, parameters.shape[1], weight, stored, run, rows)
            blocks.append(self._block(placed, kind, places))
            self.parameters.append(parameters)
            runs.extend(synapses.runs)
            weights.extend(synapses.weights)
            gid += placed.box.size
            run, weight, parameter = run + rows, weight + stored, parameter + parameters.shape[1]
        theta, v0, current = np.concatenate(self.parameters, axis=1)
        found = {
            "cores": np.array([(c.chip, c.row, c.column) for c in self.cores.cores]).reshape(-1, 3),
            "blocks": np.array(blocks, np.int64),
            "runs": np.concatenate(runs),
            "patterns": np.array(self.patterns.starts),
            "segments": np.array(self.patterns.segments).reshape(-1, 3),
            "weights": np.concatenate(weights),
            "theta": theta,
            "v0": v0,
            "current": current,
            "routes": self._routes(tables),
        }
        if self.cores.turns > 1:
            found["passes"] = np.array([c.turn for c in self.cores.cores])
        dtypes = {name: dtype for name, (dtype, _) in (*ARRAYS.items(), *PASS_ARRAYS.items())}
        return {name: np.ascontiguousarray(array, dtypes[name]) for name, array in found.items()}

    def _place(self) -> list[_Placed]:
        """Returns all boxes by (window, population, box); an input is one box on the host."""
        placed = [
            _Placed(i, Box.whole(p.shape), -1) for i, p in enumerate(self.populations) if p.role == "input"
        ]
        for core in self.cores.cores:
            placed += [_Placed(self.numbers[p.population], p.box, core.index) for p in core.pieces]
        slots = self.spiking.schedule.slots
        windows = [slots[p.name].window for p in self.populations]
        return sorted(placed, key=lambda p: (windows[p.population], p.population, p.box))

    def _number_neurons(self) -> list[Source]:
        boxes: list[list[Box]] = [[] for _ in self.populations]
        first = [0] * len(self.populations)
        gid = 0
        for placed in self.placed:
            if not boxes[placed.population]:
                first[placed.population] = gid
            boxes[placed.population].append(placed.box)
            gid += placed.box.size
        return [Source(i, p.shape, tuple(boxes[i]), first[i]) for i, p in enumerate(self.populations)]

    def _edges(self, population: int) -> list[tuple[int, int, Kernel]]:
        """Returns (source, delay, kernel) of every projection into a population."""
        name = self.populations[population].name
        return [
            (self.numbers[e.source], self.spiking.schedule.delay(e.source, name), e.payload.kernel)
            for e in self.spiking.network.graph.in_edges(name)
        ]

    def _core_axons(self, core: Core) -> dict[tuple[int, int], AxonTable]:
        masks: dict[tuple[int, int], Array] = {}
        for piece in core.pieces:
            shape = self.spiking.network.graph.node(piece.population).shape
            for source, delay, kernel in self._edges(self.numbers[piece.population]):
                mask = reads(kernel, piece.box, self.sources[source].shape, shape)
                known = masks.get((source, delay))
                masks[source, delay] = mask if known is None else known | mask
        return number_axons(masks, self.sources)

    def _synapses(
        self, placed: _Placed, tables: list[dict[tuple[int, int], AxonTable]]
    ) -> tuple[BlockSynapses, BlockKind]:
        population = self.populations[placed.population]
        synapses = BlockSynapses(placed.box, population.shape, self.patterns)
        if placed.core < 0:
            return synapses, BlockKind.INPUT
        edges = self._edges(placed.population)
        stored_once = self._stored_once(placed)
        for (source, delay, kernel), once in zip(edges, stored_once, strict=True):
            synapses.add(kernel, self.sources[source], tables[placed.core][source, delay], once)
        if edges and all(stored_once):
            return synapses, BlockKind.SHARED_CONV
        dense = all(isinstance(kernel, Dense) for _, _, kernel in edges)
        return synapses, BlockKind.DENSE if dense else BlockKind.SPARSE

    def _stored_once(self, placed: _Placed) -> list[bool]:
        """Returns for every projection whether its kernel is stored once, whichever takes less memory.

        Where all projections are convolutions, the boxes of a population with the same channels share the
        kernels on a core.
        """
        edges = self._edges(placed.population)
        if not self.target.weight_sharing:
            return [False] * len(edges)

        def sizes(box: Box) -> list[tuple[int, int]]:
            return [stored_weights(kernel, self.sources[s].shape, box) for s, _, kernel in edges]

        mine, boxes = sizes(placed.box), self.alike[_likeness(placed)]
        if len(boxes) > 1 and all(isinstance(kernel, Conv) for _, _, kernel in edges):
            apart = sum(min(pair) for box in boxes for pair in sizes(box))
            if sum(once for _, once in mine) < apart:
                return [True] * len(edges)
        return [once < single for single, once in mine]

    def _parameters(self, placed: _Placed) -> Array:
        """Returns θ, v0 and current ``(3, param_n)`` in the shortest form: one, a channel, a neuron."""
        population = self.populations[placed.population]
        neurons = self.spiking.neurons.get(population.name)
        if neurons is None:
            return np.array([[1], [0], [0]])
        above = int(self.target.fires_when == "gt")
        box = placed.box
        values = np.stack(
            [
                np.broadcast_to(a, population.shape)[box.y0 : box.y1, box.x0 : box.x1, box.c0 : box.c1]
                for a in (neurons.theta, neurons.v0 + above, neurons.current)
            ]
        ).reshape(3, -1, box.shape[2])
        if (values != values[:, :1]).any():
            return values.reshape(3, -1)
        channels = values[:, 0]
        return channels[:, :1] if (channels == channels[:, :1]).all() else channels

    def _block(self, placed: _Placed, kind: BlockKind, places: tuple[int, ...]) -> list[int]:
        population = self.populations[placed.population]
        slot = self.spiking.schedule.slots[population.name]
        neurons: NeuronParameters | None = self.spiking.neurons.get(population.name)
        gid, parameter, parameter_n, weight, weight_n, run, run_n = places
        box = placed.box
        row = {
            "kind": int(kind),
            "core": placed.core,
            "population": placed.population,
            "gid0": gid,
            "n": box.size,
            "y0": box.y0,
            "x0": box.x0,
            "c0": box.c0,
            "height": box.shape[0],
            "width": box.shape[1],
            "channels": box.shape[2],
            "levels": slot.levels,
            "signed": int(slot.signed) if neurons is None else neurons.signed,
            "window": slot.window,
            "fire_start": slot.fire_start,
            "steps": slot.steps,
            "param0": parameter,
            "param_n": parameter_n,
            "weight0": weight,
            "weight_n": weight_n,
            "run0": run,
            "run_n": run_n,
            "shift": 0 if neurons is None else neurons.shift,
        }
        return [row[name] for name in BLOCK_COLUMNS]

    def _routes(self, tables: list[dict[tuple[int, int], AxonTable]]) -> Array:
        """Returns all routes by source neuron, core and axon."""
        routes = np.concatenate(
            [np.zeros((0, 5), np.int64), *(routes_of(i, t) for i, t in enumerate(tables))]
        )
        ordered: Array = routes[np.lexsort((routes[:, 3], routes[:, 2], routes[:, 0]))]
        return ordered
