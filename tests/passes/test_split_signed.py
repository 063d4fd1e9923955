"""On and off halves compute what signed values computed, ties included."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.evaluate.integer import encode_inputs, run_integer
from nmcompiler.ir.graph import Graph
from nmcompiler.ir.kernels import Dense
from nmcompiler.ir.layers import InputPort, OutputPort
from nmcompiler.ir.network import Network, Population, PopulationGraph, Projection
from nmcompiler.ir.verify import complaints
from nmcompiler.passes import Context, SplitSigned
from nmcompiler.testing.networks import random_network, random_samples
from nmcompiler.testing.targets import tiny_target


def _context() -> Context:
    return Context(None, tiny_target(signed_spikes=False))


def _vector(name: str, n: int, role: str, **changes: object) -> Population:
    one = np.ones((1, 1, 1), np.int64)
    fields: dict[str, object] = {
        "name": name,
        "shape": (1, 1, n),
        "role": role,
        "bias": 0 * one,
        "theta": one,
        "levels": 0 if role == "readout" else 9,
        "signed": role == "hidden",
        "scale": np.ones(n),
        "offset": np.zeros(n),
    }
    return Population(**{**fields, **changes})  # type: ignore[arg-type]


def _chain(theta: int, bias: int, scale: float = 1.0) -> Network:
    """One signed input times one, a signed neuron, a read-out."""
    graph: PopulationGraph = Graph()
    graph.add(_vector("x", 1, "input", levels=200, signed=True, scale=np.full(1, scale)))
    neuron = np.full((1, 1, 1), theta), np.full((1, 1, 1), bias)
    graph.add(_vector("n", 1, "hidden", theta=neuron[0], bias=neuron[1]))
    graph.add(_vector("y", 1, "readout", signed=True))
    for source, target in (("x", "n"), ("n", "y")):
        graph.connect(source, target, Projection(Dense(np.ones((1, 1), np.int64))))
    order = np.zeros(1, np.int64)
    inputs = (InputPort("x", (1,), "x", order),)
    return Network("chain", graph, inputs, (OutputPort("y", (1,), "y", order),))


@given(st.integers(0, 10**5), st.sampled_from([0, 3, 31]))
@settings(max_examples=40, deadline=None)
def test_outputs_of_random_networks_stay_the_same(seed: int, output_levels: int) -> None:
    network = random_network(seed, output_levels=output_levels)
    result = SplitSigned().run(network, _context())
    assert not complaints(result.graph)
    signed = [p for p in network.graph if p.signed and p.sends]
    assert result.changed == bool(signed)
    assert not any(p.signed for p in result.graph.graph if p.sends)
    samples = random_samples(network, seed, 6)
    before, after = (
        run_integer(network, samples, record=True),
        run_integer(result.graph, samples, record=True),
    )
    for name, wanted in before.outputs.items():
        assert np.array_equal(after.outputs[name], wanted)
    for p in signed:
        on, off = np.split(after.values[p.name], 2, axis=-1)
        assert np.array_equal(on - off, before.values[p.name])
        assert not np.any(on * off)


@given(st.integers(1, 12), st.integers(-30, 30), st.integers(-5, 5), st.integers(-1, 0))
@settings(max_examples=100, deadline=None)
def test_ties_fall_the_same_way(theta: int, bias: int, multiple: int, below: int) -> None:
    network = _chain(theta, bias)
    tie = np.array([[float(multiple * theta - theta // 2 - bias + below)]])
    wanted = run_integer(network, {"x": tie}).outputs["y"]
    assert wanted[0, 0] == np.clip(multiple + below, -9, 9)
    split = SplitSigned().run(network, _context()).graph
    assert np.array_equal(run_integer(split, {"x": tie}).outputs["y"], wanted)


def test_the_off_half_starts_where_floor_needs_it() -> None:
    split = SplitSigned().run(_chain(7, 4), _context()).graph
    start = split.graph.node("n").v0.reshape(-1)
    assert start.tolist() == [4 + 3, -4 + 7 - 1 - 3]


def test_inputs_on_the_edge_between_two_integers_are_coded_alike() -> None:
    network = _chain(1, 0, scale=0.25)
    x = (np.arange(-20, 21) + 0.5).reshape(-1, 1) * 0.25
    split = SplitSigned().run(network, _context()).graph
    on, off = np.split(encode_inputs(split, {"x": x})["x"], 2, axis=-1)
    assert np.array_equal(on - off, encode_inputs(network, {"x": x})["x"])


def test_a_network_without_signed_values_is_left_alone() -> None:
    network = random_network(3)
    once = SplitSigned().run(network, _context()).graph
    again = SplitSigned().run(once, _context())
    assert not again.changed
    assert again.graph is once
