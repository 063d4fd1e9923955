"""Networks on cores of bits, axon types and copies: nothing may differ, and no fault may hide."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from nmcompiler.errors import DoesNotFit
from nmcompiler.evaluate.rate import run_rate
from nmcompiler.ir.graph import Graph
from nmcompiler.ir.kernels import Dense
from nmcompiler.ir.layers import InputPort, OutputPort
from nmcompiler.ir.network import Network, Population, Projection
from nmcompiler.program.layout import BlockKind
from nmcompiler.program.lift import check_lift
from nmcompiler.program.structure import fault
from nmcompiler.program.usage import core_usage, fan_out
from nmcompiler.report.workload import by_neuron, workload
from nmcompiler.sim import Record, Simulator
from nmcompiler.target import CoreType, Crossbar, Limits
from nmcompiler.testing import (
    CROSSBAR_MUTATIONS,
    MUTATIONS,
    mutations,
    random_samples,
    suited_network,
    tiny_target,
)
from nmcompiler.testing.chain import placed_program

from .checks import WINDOWED, counters, mismatches
from .test_oracle_agrees import compare

RATE_STEPS = 12


def tiny(seed, **changes):
    """A tiny chip with crossbars, another one for every seed."""
    return tiny_target(
        neurons=48 + seed % 23,
        input_axons=160,
        weight_bits=4,
        crossbar=Crossbar(axon_types=4, weight_bits=9),
        axon_fan_out=1 + seed % 2,
        signed_spikes=seed % 3 != 0,
        max_chips=4,
        **changes,
    )


def programs(code, seeds, *, levels=None, timesteps=None, **changes):
    """Yields (seed, program, golden network) of those networks that the tiny chips hold."""
    for seed in seeds:
        target = tiny(seed, **changes)
        network = suited_network(seed, target, levels=levels)
        try:
            yield seed, *placed_program(network, target, code, seed=seed, timesteps=timesteps)
        except DoesNotFit:
            continue


@pytest.mark.parametrize("code", WINDOWED)
def test_a_random_network_is_exact_on_crossbars(code):
    held = 0
    for seed, program, spiking in programs(code, range(12)):
        assert set(program.column("kind")[1:]) <= {BlockKind.TYPED_CROSSBAR, BlockKind.INPUT}
        assert fault(program) is None
        assert check_lift(program, spiking).ok
        assert core_usage(program).broken() == []
        samples = random_samples(spiking.network, seed, 8)
        results = []
        for literal in (False, True):
            wrong, result = mismatches(program, spiking, samples, literal=literal)
            assert [wrong[k] for k in ("outputs", "activations", "membranes")] == [0, 0, 0]
            assert result.saturations == 0
            results.append(counters(result))
        assert results[0] == results[1]
        held += len(program.table("copies")) > 0
    assert held >= 5  # with neurons that are built several times


def test_counts_in_rate_are_those_of_the_network_layer_by_layer():
    compared = 0
    for seed, program, spiking in programs("rate", range(12), levels=RATE_STEPS, timesteps=RATE_STEPS):
        samples = random_samples(spiking.network, seed, 8)
        golden = run_rate(spiking, samples)
        result = Simulator(program).run(samples, record=Record(values=True))
        if result.saturations:
            continue  # the network layer by layer knows no smallest membrane
        for number, population in enumerate(spiking.network.graph):
            if population.sends:
                counts = golden.counts[population.name].reshape(8, -1)
                assert np.array_equal(result.values[number], counts)
                compared += population.role != "input"
        for port, read in zip(program.outputs, result.outputs, strict=True):
            shift = int(program.column("shift")[program.column("population") == port.population][0])
            assert np.array_equal(port.read(read) / 2.0**shift, golden.outputs[port.name].reshape(8, -1))
    assert compared >= 20


@pytest.mark.parametrize("code", [*WINDOWED, "rate"])
def test_the_oracle_runs_crossbars_from_the_format_alone(tmp_path, code):
    steps = RATE_STEPS if code == "rate" else None
    held = 0
    for seed, program, spiking in programs(code, range(4), levels=7, timesteps=steps):
        compare(program, random_samples(spiking.network, seed, 2), tmp_path / "p.nmc")
        held += 1
    assert held >= 2


@pytest.mark.parametrize("code", [*WINDOWED, "rate"])
def test_programs_with_relays_are_the_network_and_the_oracle_agrees(tmp_path, code):
    """Eight neurons that are read on more axons than a core has neurons."""
    target = replace(tiny(0), core_types=(CoreType(200, Limits(neurons=16, input_axons=32)),), axon_fan_out=1)
    weights = np.random.default_rng(0).integers(-8, 8, (90, 8))
    weights[:, 0], weights[:, 1] = -8, 7  # axons of all four types
    one, graph = np.ones((1, 1, 1), np.int64), Graph()
    for name, n, role, theta in (("x", 8, "input", 1), ("s", 8, "hidden", 2), ("y", 90, "readout", 30)):
        graph.add(Population(name, (1, 1, n), role, 0 * one, theta * one, 7, False, np.ones(n), np.zeros(n)))
    graph.connect("x", "s", Projection(Dense(np.eye(8, dtype=np.int64)[::-1] + np.eye(8, dtype=np.int64))))
    graph.connect("s", "y", Projection(Dense(weights)))
    ports = (InputPort("x", (8,), "x", np.arange(8)),), (OutputPort("y", (90,), "y", np.arange(90)),)
    program, spiking = placed_program(
        Network("wide", graph, *ports), target, code, timesteps=7 if code == "rate" else None
    )
    assert len(spiking.network.graph) > 3
    assert check_lift(program, spiking).ok
    assert core_usage(program).broken() == []
    samples = random_samples(spiking.network, 0, 4)
    compare(program, samples, tmp_path / "p.nmc")
    if code == "rate":
        counts = Simulator(program).run(samples, record=Record(values=True)).values
        golden = run_rate(spiking, samples).counts
        for number, name in enumerate(spiking.network.graph.names()):
            assert np.array_equal(counts[number], golden[name].reshape(4, -1))
    else:
        wrong, _ = mismatches(program, spiking, samples)
        assert [wrong[k] for k in ("outputs", "activations", "membranes")] == [0, 0, 0]


def test_operations_are_counted_where_bits_are_set():
    """By the simulator's fan-out, and by the receipt of energy from routes and runs."""
    for seed, program, spiking in programs("rate-sync", range(6)):
        result = Simulator(program).run(random_samples(spiking.network, seed, 4))
        work = workload(program, result.spikes_per_neuron)
        assert work.block_synops.sum() == result.synops
        reached, not_zero = fan_out(program)
        assert np.array_equal(reached, not_zero)
        assert (reached * result.spikes_per_neuron).sum() == result.synops
        values = [np.arange(p.size).reshape(p.shape) for p in spiking.network.graph]
        copies = program.table("copies")
        found = by_neuron(program, values)
        assert np.array_equal(found[copies[:, 0]], found[copies[:, 1]])


