"""Relays change no value, stand only where they save cores, and let a neuron reach more axons than copies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.backend import BackendBase
from nmcompiler.codings import coding
from nmcompiler.codings.rate import Rate
from nmcompiler.errors import DoesNotFit
from nmcompiler.evaluate.integer import run_integer
from nmcompiler.evaluate.rate import run_rate
from nmcompiler.ir.graph import Graph
from nmcompiler.ir.kernels import Dense, elementwise
from nmcompiler.ir.layers import InputPort, OutputPort
from nmcompiler.ir.network import Network, Population, Projection
from nmcompiler.ir.relays import is_relay, plan_of, with_relays
from nmcompiler.ir.verify import complaints
from nmcompiler.mapping.needs import network_needs
from nmcompiler.mapping.partition import partition
from nmcompiler.passes import Context
from nmcompiler.passes.relays import Relays
from nmcompiler.program.lift import check_lift
from nmcompiler.program.usage import core_usage
from nmcompiler.sim import Record, Simulator
from nmcompiler.target import Crossbar
from nmcompiler.testing import random_network, random_samples, tiny_target
from nmcompiler.testing.chain import placed_program

STEPS = 8


def chip(neurons=16, input_axons=32, **changes):
    """Cores of few neurons, each of which reaches one axon."""
    return tiny_target(
        neurons=neurons,
        input_axons=input_axons,
        weight_bits=4,
        crossbar=Crossbar(axon_types=4, weight_bits=9),
        axon_fan_out=1,
        rows=32,
        columns=32,
        **{"signed_spikes": False, **changes},
    )


def vector(name, n, role, theta=1):
    one = np.ones((1, 1, 1), np.int64)
    scale = np.ones(n)
    return Population(name, (1, 1, n), role, 0 * one, theta * one, STEPS, False, scale, 0 * scale, role)


def network(edges, **sizes):
    """Populations from x, the input, to y and z, the read-outs, with dense layers of random weights."""
    rng = np.random.default_rng(sum(sizes.values()))
    graph = Graph()
    for name, n in sizes.items():
        role = {"x": "input", "y": "readout", "z": "readout"}.get(name, "hidden")
        graph.add(vector(name, n, role, 1 if role == "input" else 9))
    for source, target in edges:
        weight = rng.integers(-8, 8, (sizes[target], sizes[source]))
        weight[0, 0] = -8  # all four types
        graph.connect(source, target, Projection(Dense(weight)))
    inputs = InputPort("x", (sizes["x"],), "x", np.arange(sizes["x"]))
    outputs = [OutputPort(n, (sizes[n],), n, np.arange(sizes[n])) for n in ("y", "z") if n in sizes]
    return Network("net", graph, (inputs,), tuple(outputs))


def wide(outputs):
    """Eight neurons, each read on an axon of every type of every core that holds outputs."""
    return network([("x", "s"), ("s", "y")], x=4, s=8, y=outputs)


def relays(program_network):
    return [p.name for p in program_network.graph if is_relay(program_network, p.name)]


def cores(net, target):
    spiking = Rate().convert(net, target, input_encoding="spikes")
    return len(partition(network_needs(spiking, target), None).cores)


def samples(net, count=6):
    return {"x": np.random.default_rng(3).integers(0, STEPS + 1, (count, *net.inputs[0].shape)).astype(float)}


def chip_is_the_network(program, spiking, x):
    golden = run_rate(spiking, x)
    result = Simulator(program).run(x, record=Record(values=True))
    for number, p in enumerate(spiking.network.graph):
        assert np.array_equal(result.values[number], golden.counts[p.name].reshape(len(x["x"]), -1)), p.name
    assert result.saturations == 0


@pytest.mark.parametrize("settle", [0, 2, 5])
@given(seed=st.integers(0, 10**5))
@settings(max_examples=15, deadline=None)
def test_spike_trains_of_the_rate_code_are_the_same_through_relays(settle, seed):
    """Readers see the same trains: their counts are equal, those of the relays are their sources'."""
    target = tiny_target(signed_spikes=seed % 2 == 0)
    net = random_network(seed, levels=STEPS)
    sources = {p.name for p in net.graph if p.role == "hidden" and net.graph.successors(p.name)}
    plan = {s: ({t: (0, net.graph.node(t).size) for t in net.graph.successors(s)},) for s in sources}
    made, source_of = with_relays(net, plan)
    assert not complaints(made)
    assert plan_of(made) == plan
    x = random_samples(net, seed, 4)
    runs = [
        run_rate(Rate(settle).convert(n, target, input_encoding="spikes", timesteps=STEPS), x)
        for n in (net, made)
    ]
    for p in net.graph:
        if p.sends:
            assert np.array_equal(runs[0].counts[p.name], runs[1].counts[p.name]), p.name
    for relay, source in source_of.items():
        assert np.array_equal(runs[1].counts[relay], runs[1].counts[source])
    for name, result in runs[0].outputs.items():
        assert np.array_equal(result, runs[1].outputs[name])
    values = [run_integer(n, x).outputs for n in (net, made)]
    assert all(np.array_equal(values[0][name], values[1][name]) for name in values[0])


