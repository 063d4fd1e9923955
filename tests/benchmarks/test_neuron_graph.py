"""What is counted neuron by neuron is what the program counts, for any cut into boxes."""

from dataclasses import replace

import numpy as np
import pytest

from nmcompiler.codings import coding
from nmcompiler.ir.cores import CoreGraph, Traffic
from nmcompiler.mapping import MapOptions, map_network
from nmcompiler.mapping.route import Positions, tree_sizes
from nmcompiler.program.assemble import assemble
from nmcompiler.program.layout import Program
from nmcompiler.program.usage import core_usage
from nmcompiler.report.workload import by_neuron, workload
from nmcompiler.target.model import CoreType, Limits, Target
from nmcompiler.testing.networks import random_network
from nmcompiler.testing.programs import random_cores
from nmcompiler.testing.targets import tiny_target
from tests.benchmarks.neuron_graph import (
    NeuronGraph,
    most_needed,
    neuron_graph,
    owners,
    traffic,
    what_travels,
    work,
)


def drawn(seed: int) -> tuple[NeuronGraph, CoreGraph, Program, Target]:
    target = tiny_target(weight_sharing=False)
    code = coding(("phase", "graded", "ttfs")[seed % 3])
    spiking = code.convert(random_network(seed), target, input_encoding=code.input_encodings[0])
    cores = random_cores(spiking, seed)
    return neuron_graph(spiking), cores, assemble(spiking, cores, target), target


def places(cores: CoreGraph) -> Positions:
    return Positions(*(np.array([getattr(c, k) for c in cores.cores], np.int64) for k in ("row", "column")))


@pytest.mark.parametrize("seed", range(12))
def test_the_work_of_neurons_is_that_of_the_program(seed: int) -> None:
    graph, cores, program, _ = drawn(seed)
    rng = np.random.default_rng(seed)
    sent = {p.name: rng.integers(0, 9, p.shape) * bool(p.levels) for p in graph.spiking.network.graph}
    owner, spikes, at = owners(graph, cores), graph.flat(sent), places(cores)
    nets, slot = what_travels(graph, owner, spikes)
    found = work(graph, owner, spikes, at, nets, slot)
    wanted = workload(program, by_neuron(program, list(sent.values())))
    for part in ("slots", "synops", "spikes", "neurons"):
        assert np.array_equal(getattr(found, part), getattr(wanted, part)), part
    for direction in range(4):  # a mesh ends where its last core is, which need not be the same
        assert np.array_equal(trimmed(found.links[:, direction]), trimmed(wanted.links[:, direction]))
    assert traffic(at, nets) == found.links.sum() == float(nets.spikes @ tree_sizes(at, nets))


def trimmed(links: np.ndarray) -> np.ndarray:
    rows, columns = (np.flatnonzero(links.any(axis=axes)).max(initial=-1) + 1 for axes in ((0, 2), (0, 1)))
    return links[:, :rows, :columns]


@pytest.mark.parametrize("seed", range(12))
def test_the_needs_of_neurons_are_those_of_the_program(seed: int) -> None:
    graph, cores, program, target = drawn(seed)
    nothing = replace(target, core_types=(CoreType(256, Limits(*[0] * 8)),))
    usage, found = core_usage(program).used, most_needed(graph, owners(graph, cores), nothing)
    assert found.keys() == {r for r, used in usage.items() if used.any()} - {"fan_in", "thresholds"}
    for resource, (most, limit) in found.items():
        assert limit == 0
        assert most == usage[resource].max(), resource


@pytest.mark.parametrize("seed", range(4))
def test_traffic_on_placed_cores_is_the_cost_of_the_mapping(seed: int) -> None:
    target = tiny_target()
    spiking = coding("phase").convert(random_network(seed), target, input_encoding="spikes")
    rng = np.random.default_rng(seed)
    spikes = {p.name: rng.integers(0, 9, p.shape) * bool(p.levels) / 4 for p in spiking.network.graph}
    cores = map_network(spiking, target, Traffic(spikes), MapOptions(moves=100, atom_moves=20))
    graph = neuron_graph(spiking)
    nets, _ = what_travels(graph, owners(graph, cores), graph.flat(spikes))
    assert len(cores.cores) > 1
    assert traffic(places(cores), nets) == cores.placement.cost


def test_shared_kernels_are_stored_once_a_channel() -> None:
    graph, cores, _, target = drawn(0)
    alone = most_needed(graph, owners(graph, cores), with_memory(target, 0))["synapse_bits"][0]
    shared = with_memory(replace(target, weight_sharing=True), 0)
    together = most_needed(graph, owners(graph, cores), shared)["synapse_bits"][0]
    assert 0 < together <= alone
    assert most_needed(graph, owners(graph, cores), with_memory(target, alone)) == {}
    assert list(most_needed(graph, owners(graph, cores), with_memory(target, alone - 1))) == ["synapse_bits"]


def with_memory(target: Target, bits: int) -> Target:
    return replace(target, core_types=(CoreType(256, Limits(synapse_bits=bits)),))


def test_neurons_of_one_core_and_slot_that_reach_the_same_cores_are_one_net() -> None:
    graph, cores, _, _ = drawn(3)
    owner = owners(graph, cores)
    nets, slot = what_travels(graph, owner, np.ones(len(owner)))
    ends = nets.start.tolist()
    keys = [
        (s, k, tuple(nets.cores[a:b]))
        for s, k, a, b in zip(nets.source, slot, ends[:-1], ends[1:], strict=True)
    ]
    assert len(set(keys)) == len(keys)
    reached: dict[int, set[int]] = {}
    for a, b in zip(graph.source.tolist(), graph.target.tolist(), strict=True):
        if owner[b] != owner[a]:
            reached.setdefault(a, set()).add(int(owner[b]))
    assert nets.spikes.sum() == len(reached)
    assert {(int(owner[a]), int(graph.slot[a]), tuple(sorted(c))) for a, c in reached.items()} == set(keys)
