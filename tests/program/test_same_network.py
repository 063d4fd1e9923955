"""Whether two programs hold the same integer network, against dense matrices of the networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.codings import CODINGS, coding
from nmcompiler.evaluate.linear import apply
from nmcompiler.ir.graph import Graph
from nmcompiler.ir.kernels import Array, with_weight
from nmcompiler.ir.network import Network, PopulationGraph, Projection
from nmcompiler.program import lifted
from nmcompiler.program.assemble import assemble
from nmcompiler.program.layout import Program
from nmcompiler.program.same_network import (
    NetworkComparison,
    PopulationDifference,
    compare_networks,
    same_arrays,
    same_ports,
)
from nmcompiler.target import Crossbar
from nmcompiler.testing import random_network, suited_network, tiny_target
from nmcompiler.testing.chain import placed_program
from nmcompiler.testing.programs import random_cores

EXACT = tuple(code for code in CODINGS if code != "rate")
PROVED = (True, True)


def placed(network: Network, cut: int, code: str = "phase", **target: object) -> Program:
    chip = tiny_target(**target)  # type: ignore[arg-type]
    chosen = coding(code)
    spiking = chosen.convert(network, chip, input_encoding=chosen.input_encodings[0])
    return assemble(spiking, random_cores(spiking, cut), chip)


def matrix(network: Network, target: str) -> Array:
    """Returns the weights into a population, ``(neurons, neurons of all)``, by applying kernels to ones."""
    graph = network.graph
    size = graph.node(target).size
    columns: dict[str, Array] = {p.name: np.zeros((size, p.size), np.int64) for p in graph}
    for edge in graph.in_edges(target):
        source = graph.node(edge.source)
        ones = np.eye(source.size, dtype=np.int64).reshape(source.size, *source.shape)
        found = apply(edge.payload.kernel, ones, graph.node(target).shape)
        columns[edge.source] += found.reshape(source.size, size).T
    return np.concatenate(list(columns.values()), axis=1)


def rewritten(network: Network, seed: int) -> Network:
    """Returns the network with some weights, thresholds and biases drawn anew."""
    rng = np.random.default_rng(seed)
    graph: PopulationGraph = Graph()
    for p in network.graph:
        if p.role == "hidden" and rng.random() < 0.3:
            p = replace(p, theta=p.theta + rng.integers(0, 2, p.theta.shape))
        if p.role != "input" and rng.random() < 0.3:
            p = replace(p, bias=p.bias + rng.integers(-1, 2, p.bias.shape))
        graph.add(p)
    for edge in network.graph.edges():
        weight = edge.payload.kernel.weight
        if rng.random() < 0.3 and np.abs(weight).max(initial=0) < 100:
            weight = weight + (rng.random(weight.shape) < 0.2)
        graph.connect(
            edge.source, edge.target, Projection(with_weight(edge.payload.kernel, weight), edge.payload.slot)
        )
    return replace(network, graph=graph)


def expected(a: Network, b: Network) -> tuple[PopulationDifference, ...]:
    rows = []
    for number, (p, q) in enumerate(zip(a.graph, b.graph, strict=True)):
        rows.append(
            PopulationDifference(
                number,
                weights=int((matrix(a, p.name) != matrix(b, q.name)).sum()),
                thresholds=int(
                    (np.broadcast_to(p.theta, p.shape) != np.broadcast_to(q.theta, p.shape)).sum()
                ),
                biases=int((np.broadcast_to(p.bias, p.shape) != np.broadcast_to(q.bias, p.shape)).sum()),
                levels=False,
            )
        )
    return tuple(row for row in rows if row)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 60), change=st.integers(0, 10**6), codes=st.tuples(*[st.sampled_from(EXACT)] * 2))
def test_every_changed_number_is_counted_whatever_code_and_cut(
    seed: int, change: int, codes: tuple[str, str]
) -> None:
    network = random_network(seed, levels=7)
    other = rewritten(network, change)
    a = placed(network, seed, codes[0], weight_sharing=True)
    b = placed(other, change, codes[1], fires_when="gt")
    found = compare_networks(a, b, proved=PROVED)
    assert found.differing == expected(network, other)
    assert found.same is (not found.differing)
    mirrored = compare_networks(b, a, proved=PROVED)
    assert mirrored == found


@pytest.mark.parametrize("code", CODINGS)
def test_other_cores_and_other_names_are_the_same_network(code: str) -> None:
    network = random_network(5, levels=7)
    a, b = (placed(network, cut, code) for cut in (0, 1))
    assert compare_networks(a, replace(b, names=None), proved=PROVED) == NetworkComparison(True)
    assert not same_arrays(a, b)
    assert same_arrays(a, placed(network, 0, code))
    assert same_ports(a, b)


def test_large_populations_are_read_in_ranges_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifted, "CHUNK_SYNAPSES", 50)
    network = random_network(6)
    weights = 0
    for change in range(6):
        other = rewritten(network, change)
        found = compare_networks(placed(network, 0), placed(other, 1), proved=PROVED)
        assert found.differing == expected(network, other)
        weights += sum(row.weights for row in found.differing)
    assert weights > 100


def test_how_long_spikes_travel_is_no_part_of_the_network() -> None:
    program = placed(random_network(2), 0)
    routes = program.arrays["routes"].copy()
    routes[:, 4] += 1
    late = replace(program, arrays={**program.arrays, "routes": routes})
    assert compare_networks(program, late, proved=(True, False)).same is True
    assert not same_arrays(program, late)


def test_networks_of_other_shapes_are_not_the_same() -> None:
    a, b = (placed(random_network(seed), 0) for seed in (0, 1))
    found = compare_networks(a, b, proved=PROVED)
    assert found.same is False
    assert "population" in found.reason


def test_other_levels_are_another_network() -> None:
    network = random_network(3, levels=7)
    graph = network.graph.copy()
    hidden = next(p for p in graph if p.role == "hidden")
    graph.replace(replace(hidden, levels=6))
    found = compare_networks(placed(network, 0), placed(replace(network, graph=graph), 0), proved=PROVED)
    number = network.graph.names().index(hidden.name)
    assert found.differing == (PopulationDifference(number, 0, 0, 0, True),)


def test_a_free_running_code_needs_its_golden_network() -> None:
    network = random_network(4, levels=7)
    a, b = (placed(network, cut, "rate") for cut in (0, 1))
    assert compare_networks(a, b, proved=PROVED).same is True
    bare = replace(b, golden=None)
    assert compare_networks(bare, bare, proved=(False, False)).same is True  # equal in every number
    assert compare_networks(a, bare, proved=(True, False)).same is None
    assert compare_networks(a, b, proved=(True, False)).same is None  # a golden network that was not proved
    other = placed(rewritten(network, 3), 1, "rate")
    assert compare_networks(a, replace(other, golden=None), proved=(True, False)).same is False


def test_an_exact_code_needs_no_golden_network() -> None:
    network = random_network(4)
    a, b = (replace(placed(network, cut), golden=None) for cut in (0, 1))
    assert compare_networks(a, b, proved=(False, False)).same is True


def test_copies_of_neurons_count_once_and_need_a_proof() -> None:
    chip = tiny_target(
        neurons=60, input_axons=160, weight_bits=4, crossbar=Crossbar(4, 9), axon_fan_out=1, max_chips=4
    )
    a, spiking = placed_program(suited_network(2, chip), chip, "phase", seed=2)
    b = placed(spiking.network, 0)  # on a chip without copies
    assert len(a.table("copies"))
    assert compare_networks(a, b, proved=PROVED).same is True
    assert compare_networks(a, placed(rewritten(spiking.network, 1), 0), proved=PROVED).same is False
    assert compare_networks(a, b, proved=(False, True)).same is None


def test_what_cannot_be_read_back_is_not_known() -> None:
    program = placed(random_network(1), 0)
    blocks = program.arrays["blocks"].copy()
    blocks[-1, 5] += 1  # y0: a hole
    broken = replace(program, arrays={**program.arrays, "blocks": blocks})
    found = compare_networks(program, broken, proved=(True, False))
    assert found.same is None
    assert "population" in found.reason


def test_scales_belong_to_the_ports() -> None:
    program = placed(random_network(1), 0)
    out = program.outputs[0]
    scaled = replace(program, outputs=(replace(out, scale=out.scale * 2), *program.outputs[1:]))
    given_ = program.inputs[0]
    shifted = replace(program, inputs=(replace(given_, offset=given_.offset + 1), *program.inputs[1:]))
    renamed = replace(program, inputs=(replace(given_, name="other"), *program.inputs[1:]))
    assert not same_ports(program, scaled)
    assert not same_ports(program, shifted)
    assert not same_arrays(program, scaled)
    assert same_ports(program, renamed)
    assert compare_networks(program, scaled, proved=PROVED).same is True
