"""Folding and fusing keep what a network computes and leave fewer layers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.evaluate.float import run_float
from nmcompiler.ir.kernels import Array, Conv, Dense, elementwise
from nmcompiler.ir.layers import Clip, Model
from nmcompiler.ir.verify import complaints
from nmcompiler.passes import (
    Context,
    FoldLinear,
    FuseActivation,
    Pipeline,
    Rectify,
    RemoveDead,
    float_passes,
)
from nmcompiler.testing.targets import tiny_target
from tests.passes.random_models import RELU, ModelBuilder, random_model

CONTEXT = Context(None, tiny_target())


def _simplified(model: Model) -> Model:
    return Pipeline(float_passes()).run(model, CONTEXT).graph


def _assert_equal(before: Model, after: Model, samples: dict[str, Array]) -> None:
    assert not complaints(after)
    wanted, found = run_float(before, samples).outputs, run_float(after, samples).outputs
    for name, value in wanted.items():
        assert np.abs(found[name] - value).max() <= 1e-9 * (1 + np.abs(value).max())


def _ops(model: Model) -> list[str]:
    return [layer.op for layer in model.graph]


@given(st.integers(0, 10**6))
@settings(max_examples=80, deadline=None)
def test_random_models_compute_the_same(seed: int) -> None:
    model, samples = random_model(seed)
    few = {name: x[:3] for name, x in samples.items()}
    simple = _simplified(model)
    _assert_equal(model, simple, few)
    assert len(simple.graph) < len(model.graph)
    again = Pipeline(float_passes()).run(simple, CONTEXT)
    assert not again.changed
    assert again.graph is simple


def test_batch_normalisation_and_relu_become_part_of_the_convolution() -> None:
    b = ModelBuilder()
    x = b.input((5, 5, 2))
    model = b.model(b.dense(b.relu(b.norm(b.conv(x, 3))), 2))
    simple = _simplified(model)
    assert _ops(simple) == ["Input", "Conv", "Gemm"]
    conv = simple.graph.node("conv1")
    assert conv.activation == RELU
    assert conv.origin == ("conv1", "batchnormalization2", "relu3")
    assert simple.outputs[0].node == "gemm4"
    _assert_equal(model, simple, b.samples(3))


def test_a_shift_before_a_padded_convolution_becomes_a_bias_per_neuron() -> None:
    b = ModelBuilder()
    model = b.model(b.dense(b.relu(b.conv(b.norm(b.input((5, 5, 2))), 3)), 2))
    simple = _simplified(model)
    bias = simple.graph.node(simple.graph.names()[1]).bias
    assert bias.shape == (5, 5, 3)
    assert np.ptp(bias[1:-1, 1:-1], axis=(0, 1)).max() < 1e-12
    _assert_equal(model, simple, b.samples(3))


def test_a_residual_join_becomes_two_edges_of_one_layer() -> None:
    b = ModelBuilder()
    x = b.relu(b.conv(b.input((4, 4, 2)), 3))
    model = b.model(b.dense(b.relu(b.join(b.norm(b.conv(x, 3)), x)), 2))
    simple = _simplified(model)
    assert _ops(simple) == ["Input", "Conv", "Add", "Gemm"]
    join = simple.graph.names()[2]
    assert [e.source for e in simple.graph.in_edges(join)] == ["conv1", "conv1"]
    _assert_equal(model, simple, b.samples(3))


def test_adding_a_value_to_itself_doubles_its_weights() -> None:
    b = ModelBuilder()
    x = b.copy(b.conv(b.input((4, 4, 2)), 3), "Clip", activation=Clip(0.0, 1.0))
    model = b.model(b.dense(b.relu(b.join(x, x)), 2))
    simple = _simplified(model)
    (edge,) = simple.graph.in_edges(simple.graph.names()[2])
    assert np.all(edge.payload.kernel.weight == 2)
    _assert_equal(model, simple, b.samples(3))


def test_a_gain_behind_a_relu_moves_in_front_of_it() -> None:
    b = ModelBuilder()
    x = b.relu(b.conv(b.input((4, 4, 2)), 3))
    model = b.model(b.dense(b.max_pool(b.join(x, x)), 2))
    simple = _simplified(model)
    assert _ops(simple) == ["Input", "Conv", "Gemm"]
    conv = simple.graph.node(simple.graph.names()[1])
    assert (conv.activation, conv.shape) == (RELU, (2, 2, 3))
    _assert_equal(model, simple, b.samples(3))


def test_a_negative_gain_behind_a_relu_stays_there() -> None:
    b = ModelBuilder()
    x = b.relu(b.conv(b.input((4, 4, 2)), 3))
    gain = elementwise(np.array([2.0, -1.0, 3.0]))
    scaled = b.add("Mul", (4, 4, 3), [(x, gain)])
    model = b.model(b.dense(b.max_pool(scaled), 2))
    simple = _simplified(model)
    assert len(simple.graph) == 4
    _assert_equal(model, simple, b.samples(3))


def test_concat_is_wiring() -> None:
    b = ModelBuilder()
    x = b.input((4, 4, 2))
    both = b.concat(b.relu(b.conv(x, 2)), b.relu(b.conv(x, 3)))
    model = b.model(b.dense(b.relu(b.conv(both, 4)), 2))
    simple = _simplified(model)
    assert _ops(simple) == ["Input", "Conv", "Conv", "Conv", "Gemm"]
    _assert_equal(model, simple, b.samples(3))


def test_relu_of_a_concat_of_linear_layers_is_one_layer() -> None:
    b = ModelBuilder()
    x = b.input((4, 4, 2))
    model = b.model(b.dense(b.relu(b.concat(b.conv(x, 2), b.conv(x, 3))), 2))
    simple = _simplified(model)
    assert len(simple.graph) == 3
    _assert_equal(model, simple, b.samples(3))


def test_an_average_pool_goes_into_the_dense_layer_behind_it() -> None:
    b = ModelBuilder()
    model = b.model(b.dense(b.copy(b.average(b.relu(b.conv(b.input((4, 4, 2)), 3))), "Flatten"), 2))
    simple = _simplified(model)
    assert _ops(simple) == ["Input", "Conv", "Gemm"]
    (edge,) = simple.graph.in_edges("gemm5")
    assert isinstance(edge.payload.kernel, Dense)
    assert edge.source == "conv1"
    _assert_equal(model, simple, b.samples(3))


def _pooled() -> tuple[ModelBuilder, Model]:
    """An average pool over 16 positions of 3 channels, before a dense layer: 48 sources when folded."""
    b = ModelBuilder()
    return b, b.model(b.dense(b.average(b.relu(b.conv(b.input((4, 4, 2)), 3))), 2))


@pytest.mark.parametrize(
    "limits", [{"fan_in": 47}, {"input_axons": 47}, {"synapse_bits": 47 * 8}, {"fan_in": 18}]
)
def test_a_pool_stays_apart_where_a_core_cannot_hold_both(limits: dict[str, int]) -> None:
    b, model = _pooled()
    result = Pipeline(float_passes()).run(model, Context(None, tiny_target(**limits)))  # type: ignore[arg-type]
    assert _ops(result.graph) == ["Input", "Conv", "GlobalAveragePool", "Gemm"]
    (note,) = (note for note in result.notes if note.by_target)
    assert note.layer == "globalaveragepool3"
    assert "stays a population of its own" in note.text
    assert "'gemm4'" in note.text
    assert "48 input axons" in note.text
    _assert_equal(model, result.graph, b.samples(3))


@pytest.mark.parametrize("limits", [{"fan_in": 48}, {"input_axons": 48}, {"synapse_bits": 48 * 8}])
def test_a_pool_folds_where_a_core_just_holds_both(limits: dict[str, int]) -> None:
    _, model = _pooled()
    result = Pipeline(float_passes()).run(model, Context(None, tiny_target(**limits)))  # type: ignore[arg-type]
    assert _ops(result.graph) == ["Input", "Conv", "Gemm"]
    assert not any(note.by_target for note in result.notes)


def test_a_pool_folds_where_a_core_does_not_even_hold_the_pool() -> None:
    _, model = _pooled()
    result = Pipeline(float_passes()).run(model, Context(None, tiny_target(fan_in=15)))
    assert _ops(result.graph) == ["Input", "Conv", "Gemm"]
    assert not any(note.by_target for note in result.notes)


def test_a_pool_of_a_concat_counts_all_its_edges_together() -> None:
    """25 times the synapses of the dense layer: in halves they would look like half as many."""
    b = ModelBuilder()
    x = b.input((5, 5, 2))
    both = b.concat(b.relu(b.conv(x, 3)), b.relu(b.conv(x, 3)))
    model = b.model(b.dense(b.average(both), 100))
    simple = _simplified(model)
    assert "GlobalAveragePool" in _ops(simple)
    _assert_equal(model, simple, b.samples(3))


def test_a_composition_that_would_multiply_synapses_is_left_alone() -> None:
    b = ModelBuilder()
    x = b.relu(b.dense(b.input((1, 1, 30)), 30))
    model = b.model(b.dense(b.relu(b.dense(b.dense(x, 2), 30)), 2))
    assert _ops(_simplified(model)) == ["Input", "Gemm", "Gemm", "Gemm", "Gemm"]


def test_relu_behind_a_max_pool_moves_in_front_of_it() -> None:
    b = ModelBuilder()
    model = b.model(b.dense(b.relu(b.max_pool(b.conv(b.input((4, 4, 2)), 3))), 2))
    simple = _simplified(model)
    conv = simple.graph.node("conv1")
    assert conv.activation == RELU
    assert conv.max_pool is not None
    assert (conv.sum_shape, conv.shape) == ((4, 4, 3), (2, 2, 3))
    _assert_equal(model, simple, b.samples(3))


def test_a_layer_that_others_read_too_keeps_its_values() -> None:
    b = ModelBuilder()
    x = b.conv(b.input((4, 4, 2)), 3)
    model = b.model(b.dense(b.join(b.relu(x), x), 2))
    simple = _simplified(model)
    assert "conv1" in simple.graph
    assert simple.graph.node("conv1").activation.is_identity
    _assert_equal(model, simple, b.samples(3))


def test_clips_in_a_row_become_one() -> None:
    b = ModelBuilder()
    x = b.copy(b.relu(b.conv(b.input((4, 4, 2)), 3)), "Clip", activation=Clip(-1.0, 0.5))
    model = b.model(b.dense(x, 2))
    assert _simplified(model).graph.node("conv1").activation == Clip(0.0, 0.5)


def test_a_join_of_rectified_values_is_unsigned() -> None:
    b = ModelBuilder()
    x = b.input((4, 4, 2))
    both = b.concat(b.relu(b.conv(x, 2)), b.relu(b.conv(x, 3)))
    model = b.model(b.dense(b.max_pool(both), 2))
    simple = _simplified(model)
    assert _ops(simple) == ["Input", "Conv", "Conv", "Concat", "Gemm"]
    assert simple.graph.node("concat5").activation == RELU
    _assert_equal(model, simple, b.samples(3))


@pytest.mark.parametrize("spoilt", ["source", "weight", "bias", "read out", None])
def test_only_what_can_never_be_negative_is_rectified(spoilt: str | None) -> None:
    b = ModelBuilder()
    x = b.input((4, 4, 2))
    first = b.conv(x, 3) if spoilt == "source" else b.relu(b.conv(x, 3))
    gain = elementwise(np.array([1.0, -0.1 if spoilt == "weight" else 0.0, 2.0]))
    bias = np.full((1, 1, 3), -0.1 if spoilt == "bias" else 0.1)
    scaled = b.add("Mul", (4, 4, 3), [(first, gain)], bias=bias)
    model = b.model(scaled) if spoilt == "read out" else b.model(b.dense(scaled, 2))
    if spoilt == "read out":
        model = replace(model, outputs=(replace(model.outputs[0], node=scaled),))
    result = Rectify().run(model, CONTEXT)
    assert result.changed == (spoilt is None)
    if result.changed:
        assert result.graph.graph.node(scaled).activation == RELU
        samples = b.samples(3, -1.0, 1.0)
        np.testing.assert_array_equal(
            *(next(iter(run_float(m, samples).outputs.values())) for m in (model, result.graph))
        )


def test_dead_layers_go_and_inputs_stay() -> None:
    b = ModelBuilder()
    x, unused = b.input((4, 4, 2)), b.input((2, 2, 1))
    b.conv(x, 3)
    model = b.model(b.dense(x, 2))
    result = RemoveDead().run(model, CONTEXT)
    assert result.changed
    assert [n.layer for n in result.notes] == ["conv2"]
    assert unused in result.graph.graph
    assert not RemoveDead().run(result.graph, CONTEXT).changed


@pytest.mark.parametrize("step", [FoldLinear(), FuseActivation(), RemoveDead()])
def test_a_pass_without_work_returns_its_graph(step: FoldLinear | FuseActivation | RemoveDead) -> None:
    b = ModelBuilder()
    conv = Conv(np.ones((3, 3, 2, 2)))
    x = b.add("Conv", (2, 2, 2), [(b.input((4, 4, 2)), conv)], activation=RELU)
    model = b.model(x)
    result = step.run(model, CONTEXT)
    assert not result.changed
    assert result.graph is model
