"""Mapping against METIS, KaHIP and the plain Hilbert curve, on compiled networks and as many cores as ours.

Three kinds of baselines:

- *Plain*: each layer is cut into boxes of one size, and the cores lie along the Hilbert curve in
  topological order. That may take more cores than ours.
- *Neurons*, the usual recipe: METIS or KaHIP cut the graph of neurons (an edge weighs the spikes of its
  source) into balanced blocks, and the blocks lie along the Hilbert curve, in the best of three orders.
  Blocks are balanced by neurons or by memory. Nothing tells them of axons and of kernels that a core
  stores once, so a row says which limits the blocks would break.
- *Cores of ours*, which say what placement alone is worth: along the Hilbert curve in topological order, or
  in the order in which METIS or KaHIP halve the graph of cores again and again. Their step is ours where
  no link is the bottleneck.

Verdicts are given against the mappings of others that keep every limit, against all of others whatever
they break, and against our own cores placed by others.

All are made for the spikes of some calibration samples and judged on those of others, by the same code:
spikes · links of multicast, and the modelled time of a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import nmcompiler
from nmcompiler.compiler import Placed, place, read_inputs
from nmcompiler.evaluate.integer import run_integer
from nmcompiler.evaluate.rate import run_rate
from nmcompiler.ir.cores import CoreGraph, Traffic
from nmcompiler.ir.kernels import Array
from nmcompiler.mapping import MapOptions, map_network
from nmcompiler.mapping.place import Board
from nmcompiler.mapping.route import Positions
from nmcompiler.plan import DEFAULT_OPTIONS, plan_of
from nmcompiler.program.layout import Program
from nmcompiler.registry import find_target
from nmcompiler.report.timing import time_facts
from nmcompiler.target import Target
from tests.benchmarks.neuron_graph import (
    NeuronGraph,
    kept_alone,
    most_needed,
    neuron_graph,
    owners,
    traffic,
    what_travels,
    work,
)

__all__ = [
    "Adjacency", "Case", "Mapped", "adjacency", "baselines", "bisected", "calibration", "compiled", "kahip",
    "metis", "ours_of",
]  # fmt: skip

Row = dict[str, Any]

_DEMO = Path(nmcompiler.__file__).parent / "demo_data"
_DATA = Path(__file__).parents[1] / "data"
MODELS = {
    "lenet": _DEMO / "fashion_mnist_lenet.onnx",
    "resnet8": _DATA / "resnet8.onnx",
    "mobile": _DATA / "mobile.onnx",
}
TARGETS = (("generic-digital", "phase"), ("loihi1", "rate"), ("loihi2", "phase"))
# Samples on which a mapping is judged: not those from which the compiler takes what it expects.
JUDGED = slice(128, 160)
_HEAVIEST = 1000  # weights of edges are whole numbers up to this
_WANTED = 20.0  # % of traffic
LEGAL, ALL, OWN = "others that keep every limit", "all others", "our cores placed by others"


@dataclass(frozen=True, eq=False)
class Case:
    """A compiled network.

    Attributes:
        target: The chip.
        program: Ours, for its schedule and chip alone.
        cores: Our mapping.
        graph: Its neurons.
        expected: ``(n,)`` spikes of each neuron from which mappings are made.
        counted: ``(n,)`` spikes of each neuron in other samples, mean of a sample.
        traffic: What mappings are made from, population by population.
    """

    target: Target
    program: Program
    cores: CoreGraph
    graph: NeuronGraph
    expected: Array
    counted: Array
    traffic: Traffic


@dataclass(frozen=True, eq=False)
class Mapped:
    """Neurons on cores, and where these stand."""

    name: str
    owner: Array
    at: Positions


@dataclass(frozen=True, eq=False)
class Adjacency:
    """A graph without direction: the neighbours of vertex i are ``neighbour[start[i] : start[i + 1]]``."""

    start: Array
    neighbour: Array
    weight: Array

    def part(self, kept: Array) -> Adjacency:
        """Returns the graph of some vertices, in their order."""
        number = np.full(len(self.start) - 1, -1, np.int64)
        number[kept] = np.arange(len(kept))
        owner = number[np.repeat(np.arange(len(number)), np.diff(self.start))]
        inside = np.flatnonzero((owner >= 0) & (number[self.neighbour] >= 0))
        inside = inside[np.argsort(owner[inside], kind="stable")]
        start = np.searchsorted(owner[inside], np.arange(len(kept) + 1))
        return Adjacency(start, number[self.neighbour[inside]], self.weight[inside])


Cut = Callable[[Adjacency, int, Array | None], Array]
"""Takes a graph, a number of blocks and weights of vertices (None: all alike); returns the block of each."""


def adjacency(a: Array, b: Array, weight: Array, vertices: int) -> Adjacency:
    """Returns the graph of pairs; equal pairs add up, and weights become whole numbers from 1 on."""
    low, high = np.minimum(a, b).astype(np.int64), np.maximum(a, b).astype(np.int64)
    keys, label = np.unique(low * vertices + high, return_inverse=True)
    total = np.bincount(label.reshape(-1), weight, len(keys))
    low, high = np.divmod(keys, vertices)
    whole = np.maximum(np.rint(total * (_HEAVIEST / max(total.max(initial=0.0), 1e-300))), 1).astype(np.int64)
    ends, others = np.concatenate([low, high]), np.concatenate([high, low])
    order = np.argsort(ends, kind="stable")
    start = np.searchsorted(ends[order], np.arange(vertices + 1))
    return Adjacency(start, others[order], np.concatenate([whole, whole])[order])


def metis(graph: Adjacency, parts: int, sizes: Array | None = None, *, recursive: bool = True) -> Array:
    """Cuts by METIS: by halving, or all at once."""
    import pymetis

    csr = pymetis.CSRAdjacency(graph.start.astype(np.int32), graph.neighbour.astype(np.int32))
    weights = graph.weight.astype(np.int32)
    own = None if sizes is None else sizes.astype(np.int32)
    cut = pymetis.part_graph(parts, csr, vweights=own, eweights=weights, recursive=recursive)
    return np.array(cut[1], np.int64)


def kahip(graph: Adjacency, parts: int, sizes: Array | None = None, *, mode: str = "STRONG") -> Array:
    """Cuts by KaFFPa of KaHIP; 3 % out of balance at most, as is usual."""
    import kahip

    own = [1] * (len(graph.start) - 1) if sizes is None else sizes.tolist()
    lists = (a.tolist() for a in (graph.start, graph.weight, graph.neighbour))
    _, blocks = kahip.kaffpa(own, *lists, parts, 0.03, True, 1, getattr(kahip, mode))
    return np.array(blocks, np.int64)


def bisected(graph: Adjacency, cut: Cut) -> Array:
    """Returns the vertices in the order in which halving again and again leaves them.

    Of two halves the one with the lower numbers on average comes first.
    """

    def walk(vertices: Array) -> Iterator[Array]:
        part = graph.part(vertices)
        if len(vertices) < 3 or not len(part.neighbour):
            yield vertices
            return
        side = cut(part, 2, None)
        halves = [half for half in (vertices[side == 0], vertices[side == 1]) if len(half)]
        if len(halves) < 2:
            halves = [vertices[: len(vertices) // 2], vertices[len(vertices) // 2 :]]
        for half in sorted(halves, key=lambda half: float(half.mean())):
            yield from walk(half)

    return np.concatenate(list(walk(np.arange(len(graph.start) - 1))))


def compiled(model: Path, name: str, code: str, samples: Array) -> Case:
    """Compiles a network of one input as ``nmc compile`` does, but for the proof."""
    backend, chip = find_target(name)
    chip = replace(chip, weight_bits=plan_of(DEFAULT_OPTIONS, code, chip).weight_bits)
    port = read_inputs(model, {}).layers.inputs[0].name
    inputs = read_inputs(model, {port: samples})
    placed = place(inputs.layers, backend, chip, code, inputs.samples, DEFAULT_OPTIONS)
    program = backend.emit(placed.spiking, placed.cores, chip)
    graph = neuron_graph(placed.spiking)
    counted = {port: samples[JUDGED]}
    return Case(
        target=chip,
        program=replace(program, golden=placed.spiking),
        cores=placed.cores,
        graph=graph,
        expected=graph.flat(placed.traffic.spikes),
        counted=graph.flat(_spikes(placed, counted)),
        traffic=placed.traffic,
    )


def _spikes(placed: Placed, samples: Mapping[str, Array]) -> dict[str, Array]:
    """Returns the spikes that each neuron sends, mean of some samples."""
    spiking, code = placed.spiking, placed.plan.coding
    populations = list(spiking.network.graph)
    if not code.exact:
        sent = run_rate(spiking, samples, dtype=np.float32).spikes
    else:
        values = run_integer(spiking.network, samples, record=True).values
        sent = {
            p.name: code.spikes_per_value(p.levels)[np.abs(values[p.name])] for p in populations if p.sends
        }
    return {p.name: sent[p.name].mean(axis=0) if p.sends else np.zeros(p.shape) for p in populations}


def _plain(case: Case) -> CoreGraph:
    """Returns cores with boxes of one size, along the Hilbert curve in topological order."""
    options = MapOptions(moves=0, search=False, atom_moves=0)
    return map_network(case.graph.spiking, case.target, case.traffic, options)


def _along(case: Case, order: Sequence[int]) -> Positions:
    """Returns where cores stand that lie along the Hilbert curve in some order."""
    kinds = [core.core_type for core in case.cores.cores]
    board = Board(case.target, case.cores.chips)
    spots = next(board.starts([kinds[i] for i in order]))
    row, column = np.zeros(len(spots) + 1, np.int64), np.zeros(len(spots) + 1, np.int64)  # the host is last
    row[order], column[order] = board.row[spots], board.column[spots]
    return Positions(row, column)


def ours_of(case: Case) -> Mapped:
    """Returns our mapping."""
    cores, width = case.cores.cores, case.target.mesh.columns
    row = np.array([*(c.row for c in cores), 0], np.int64)  # the host is last
    column = np.array([*(c.chip * width + c.column for c in cores), 0], np.int64)
    return Mapped("ours", owners(case.graph, case.cores), Positions(row, column))


def _of_cores(case: Case, owner: Array) -> Adjacency:
    """Returns the graph of cores: an edge weighs the spikes that travel between the two, host left out."""
    nets, _ = what_travels(case.graph, owner, case.expected)
    source, reached, spikes = nets.pairs()
    on_chip = source >= 0
    cores = int(owner.max()) + 1
    return adjacency(source[on_chip], reached[on_chip], spikes[on_chip], cores)


def _of_neurons(case: Case) -> Adjacency:
    """Returns the graph of neurons, inputs left out."""
    graph = case.graph
    number = np.cumsum(~graph.is_input) - 1
    kept = ~graph.is_input[graph.source]
    source, target = graph.source[kept], graph.target[kept]
    return adjacency(number[source], number[target], case.expected[source], int(number[-1]) + 1)


def mappings(case: Case) -> Iterator[Mapped]:
    """Yields our mapping, then baselines on its cores, the plain one, and those that place neurons."""
    ours = ours_of(case)
    yield ours
    cores = len(case.cores.cores)
    plain = replace(case, cores=_plain(case))
    yield replace(ours_of(plain), name="plain, Hilbert")
    yield replace(ours, name="our cores, Hilbert", at=_along(case, range(cores)))
    between = _of_cores(case, ours.owner)
    for name, cut in (("METIS", metis), ("KaHIP", kahip)):
        order = bisected(between, cut).tolist()
        yield replace(ours, name=f"our cores, {name} then Hilbert", at=_along(case, order))
    neurons = _of_neurons(case)
    memory = _shares(case)
    cuts: tuple[tuple[str, Cut, Array | None], ...] = (
        ("METIS by halving", metis, None),
        ("METIS k-way", partial(metis, recursive=False), None),
        ("METIS by halving, memory", metis, memory),
        ("KaHIP fast", partial(kahip, mode="FAST"), None),
        ("KaHIP fast, memory", partial(kahip, mode="FAST"), memory),
    )
    for name, cut, sizes in cuts:
        owner = np.full(len(case.graph.is_input), -1, np.int64)
        owner[~case.graph.is_input] = cut(neurons, cores, sizes)
        yield _best_order(case, f"neurons, {name} then Hilbert", owner, cores)


def _shares(case: Case) -> Array:
    """Returns how much of a core each neuron takes: of its neurons, or of its memory if that is more.

    Only weights that it stores for itself are known before neurons have a core.
    """
    limits, target = case.target.core_types[0].limits, case.target
    share = np.full(len(case.graph.is_input), target.compartments_per_neuron / (limits.neurons or np.inf))
    if limits.synapse_bits is not None:
        bits = kept_alone(case.graph, target) * target.weight_bits
        share = np.maximum(share, bits / limits.synapse_bits)
    share = share[~case.graph.is_input]
    whole: Array = np.maximum(np.rint(share / share.min()), 1).astype(np.int64)
    return whole


def _best_order(case: Case, name: str, owner: Array, cores: int) -> Mapped:
    """Returns blocks along the curve: as numbered, as METIS halves them, or in topological order."""
    nets, _ = what_travels(case.graph, owner, case.expected)
    placed = np.flatnonzero(owner >= 0)
    mean = np.bincount(owner[placed], placed, cores) / np.maximum(
        np.bincount(owner[placed], minlength=cores), 1
    )
    halved = bisected(_of_cores(case, owner), metis)
    missing = np.setdiff1d(np.arange(cores), halved)  # blocks that METIS left empty
    orders = [range(cores), [*halved.tolist(), *missing.tolist()], np.argsort(mean, kind="stable").tolist()]
    found = [_along(case, order) for order in orders]
    return Mapped(name, owner, min(found, key=lambda at: traffic(at, nets)))


def judged(case: Case, mapped: Mapped) -> Row:
    """Returns traffic and modelled step of a mapping on the samples that judge."""
    nets, slot = what_travels(case.graph, mapped.owner, case.counted)
    load = work(case.graph, mapped.owner, case.counted, mapped.at, nets, slot)
    cores = np.resize(case.program.arrays["cores"], len(load.neurons))  # all are of the one pass
    program = replace(case.program, arrays={**case.program.arrays, "cores": cores})
    facts = time_facts(program, load, 1)
    parts = {part["what"]: part for part in facts["parts"]}
    broken = most_needed(case.graph, mapped.owner, case.target)
    return {
        "cores": len(np.unique(mapped.owner[mapped.owner >= 0])),
        "traffic": traffic(mapped.at, nets),
        "step ns": facts["step_ns"],
        "bottleneck": facts["bottleneck"],
        "synops of busiest core": parts["synops"]["count"],
        "spikes of busiest core": parts["spikes sent"]["count"],
        "spikes of busiest link": parts["link"]["count"],
        "breaks": ", ".join(f"{k} {used:,} of {limit:,}" for k, (used, limit) in broken.items()) or "nothing",
    }


def _verdict(what: str, rows: Mapping[str, Row], among: str) -> Row:
    """Returns how far ours is below the best of some baselines; they are at least one."""
    ours = rows["ours"]
    others = {
        name: row
        for name, row in rows.items()
        if name != "ours"
        and name.startswith("our cores") == (among == OWN)
        and (among != LEGAL or row["breaks"] == "nothing")
    }
    best = min(others, key=lambda k: float(others[k]["traffic"]))
    lower = 100 * (1 - ours["traffic"] / others[best]["traffic"])
    row = {
        "section": "baselines", "what": f"{what}: against {among}", "best by traffic": best,
        "lower %": lower, "wanted lower %": _WANTED,
    }  # fmt: skip
    if ours["step ns"] is None:
        return row | {"step": "no figure of time is published"}
    fastest = min(others, key=lambda k: float(others[k]["step ns"]))
    change = 100 * (1 - ours["step ns"] / others[fastest]["step ns"])
    return row | {"best by step": fastest, "step lower %": change, "than best by traffic %": 100 * (
        1 - ours["step ns"] / others[best]["step ns"]
    )}  # fmt: skip


def calibration() -> Array:
    """Returns the images from which the examples are compiled, and on whose last ones they are judged."""
    with np.load(_DEMO / "calibration.npz") as data:
        images: Array = data["x"]
    return images


def baselines() -> Iterator[Row]:
    """Yields every mapping of every compiled example, and how ours compares."""
    samples = calibration()
    for name, code in TARGETS:
        for model, path in MODELS.items():
            case, rows = compiled(path, name, code, samples), {}
            what = f"{model}, {name}"
            for mapped in mappings(case):
                rows[mapped.name] = judged(case, mapped)
                yield {"section": "baselines", "what": f"{what}: {mapped.name}", **rows[mapped.name]}
            for among in (LEGAL, ALL, OWN):
                yield _verdict(what, rows, among)