def test_lift_sees_every_fault_in_bits_types_type_weights_copies_and_routes():
    planted, seen = Counter(), Counter()
    for seed, program, spiking in programs("rate-sync", range(8)):
        for mutation in mutations(program, seed, each=2):
            report = check_lift(mutation.program, spiking)
            assert report.ok == mutation.equivalent, mutation.description
            if not mutation.equivalent:
                planted[mutation.kind] += 1
                seen[mutation.kind] += not report.ok
    assert set(planted) == {*MUTATIONS, *CROSSBAR_MUTATIONS}
    assert planted == seen


def test_a_neuron_that_reaches_more_axons_than_the_chip_lets_it_is_no_program_of_the_chip():
    program, spiking = next(
        (program, spiking) for seed, program, spiking in programs("phase", range(2, 12, 2))
        if len(program.table("copies"))
    )  # fmt: skip
    assert program.target.axon_fan_out == 1
    copy, original = program.table("copies")[0].tolist()
    routes = program.arrays["routes"].copy()
    row = int(np.flatnonzero((routes[:, 0] <= copy) & (copy < routes[:, 0] + routes[:, 1]))[0])
    gid0, n, core, axon0, delay = routes[row].tolist()
    k = copy - gid0
    parts = [(gid0, k, core, axon0, delay), (original, 1, core, axon0 + k, delay)]
    parts += [(copy + 1, n - k - 1, core, axon0 + k + 1, delay)]
    moved = np.array([p for p in parts if p[1]], routes.dtype)
    multicast = program.with_arrays(routes=np.concatenate([np.delete(routes, row, axis=0), moved]))
    assert "axons" in check_lift(multicast, spiking).message
    free = replace(program.target, axon_fan_out=None)
    assert check_lift(replace(multicast, target=free), spiking).ok
