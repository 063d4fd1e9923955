"""Pruned layers keep few inputs, lose little, and stay pruned in integers."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.errors import DoesNotFit
from nmcompiler.evaluate.float import run_float
from nmcompiler.ir.kernels import Array, Conv, Dense, Sparse
from nmcompiler.ir.layers import Model
from nmcompiler.ir.verify import complaints
from nmcompiler.passes import Context, Pipeline, QuantiseOptions, float_passes, to_network
from nmcompiler.passes.draft import Draft
from nmcompiler.passes.drop_zeros import DropZeros, fan_in_of
from nmcompiler.passes.fan_in import FanIn, crowded
from nmcompiler.passes.legalise_fan_in import LegaliseFanIn
from nmcompiler.passes.prune_fan_in import PruneFanIn
from nmcompiler.target.model import BiasFormat, Crossbar, Target
from nmcompiler.testing.targets import tiny_target
from tests.passes.random_models import ModelBuilder, random_model

RNG = np.random.default_rng(7)


def _chip(limit: int, bias: int = 0, **changes: object) -> Target:
    return tiny_target(fan_in=limit, bias=BiasFormat(24, 0, bias), **changes)  # type: ignore[arg-type]


def _simple(model: Model, samples: dict[str, Array]) -> Model:
    return Pipeline(float_passes()).run(model, Context(samples, tiny_target())).graph


def _correlated(count: int, n: int) -> Array:
    """Returns samples of few causes, as those of real data are: what is pruned can be made up for."""
    return (RNG.random((count, n // 4)) @ RNG.random((n // 4, n)) / n).astype(np.float64)


def _mlp(*sizes: int) -> tuple[Model, dict[str, Array]]:
    b = ModelBuilder()
    x = b.input((1, 1, sizes[0]))
    for size in sizes[1:-1]:
        x = b.relu(b.dense(x, size))
    model = b.model(b.dense(x, sizes[-1]))
    samples = {"input0": _correlated(256, sizes[0]).reshape(256, 1, 1, -1)}
    return _simple(model, samples), samples


def _synapses(model: Model, name: str) -> Array:
    """Returns the synapses of each channel of a layer that has one kernel."""
    (edge,) = model.graph.in_edges(name)
    kernel = edge.payload.kernel
    axes = 1 if isinstance(kernel, Dense) else (0, 1, 2)
    return np.count_nonzero(kernel.weight, axis=axes)


@given(st.integers(0, 10**5), st.integers(3, 30), st.integers(0, 1))
@settings(max_examples=40, deadline=None)
def test_no_layer_of_random_models_keeps_too_many_inputs(seed: int, limit: int, bias: int) -> None:
    target = _chip(limit, bias, signed_spikes=True)
    model, samples = random_model(seed)
    simple = _simple(model, samples)
    fan_in = FanIn.of(target)
    assert fan_in is not None
    with suppress(DoesNotFit):  # of layers that read lists of synapses
        made = LegaliseFanIn("prune").run(simple, Context(samples, target))
        _check_pruned(simple, made.graph, fan_in)


def _check_pruned(simple: Model, made: Model, fan_in: FanIn) -> None:
    assert not complaints(made)
    assert not crowded(Draft(made), fan_in)
    if not crowded(Draft(simple), fan_in):
        assert made is simple


@pytest.mark.parametrize(("bias", "kept"), [(0, 16), (1, 15)])
def test_the_synapse_of_the_bias_counts(bias: int, kept: int) -> None:
    model, samples = _mlp(40, 12, 3)
    made = PruneFanIn().run(model, Context(samples, _chip(16, bias)))
    name = model.graph.names()[1]
    assert _synapses(made.graph, name).tolist() == [kept] * 12
    assert f"keeps {kept} of 40 inputs a neuron, and tiny takes {kept}" in made.notes[0].text


def test_the_refit_makes_up_for_most_of_what_is_pruned() -> None:
    model, samples = _mlp(40, 12, 3)
    name = model.graph.names()[1]
    made = PruneFanIn().run(model, Context(samples, _chip(16))).graph
    wanted, found = (run_float(m, samples, record=True).layers[name] for m in (model, made))
    (edge,) = model.graph.in_edges(name)
    (pruned,) = made.graph.in_edges(name)
    kept = pruned.payload.kernel.weight != 0
    layer = model.graph.node(name)
    cut = np.maximum(samples["input0"][:, 0, 0] @ (edge.payload.kernel.weight * kept).T + layer.bias[0, 0], 0)
    lost, without = (np.square(y.reshape(256, -1) - wanted.reshape(256, -1)).sum() for y in (found, cut))
    assert lost < 0.05 * without


def test_inputs_that_never_change_go_first_and_the_bias_takes_them_over() -> None:
    model, samples = _mlp(20, 4, 3)
    x = samples["input0"]
    x[..., :10] = 5.0
    made = PruneFanIn().run(model, Context(samples, _chip(10))).graph
    name = model.graph.names()[1]
    (edge,) = made.graph.in_edges(name)
    assert not edge.payload.kernel.weight[:, :10].any()
    wanted, found = (run_float(m, samples, record=True).layers[name] for m in (model, made))
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_pruned_weights_stay_zero_in_integers_and_are_no_synapses() -> None:
    b = ModelBuilder()
    x = b.input((6, 6, 3))
    x = b.relu(b.conv(x, 8))
    x = b.relu(b.conv(x, 6, groups=2))
    model = _simple(b.model(b.dense(b.copy(x, "Flatten"), 4)), b.samples(4))
    samples = b.samples(32)
    for bits in (8, 4):
        target = _chip(20, weight_bits=bits)
        context = Context(samples, target)
        network, _ = to_network(
            model, context, QuantiseOptions(15, bits), legalise=(DropZeros(),), fan_in=LegaliseFanIn("prune")
        )
        for p in network.graph:
            edges = network.graph.in_edges(p.name)
            shapes = [network.graph.node(edge.source).shape for edge in edges]
            kernels = [edge.payload.kernel for edge in edges]
            assert fan_in_of(kernels, shapes, p).max(initial=0) <= 20
        assert sum(isinstance(e.payload.kernel, Sparse) for e in network.graph.edges()) == 3


def test_in_a_crossbar_all_neurons_keep_the_same_inputs() -> None:
    model, samples = _mlp(300, 5, 3)
    target = tiny_target(crossbar=Crossbar(4, 9), input_axons=256, weight_bits=4, signed_spikes=False)
    made = PruneFanIn().run(model, Context(samples, target)).graph
    (edge,) = made.graph.in_edges(model.graph.names()[1])
    assert np.count_nonzero(edge.payload.kernel.weight.any(axis=0)) == 64  # 256 axons / 4 types


def test_the_bias_stays_where_the_chip_has_none() -> None:
    model, samples = _mlp(40, 12, 3)
    target = replace(_chip(16), bias=None)
    made = PruneFanIn().run(model, Context(samples, target)).graph
    name = model.graph.names()[1]
    assert made.graph.node(name).bias is model.graph.node(name).bias


def test_a_list_of_synapses_is_not_pruned() -> None:
    b = ModelBuilder()
    x = b.input((1, 1, 30))
    rows = np.repeat(np.arange(2), 15)
    y = b.add("Gather", (1, 1, 2), [(x, Sparse(rows, np.arange(30), np.ones(30)))])
    samples = b.samples(8)
    model = b.model(y)
    with pytest.raises(DoesNotFit, match=r"wiring of its own.*--fan-in split"):
        PruneFanIn().run(model, Context(samples, _chip(10)))


def test_equal_inputs_give_equal_models() -> None:
    model, samples = _mlp(40, 30, 3)
    first, second = (PruneFanIn().run(model, Context(samples, _chip(16))).graph for _ in range(2))
    for a, b in zip(first.graph.edges(), second.graph.edges(), strict=True):
        np.testing.assert_array_equal(a.payload.kernel.weight, b.payload.kernel.weight)
    assert all(isinstance(e.payload.kernel, Conv | Dense) for e in first.graph.edges())
