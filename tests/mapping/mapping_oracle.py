"""Random networks, and what they need counted synapse by synapse: slow and obvious."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import product

import numpy as np
from hypothesis import strategies as st

from nmcompiler.ir.cores import CoreGraph, Traffic
from nmcompiler.ir.graph import Graph
from nmcompiler.ir.kernels import Conv, Dense, Sparse
from nmcompiler.ir.network import Network, Population, Projection
from nmcompiler.ir.schedule import Schedule, Slot
from nmcompiler.ir.spiking import NeuronParameters, Spiking
from nmcompiler.target.model import CoreType, Limits, Mesh, Target, ThresholdFormat


def chip(
    limits=None, *, cores=4096, rows=64, columns=64, chips=1, sharing=True, axon_unit="neuron", kinds=None
):
    kinds = kinds or (CoreType(cores, limits or Limits()),)
    return Target(
        name="tiny",
        title="Tiny",
        backend="digital",
        codings=("phase",),
        core_types=kinds,
        mesh=Mesh(rows, columns),
        max_chips=chips,
        weight_bits=8,
        weight_sharing=sharing,
        threshold=ThresholdFormat(20),
        bias=None,
        membrane_bits=16,
        axon_unit=axon_unit,
    )


class Builder:
    """Builds spiking networks by hand; weights and schedules are of no interest here."""

    def __init__(self):
        self.graph = Graph()
        self.theta = {}
        self.delays = {}

    def add(self, name, shape, role="hidden", theta=None):
        ones = np.ones(shape[2])
        theta = np.ones((1, 1, 1), np.int64) if theta is None else theta
        levels = 0 if role == "readout" else 15
        zero = np.zeros((1, 1, 1), np.int64)
        self.graph.add(Population(name, shape, role, zero, theta, levels, False, ones, ones * 0))
        self.theta[name] = theta
        return self

    def connect(self, source, target, kernel, delay=1):
        self.graph.connect(source, target, Projection(kernel))
        if delay != 1:
            self.delays[source, target] = delay
        return self

    def dense(self, source, target):
        sizes = self.graph.node(target).size, self.graph.node(source).size
        return self.connect(source, target, Dense(np.ones(sizes, np.int64)))

    def conv(self, source, target, size=3, stride=1, padding=1, groups=1):
        channels = self.graph.node(source).shape[2] // groups
        weight = np.ones((size, size, channels, self.graph.node(target).shape[2]), np.int64)
        return self.connect(source, target, Conv(weight, (stride,) * 2, (padding,) * 2, groups=groups))

    def spiking(self):
        network = Network("net", self.graph, (), ())
        slots = {p.name: Slot(0, 0, 1, p.levels, False) for p in self.graph}
        neurons = {
            p.name: NeuronParameters(self.theta[p.name], p.theta, p.theta)
            for p in self.graph
            if p.role != "input"
        }
        return Spiking(network, "phase", Schedule("phase", (0,), 1, slots, self.delays), neurons, "spikes")

    def traffic(self, seed=0):
        rng = np.random.default_rng(seed)
        return Traffic({p.name: rng.random(p.shape) for p in self.graph})


def shapes(most=6):
    return st.tuples(*[st.integers(1, most)] * 3)


@st.composite
def kernels(draw, source, target):
    kind = draw(st.sampled_from(["conv", "conv", "dense", "sparse"]))
    if kind == "dense":
        return Dense(np.ones((int(np.prod(target)), int(np.prod(source))), np.int64))
    if kind == "sparse":
        count = draw(st.integers(0, 12))
        rows = draw(st.lists(st.integers(0, int(np.prod(target)) - 1), min_size=count, max_size=count))
        columns = draw(st.lists(st.integers(0, int(np.prod(source)) - 1), min_size=count, max_size=count))
        return Sparse(np.array(rows, np.int64), np.array(columns, np.int64), np.ones(count, np.int64))
    groups = draw(st.integers(1, min(source[2], target[2])))
    per_source = draw(st.integers(1, source[2] // groups))
    per_target = draw(st.integers(1, target[2] // groups))
    pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
    return Conv(
        np.ones((*draw(pairs), per_source, per_target * groups), np.int64),
        stride=draw(pairs),
        padding=draw(st.tuples(st.integers(-2, 3), st.integers(-2, 3))),
        dilation=draw(pairs),
        groups=groups,
        source_channel=draw(st.integers(0, source[2] - per_source * groups)),
        target_channel=draw(st.integers(0, target[2] - per_target * groups)),
    )


@st.composite
def thetas(draw, shape):
    form = draw(st.sampled_from([(1, 1, 1), (1, 1, shape[2]), shape]))
    seed = draw(st.integers(0, 99))
    return np.random.default_rng(seed).integers(1, 6, form)


@st.composite
def networks(draw, populations=4):
    """Random acyclic networks with joins, skips, parallel edges and delays."""
    builder = Builder().add("p0", draw(shapes()), "input")
    for i in range(1, draw(st.integers(2, populations)) + 1):
        shape = draw(shapes())
        builder.add(f"p{i}", shape, "hidden", draw(thetas(shape)))
        for source in draw(st.lists(st.integers(0, i - 1), min_size=1, max_size=3)):
            delay = draw(st.integers(1, 2))
            kernel = draw(kernels(builder.graph.node(f"p{source}").shape, shape))
            builder.connect(f"p{source}", f"p{i}", kernel, delay)
    last = f"p{i}"
    builder.add("out", (1, 1, 3), "readout").dense(last, "out")
    return builder


def synapses(kernel, source, target):
    """Yields (target, source) positions of every synapse, straight from the definition of the kernels."""
    if isinstance(kernel, Dense):
        yield from product(np.ndindex(*target), np.ndindex(*source))
    elif isinstance(kernel, Sparse):
        for row, column in zip(kernel.rows, kernel.columns, strict=True):
            yield (
                tuple(int(i) for i in np.unravel_index(row, target)),
                tuple(int(i) for i in np.unravel_index(column, source)),
            )
    else:
        kh, kw, per_group, written = kernel.weight.shape
        for y, x, o, ky, kx, i in np.ndindex(target[0], target[1], written, kh, kw, per_group):
            g = o // (written // kernel.groups)
            sy = y * kernel.stride[0] - kernel.padding[0] + ky * kernel.dilation[0]
            sx = x * kernel.stride[1] - kernel.padding[1] + kx * kernel.dilation[1]
            if 0 <= sy < source[0] and 0 <= sx < source[1]:
                yield (
                    (y, x, kernel.target_channel + o),
                    (sy, sx, kernel.source_channel + g * per_group + i),
                )


def positions(box):
    return set(product(range(box.y0, box.y1), range(box.x0, box.x1), range(box.c0, box.c1)))


class Count:
    """Everything a set of placed pieces uses, by enumeration.

    ``pieces`` is a list of (core, population, box).
    """

    def __init__(self, spiking, target, pieces):
        self.spiking, self.target, self.pieces = spiking, target, pieces
        self.owner = {}
        for core, name, box in pieces:
            for position in positions(box):
                assert (name, position) not in self.owner, "a neuron is placed twice"
                self.owner[name, position] = core
        self.axons = defaultdict(set)
        self.reached = defaultdict(set)
        self.fan_in = defaultdict(int)
        self.per_edge = defaultdict(int)
        graph = spiking.network.graph
        for number, edge in enumerate(graph.edges()):
            shapes = graph.node(edge.source).shape, graph.node(edge.target).shape
            delay = spiking.schedule.delay(edge.source, edge.target)
            for to, origin in synapses(edge.payload.kernel, *shapes):
                core = self.owner.get((edge.target, to))
                if core is None:
                    continue
                axon = origin[:2] if target.axon_unit == "pixel" else origin
                self.axons[core].add((edge.source, delay, axon))
                self.reached[edge.source, origin].add(core)
                self.fan_in[edge.target, to] += 1
                self.per_edge[number, edge.target, to] += 1

    def synapse_bits(self, core):
        alike = defaultdict(list)
        for c, name, box in self.pieces:
            if c == core:
                alike[name, box.c0, box.c1].append(box)
        return self.target.weight_bits * sum(self.stored(*key, boxes) for key, boxes in alike.items())

    def stored(self, name, c0, c1, boxes):
        """Weights of boxes with the same channels: each on its own, or one kernel for all of them."""
        edges = [(n, e) for n, e in enumerate(self.spiking.network.graph.edges()) if e.target == name]
        kernels = [self.kernel(e.payload.kernel, c0, c1) for _, e in edges]
        apart = sum(
            min(sum(self.per_edge[number, name, p] for p in positions(box)), kernel)
            for box in boxes
            for (number, _), kernel in zip(edges, kernels, strict=True)
        )
        return min(apart, sum(kernels))

    def kernel(self, kernel, c0, c1):
        """Weights of a kernel stored once for some channels; infinity where that is not possible."""
        if not (self.target.weight_sharing and isinstance(kernel, Conv)):
            return math.inf
        kh, kw, per_group, written = kernel.weight.shape
        first = kernel.target_channel
        return kh * kw * per_group * len(set(range(c0, c1)) & set(range(first, first + written)))

    def used(self, core):
        own = [key for key, c in self.owner.items() if c == core]
        compartments = [(*key, k) for key in own for k in range(self.target.compartments_per_neuron)]
        thetas = set()
        for name, position in own:
            population = self.spiking.network.graph.node(name)
            if population.role != "readout":
                theta = np.broadcast_to(self.spiking.neurons[name].theta, population.shape)
                thetas.add(int(theta[position]))
        return {
            "neurons": len(compartments),
            "input_axons": len(self.axons[core]) * self.target.axons_per_source,
            "output_axons": sum(len(self.reached[key]) for key in own),
            "synapse_bits": self.synapse_bits(core),
            "state_bits": sum(self.target.membrane_bits for _ in compartments),
            "thresholds": len(thetas),
            "fan_in": max((self.fan_in[key] for key in own), default=0),
            "destinations": max((len(self.reached[key]) for key in own), default=0),
        }


def count(spiking, target, mapped: CoreGraph):
    pieces = [(core.index, p.population, p.box) for core in mapped.cores for p in core.pieces]
    return Count(spiking, target, pieces)
