"""The integer executor against an obvious one, against onnxruntime, and at the edges of number types."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.errors import UsageError
from nmcompiler.evaluate.integer import decode_outputs, encode_inputs, iterate_integer, run_integer
from nmcompiler.evaluate.onnx_integer import to_onnx
from nmcompiler.ir.graph import Graph
from nmcompiler.ir.kernels import Dense
from nmcompiler.ir.layers import InputPort, OutputPort
from nmcompiler.ir.network import Network, Population, PopulationGraph, Projection
from nmcompiler.testing.networks import evaluate_naively, random_network, random_samples


def _population(name: str, n: int, role: str, levels: int, theta: int, bias: int = 0) -> Population:
    one = np.ones((1, 1, 1), np.int64)
    scale, offset = np.full(n, 0.5), np.zeros(n)
    return Population(name, (1, 1, n), role, bias * one, theta * one, levels, False, scale, offset)  # type: ignore[arg-type]


def _chain(weight: int, theta: int, *, bias: int = 0, levels: int = 255, inputs: int = 1) -> Network:
    graph: PopulationGraph = Graph()
    graph.add(_population("x", inputs, "input", 255, 1))
    graph.add(_population("n", 1, "hidden", levels, theta, bias))
    graph.add(_population("y", 1, "readout", 0, 1))
    graph.connect("x", "n", Projection(Dense(np.full((1, inputs), weight))))
    graph.connect("n", "y", Projection(Dense(np.ones((1, 1), np.int64))))
    port = InputPort("x", (inputs,), "x", np.arange(inputs))
    return Network("chain", graph, (port,), (OutputPort("y", (1,), "y", np.zeros(1, np.int64)),))


@given(st.integers(0, 10**5), st.sampled_from([0, 1, 7, 255]))
@settings(max_examples=40, deadline=None)
def test_every_population_equals_the_obvious_executor(seed: int, output_levels: int) -> None:
    network = random_network(seed, output_levels=output_levels)
    samples = random_samples(network, seed, 7)
    inputs = encode_inputs(network, samples)
    wanted = evaluate_naively(network, {port.node: inputs[port.name] for port in network.inputs})
    found = run_integer(network, samples, record=True, batch=3)
    for p in network.graph:
        values = found.values if p.sends else found.membranes
        assert np.array_equal(values[p.name], wanted[p.name])
        if p.fires:
            q = np.clip(found.membranes[p.name] // p.theta, p.lowest, p.levels)
            assert np.array_equal(q, wanted[p.name])
    for port in network.outputs:
        flat = wanted[port.node].reshape(len(wanted[port.node]), -1)
        assert np.array_equal(found.outputs[port.name].reshape(len(flat), -1), flat[:, port.order])


@pytest.mark.parametrize("convolutions", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_onnxruntime_computes_the_same_integers(seed: int, convolutions: bool) -> None:
    network = random_network(seed, output_levels=15 if seed % 2 else 0)
    samples = random_samples(network, seed, 5)
    model = to_onnx(network, convolutions=convolutions)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    judged = dict(zip(names, session.run(names, encode_inputs(network, samples)), strict=True))
    found = run_integer(network, samples, record=True)
    for p in network.graph:
        if p.role != "input":
            values = found.values if p.sends else found.membranes
            assert np.array_equal(judged[p.name], values[p.name])


@given(st.integers(1, 50), st.integers(-200, 200), st.integers(0, 6), st.integers(-1, 0))
@settings(max_examples=100, deadline=None)
def test_ties_round_up_and_one_below_rounds_down(theta: int, bias: int, k: int, below: int) -> None:
    accumulator = k * theta - theta // 2 + below
    network = _chain(1, theta, bias=accumulator)
    found = run_integer(network, {"x": np.zeros((1, 1))})
    assert found.outputs["y"][0, 0] == max(k + below, 0)


@pytest.mark.parametrize("power", [20, 23, 24, 30, 45, 52, 53])
def test_sums_beyond_a_number_type_stay_exact(power: int) -> None:
    weight = (1 << power) // 255 + 1
    theta = weight * 2 - 1
    network = _chain(weight, theta, levels=10**6, inputs=2)
    x = np.array([[q, q] for q in (1, 2, 127, 254, 255)], np.int64).reshape(-1, 1, 1, 2)
    found = run_integer(network, {"x": x}, quantised=True, record=True)
    for q, membrane, value in zip(
        x[:, 0, 0, 0].tolist(), found.membranes["n"].reshape(-1), found.values["n"].reshape(-1), strict=True
    ):
        exact = 2 * q * weight + theta // 2
        assert int(membrane) == exact
        assert int(value) == exact // theta


def test_inputs_round_half_up_and_are_cut_at_the_levels() -> None:
    network = _chain(1, 1)
    q = encode_inputs(network, {"x": np.array([[0.24], [0.25], [0.75], [1000.0], [-3.0]])})["x"]
    assert q.reshape(-1).tolist() == [0, 1, 2, 255, 0]


def test_outputs_are_accumulators_times_the_scale_of_the_read_out() -> None:
    network = _chain(2, 1)
    outputs = run_integer(network, {"x": np.array([[1.5]])}).outputs
    assert outputs["y"].tolist() == [[6]]
    assert decode_outputs(network, outputs)["y"].tolist() == [[3.0]]


def test_batches_arrive_one_by_one_and_nothing_is_recorded_unasked() -> None:
    network = _chain(1, 1)
    parts = list(iterate_integer(network, {"x": np.zeros((5, 1))}, batch=2))
    assert [len(part.outputs["y"]) for part in parts] == [2, 2, 1]
    assert not parts[0].values
    assert not parts[0].membranes


def test_no_samples_give_no_outputs() -> None:
    assert run_integer(_chain(1, 1), {"x": np.zeros((0, 1))}).outputs["y"].shape == (0, 1)


@pytest.mark.parametrize("samples", [{}, {"x": np.zeros((2, 3))}])
def test_samples_that_are_missing_or_of_another_shape_are_refused(samples: dict[str, np.ndarray]) -> None:
    with pytest.raises(UsageError, match="input 'x'"):
        run_integer(_chain(1, 1), samples)
