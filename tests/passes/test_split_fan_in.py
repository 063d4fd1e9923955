"""Partial sums: no layer has too many inputs, and the network computes nearly the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.errors import DoesNotFit
from nmcompiler.evaluate.float import run_float
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.layers import Model
from nmcompiler.ir.verify import complaints
from nmcompiler.passes import Context, Pipeline, float_passes
from nmcompiler.passes.draft import Draft
from nmcompiler.passes.fan_in import FanIn, crowded, with_joined_pools
from nmcompiler.passes.split_fan_in import Split, SplitFanIn, split_layers
from nmcompiler.target.model import BiasFormat, Crossbar, Target
from nmcompiler.testing.targets import tiny_target
from tests.passes.random_models import ModelBuilder, random_model


def _chip(limit: int, bias: int = 0, **changes: object) -> Target:
    return tiny_target(fan_in=limit, bias=BiasFormat(24, 0, bias), **changes)  # type: ignore[arg-type]


def _limits(target: Target) -> FanIn:
    fan_in = FanIn.of(target)
    assert fan_in is not None
    return fan_in


def _split(model: Model, target: Target, samples: dict[str, Array]) -> Split:
    return split_layers(model, _limits(target), Context(samples, target))


def _mlp(*sizes: int, seed: int = 0) -> tuple[Model, dict[str, Array]]:
    b = ModelBuilder(np.random.default_rng(seed))
    x = b.input((1, 1, sizes[0]))
    for size in sizes[1:-1]:
        x = b.relu(b.dense(x, size))
    model = Pipeline(float_passes()).run(b.model(b.dense(x, sizes[-1])), Context(None, tiny_target())).graph
    return model, b.samples(64)


def _outputs(model: Model, samples: dict[str, Array]) -> Array:
    return next(iter(run_float(model, samples).outputs.values()))


@given(st.integers(0, 10**5), st.integers(9, 40), st.integers(0, 1), st.booleans())
@settings(max_examples=60, deadline=None)
def test_random_models_compute_the_same_before_helpers_have_ranges(
    seed: int, limit: int, bias: int, signed: bool
) -> None:
    target = _chip(limit, bias, signed_spikes=signed)
    model, samples = random_model(seed)
    simple = Pipeline(float_passes()).run(model, Context(samples, target)).graph
    simple = with_joined_pools(simple, _limits(target))
    split = _split(simple, target, samples)
    assert not complaints(split.model)
    assert not crowded(Draft(split.model), _limits(target))
    assert bool(split.helpers) == bool(crowded(Draft(simple), _limits(target)))
    wanted, found = _outputs(simple, samples), _outputs(split.linear, samples)
    assert np.abs(found - wanted).max() <= 1e-9 * (1 + np.abs(wanted).max())


@pytest.mark.parametrize(
    ("limit", "bias", "helpers"),
    [
        (64, 0, {"gemm2": 2, "gemm3": 2}),  # 64 inputs fit 64 synapses
        (64, 1, {"gemm1": 1, "gemm2": 2, "gemm3": 2, "gemm4": 1}),  # but not where the bias takes one
        (65, 1, {"gemm2": 2, "gemm3": 2}),
        (128, 0, {}),
        (128, 1, {"gemm2": 1, "gemm3": 1}),
    ],
)
def test_the_synapse_of_the_bias_counts(limit: int, bias: int, helpers: dict[str, int]) -> None:
    model, samples = _mlp(64, 128, 128, 64, 10)
    names = [layer.name for layer in model.graph if layer.op == "Gemm"]
    split = _split(model, _chip(limit, bias), samples)
    found = {f"gemm{names.index(name) + 1}": len(parts) for name, parts in split.helpers.items()}
    assert found == helpers
    sizes = {"gemm1": 128, "gemm2": 128, "gemm3": 64, "gemm4": 10}
    assert split.neurons == sum(count * sizes[name] for name, count in helpers.items())


def test_few_sums_fall_below_the_range_of_a_helper_and_answers_stay() -> None:
    model, samples = _mlp(64, 96, 5)
    target = _chip(32)
    made = SplitFanIn().run(model, Context(samples, target))
    helpers = [layer for layer in made.graph.graph if ".part" in layer.name]
    assert helpers
    assert all(layer.activation.lower == 0 for layer in helpers)
    values = run_float(made.graph, samples, record=True).layers
    for layer in helpers:
        assert np.mean(values[layer.name] == 0) < 0.05  # a sum at the low end counts as well
    wanted, found = _outputs(model, samples), _outputs(made.graph, samples)
    assert np.abs(found - wanted).max() < 0.2 * np.ptp(wanted)
    assert np.mean(found.argmax(axis=1) == wanted.argmax(axis=1)) > 0.9


def test_notes_name_inputs_limit_parts_and_neurons() -> None:
    model, samples = _mlp(40, 6, 3)
    (note,) = SplitFanIn().run(model, Context(samples, _chip(16))).notes
    assert note.text == "has 40 inputs a neuron, and tiny takes 16: 2 partial sums take 12 neurons"
    assert note.warning
    assert note.by_target


def test_equal_inputs_give_equal_models() -> None:
    model, samples = _mlp(40, 30, 3)
    first, second = (SplitFanIn().run(model, Context(samples, _chip(16))).graph for _ in range(2))
    assert first.graph.names() == second.graph.names()
    for a, b in zip(first.graph, second.graph, strict=True):
        np.testing.assert_array_equal(a.bias, b.bias)


def test_helpers_of_helpers() -> None:
    model, samples = _mlp(200, 3)
    target = _chip(6, 1)
    split = _split(model, target, samples)
    assert not crowded(Draft(split.model), _limits(target))
    np.testing.assert_allclose(_outputs(split.linear, samples), _outputs(model, samples), atol=1e-9)


def test_in_a_crossbar_helpers_have_weights_of_all_types_and_read_all_inputs() -> None:
    model, samples = _mlp(300, 5, 3)
    target = tiny_target(crossbar=Crossbar(4, 9), input_axons=256, weight_bits=4, signed_spikes=False)
    split = _split(model, target, samples)
    (parts,) = split.helpers.values()
    assert len(parts) == 5  # of at most 256 axons / 4 types
    (name,) = split.helpers
    assert {e.source for e in split.model.graph.in_edges(name)} == set(parts)


def test_a_chip_without_a_bias_is_told_what_to_try() -> None:
    model, samples = _mlp(40, 6, 3)
    target = replace(_chip(16), bias=None)
    with pytest.raises(DoesNotFit, match=r"40 fan_in where tiny has 16.*--fan-in prune"):
        SplitFanIn().run(model, Context(samples, target))