def test_a_neuron_that_needs_more_axons_than_a_core_has_neurons_is_read_through_several_relays():
    net, target = wide(150), chip()
    with pytest.raises(DoesNotFit, match="layer 's' needs 40 neurons where tiny has 16"):
        cores(net, target)
    program, spiking = placed_program(net, target, "rate", timesteps=STEPS)
    assert relays(spiking.network) == ["s.relay", "s.relay2", "s.relay3"]
    built = np.bincount(program.table("copies")[:, 1], minlength=program.neurons) + 1
    assert built.max() <= 16
    assert check_lift(program, spiking).ok
    assert core_usage(program).broken() == []
    chip_is_the_network(program, spiking, samples(net))
    plain = Rate().convert(net, target, input_encoding="spikes", timesteps=STEPS)
    x = samples(net)
    assert np.array_equal(run_rate(plain, x).outputs["y"], run_rate(spiking, x).outputs["y"])


def deep(outputs):
    """The copies of s would ask every neuron of a for copies."""
    return network([("x", "a"), ("a", "s"), ("s", "y")], x=4, a=8, s=8, y=outputs)


def test_several_readers_are_told_apart():
    """Together they need more axons than a core has neurons, and none of them does alone."""
    net, target = network([("x", "s"), ("s", "y"), ("s", "z")], x=4, s=8, y=40, z=36), chip()
    with pytest.raises(DoesNotFit, match="layer 's' needs 24 neurons where tiny has 16"):
        cores(net, target)
    program, spiking = placed_program(net, target, "rate", timesteps=STEPS)
    assert relays(spiking.network) == ["s.relay", "s.relay2"]
    assert check_lift(program, spiking).ok
    chip_is_the_network(program, spiking, samples(net))


def test_copies_do_not_multiply_from_layer_to_layer():
    """A core takes 4 axons of s for each of its 16 outputs, and a core of copies of s as many of a."""
    net, target = deep(50), chip()
    with pytest.raises(DoesNotFit, match="layer 'a' needs 32 neurons where tiny has 16"):
        cores(net, target)
    program, spiking = placed_program(net, target, "rate", timesteps=STEPS)
    assert relays(spiking.network) == ["s.relay"]
    chip_is_the_network(program, spiking, samples(net))


def test_a_network_whose_copies_are_cheaper_stays_as_it_is():
    """Fed by the host, whose axons cost no neuron, copies are never dearer than relays."""
    net, target = wide(20), chip()
    assert cores(net, target) < cores(with_relays(net, {"s": ({"y": (0, 20)},)})[0], target)
    result = Relays(Rate()).run(net, Context(None, target))
    assert not result.changed
    assert result.graph is net


def test_a_relay_is_put_where_it_saves_cores_and_counts_like_any_population():
    net, target = deep(30), chip()
    result = Relays(Rate()).run(net, Context(None, target))
    assert relays(result.graph) == ["s.relay"]
    assert cores(result.graph, target) < cores(net, target)
    assert [note.layer for note in result.notes] == ["s"]
    relay, source = result.graph.graph.node("s.relay"), net.graph.node("s")
    assert (relay.op, relay.origin, relay.shape) == ("Relay", source.origin, source.shape)
    assert result.graph.neurons == net.neurons + source.size
    assert Relays(Rate()).run(result.graph, Context(None, target)).changed is False


def test_spikes_that_would_wait_too_long_keep_their_copies():
    net = deep(30)
    net.graph.connect("x", "y", Projection(Dense(np.ones((30, 4), np.int64))))
    target = chip(input_axons=48)
    assert Relays(Rate()).run(net, Context(None, target)).changed
    assert not Relays(Rate()).run(net, Context(None, replace(target, delay_max=3))).changed


def test_what_only_looks_like_a_relay_is_none():
    net = with_relays(deep(30), {"s": ({"y": (0, 30)},)})[0]
    relay = net.graph.node("s.relay")
    assert is_relay(net, "s.relay")
    one = np.ones((1, 1, 1), np.int64)
    for changed in (
        {"theta": 2 * one},
        {"bias": one},
        {"lead": -one},
        {"levels": STEPS - 1},
        {"signed": True},
    ):
        net.graph.replace(replace(relay, **changed))
        assert not is_relay(net, "s.relay"), changed
    net.graph.replace(relay)
    net.graph.disconnect("s.relay")
    net.graph.connect("s", "s.relay", Projection(elementwise(np.full(8, 2))))
    assert not is_relay(net, "s.relay")
    assert not is_relay(net, "a")


def test_the_pass_runs_only_where_a_neuron_reaches_few_axons():
    def names(target):
        return [step.name for step in BackendBase().legalise(coding("rate"), target)]

    assert names(chip()) == ["drop-zeros", "split-signed", "relays"]
    assert names(replace(chip(), axon_fan_out=None)) == ["drop-zeros", "split-signed"]
