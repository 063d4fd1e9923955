"""Calibration in the rate code looks at the trains that the finished network sends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.codings.rate import Rate
from nmcompiler.evaluate.float import run_float
from nmcompiler.evaluate.integer import decode_outputs, encode_inputs
from nmcompiler.evaluate.rate import run_rate
from nmcompiler.ir.kernels import Dense, elementwise
from nmcompiler.ir.layers import InputPort, OutputPort
from nmcompiler.ir.network import Network, Population, PopulationGraph, Projection, Role
from nmcompiler.passes import Context, QuantiseOptions, SplitSigned, to_network
from nmcompiler.passes.max_tree import Term, Values
from nmcompiler.passes.rate_response import RateOptions, RateResponse
from nmcompiler.target.model import Dynamics, Target
from nmcompiler.testing.networks import random_network, random_samples
from nmcompiler.testing.targets import tiny_target
from tests.passes.random_models import random_model

T = 6


def _values(network: Network, name: str, *terms: Term) -> Values:
    p = network.graph.node(name)
    return Values(terms or (Term(name),), p.shape, p.levels, p.signed, p.scale, p.offset)


@given(seed=st.integers(0, 10_000), settle=st.integers(0, 3))
@settings(max_examples=15, deadline=None)
def test_its_counts_are_those_of_the_network_layer_by_layer(seed: int, settle: int) -> None:
    target = tiny_target()
    network = random_network(seed, levels=T)
    samples = random_samples(network, seed, 4)
    spiking = Rate(settle).convert(network, target, input_encoding="current", timesteps=T)
    wanted = run_rate(spiking, samples).counts
    response = RateResponse(network.graph, target, RateOptions(T, settle))
    for port, q in encode_inputs(network, samples).items():
        node = next(p.node for p in network.inputs if p.name == port)
        response.put_input(node, q)
    for population in network.graph:
        if population.role != "readout":
            found = response.counts(_values(network, population.name))
            assert np.array_equal(found, wanted[population.name]), population.name


@given(seed=st.integers(0, 10_000), settle=st.integers(0, 2))
@settings(max_examples=10, deadline=None)
def test_negative_inputs_count_where_every_event_is_compared(seed: int, settle: int) -> None:
    """The finished network has an off half for them, and none of its neurons sends a sign."""
    target = tiny_target(signed_spikes=False, membrane_bits=32, dynamics=Dynamics(compares="event"))
    network = _reading_signed_inputs(seed)
    split = SplitSigned().run(network, Context(None, target)).graph
    samples = {"x": np.random.default_rng(seed).uniform(-T, T, (4, 1, 1, 8))}
    spiking = Rate(settle).convert(split, target, input_encoding="spikes", timesteps=T)
    wanted = run_rate(spiking, samples).counts
    response = RateResponse(network.graph, target, RateOptions(T, settle))
    response.put_input("x", encode_inputs(network, samples)["x"])
    assert response.trains["x"] is not None
    assert (response.trains["x"] < 0).any()
    assert np.array_equal(response.counts(_values(network, "h")), wanted["h"])


def _reading_signed_inputs(seed: int) -> Network:
    rng = np.random.default_rng([seed, 2])
    graph = PopulationGraph()
    sizes: tuple[tuple[str, Role, int], ...] = (("x", "input", 8), ("h", "hidden", 5), ("y", "readout", 3))
    for name, role, n in sizes:
        theta = rng.integers(3, 20, (1, 1, n)) if role == "hidden" else np.ones((1, 1, 1), np.int64)
        lead = rng.integers(-9, 3, (1, 1, n)) if role == "hidden" else np.zeros((1, 1, 1), np.int64)
        bias = np.zeros((1, 1, 1), np.int64) if role == "input" else rng.integers(-9, 9, (1, 1, n))
        levels = 0 if role == "readout" else T
        signed = role != "hidden"
        made = (np.ones(n), np.zeros(n), "", ())
        graph.add(Population(name, (1, 1, n), role, bias, theta, levels, signed, *made, lead=lead))
    for source, target, shape in (("x", "h", (5, 8)), ("h", "y", (3, 5))):
        graph.connect(source, target, Projection(Dense(rng.integers(-9, 10, shape))))
    ports = InputPort("x", (1, 1, 8), "x", np.arange(8)), OutputPort("y", (1, 1, 3), "y", np.arange(3))
    return Network("signed", graph, ports[:1], ports[1:])


def test_values_of_several_terms_are_the_sum_of_their_trains() -> None:
    network = random_network(4, levels=T)
    name = next(p.name for p in network.graph if p.role == "input")
    channels = network.graph.node(name).shape[2]
    response = RateResponse(network.graph, tiny_target(), RateOptions(T))
    for port, q in encode_inputs(network, random_samples(network, 4, 3)).items():
        response.put_input(next(p.node for p in network.inputs if p.name == port), q)
    double = Term(name, elementwise(np.full(channels, 2.0)))
    both = response.train(_values(network, name, Term(name), double))
    assert np.array_equal(both, 3 * response.train(_values(network, name)))


def test_trains_that_nothing_reads_are_dropped() -> None:
    network = random_network(4, levels=T)
    name = next(p.name for p in network.graph if p.role == "input")
    response = RateResponse(PopulationGraph(), tiny_target(), RateOptions(T))
    response.graph.add(network.graph.node(name))
    response.put_input(name, np.zeros((2, *network.graph.node(name).shape), np.int64))
    response.keep([])
    with pytest.raises(ValueError, match="dropped"):
        response.train(_values(network, name))


def _error(seed: int, target: Target, rate: RateOptions | None) -> float:
    """Returns how far the outputs in spikes are from the model's, relative to their spread."""
    model, samples = random_model(seed)
    options = QuantiseOptions(levels=T, input_levels=255, input_repeats=T, rate=rate)
    network, _ = to_network(model, Context(samples, target), options)
    settle = 0 if rate is None else rate.settle
    spiking = Rate(settle).convert(network, target, input_encoding="current", timesteps=T)
    found = decode_outputs(network, run_rate(spiking, samples).outputs)
    wanted = run_float(model, samples).outputs
    errors = []
    for name, w in wanted.items():
        spread = np.linalg.norm(w - w.mean(axis=0)) + 1e-3 * np.linalg.norm(w)
        errors.append(float(np.linalg.norm(found[name] - w) / spread))
    return max(errors)


@pytest.mark.parametrize("signed", [False, True])
def test_tuned_networks_come_closer_to_the_model(signed: bool) -> None:
    target = tiny_target(signed_spikes=signed, membrane_bits=32)
    plain, tuned = (
        [_error(seed, target, rate) for seed in range(12)]
        for rate in (None, RateOptions(T, 0 if signed else 2))
    )
    assert np.median(tuned) < 0.8 * np.median(plain)


def test_more_steps_are_simulated_on_fewer_samples() -> None:
    assert [RateOptions(steps).samples(1000) for steps in (8, 16, 32, 4096)] == [512, 256, 128, 64]
    assert RateOptions(4096).samples(10**6) == 8
    assert [RateOptions(steps).rows for steps in (8, 64, 4096)] == [2048, 1024, 64]
