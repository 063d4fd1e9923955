"""Sensitivities are the squared gradients of the outputs, without the terms of pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.evaluate.float import activate, run_float
from nmcompiler.evaluate.linear import apply
from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape
from nmcompiler.ir.layers import Model
from nmcompiler.passes import sensitivity
from nmcompiler.passes.kernel_algebra import to_sparse
from nmcompiler.passes.sensitivity import gradients, sensitivities, spread_back
from tests.passes.random_models import ModelBuilder, random_model


def _arranged(model: Model, samples: dict[str, Array]) -> dict[str, Array]:
    return {port.node: samples[port.name].astype(np.float32) for port in model.inputs}


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_spreading_back_is_the_transposed_map_of_weights_or_their_squares(seed: int) -> None:
    rng = np.random.default_rng(seed)
    source: Shape = (int(rng.integers(3, 7)), int(rng.integers(3, 7)), 6)
    groups, taps = int(rng.choice([1, 2, 3, 6])), rng.integers(1, 4, 2)
    stride, dilation = rng.integers(1, 3, 2), rng.integers(1, 3, 2)
    padding = rng.integers(-1, 3, 2)
    target: Shape = (int(rng.integers(1, 5)), int(rng.integers(1, 5)), 8)
    kernel: Kernel = Conv(
        rng.normal(size=(*taps, 6 // groups, 6)),
        (int(stride[0]), int(stride[1])),
        (int(padding[0]), int(padding[1])),
        (int(dilation[0]), int(dilation[1])),
        groups=groups,
        target_channel=int(rng.integers(0, 3)),
    )
    if seed % 4 == 0:
        kernel = Dense(rng.normal(size=(int(np.prod(target)), int(np.prod(source)))))
    if seed % 4 == 1:
        kernel = to_sparse(kernel, source, target)
    found = rng.random((2, *target)).astype(np.float32)
    list_of = to_sparse(kernel, source, target)
    wanted, squared = np.zeros((2, int(np.prod(source)))), seed % 3 > 0
    for row, column, w in zip(list_of.rows, list_of.columns, list_of.weight, strict=True):
        wanted[:, column] += (w**2 if squared else w) * found.reshape(2, -1)[:, row]
    np.testing.assert_allclose(
        spread_back(kernel, found, source, squared=squared), wanted.reshape(2, *source), rtol=1e-4, atol=1e-5
    )


def test_where_paths_do_not_meet_they_are_squared_gradients() -> None:
    """A depthwise network without overlaps: each value reaches each output by one path at most."""
    b = ModelBuilder(np.random.default_rng(6))
    x = b.relu(b.conv(b.input((8, 8, 3)), 3, groups=3))
    y = b.relu(b.conv(b.max_pool(x), 3, k=2, stride=2, pad=0, groups=3))
    model = b.model(y)
    samples = b.samples(5, -1.0, 1.0)
    found = sensitivities(model, _arranged(model, samples))
    values = run_float(model, samples, record=True).layers
    rest = [layer for layer in model.graph if layer.name not in ("input0", "conv1", x)]

    def outputs(value: Array) -> Array:
        for layer in rest:
            (edge,) = model.graph.in_edges(layer.name)
            value = activate(layer, apply(edge.payload.kernel, value, layer.sum_shape) + layer.bias)
        return value

    base, wanted = outputs(values[x]), np.empty(values[x].shape)
    for place in np.ndindex(*values[x].shape[1:]):
        moved = values[x].copy()
        moved[(slice(None), *place)] += 1e-6
        wanted[(slice(None), *place)] = np.square((outputs(moved) - base) / 1e-6).sum(axis=(1, 2, 3))
    wanted /= wanted.mean(axis=(0, 1, 2))
    ties = values[x] == 0  # all of a pool's window is off: what a maximum is there is arbitrary
    np.testing.assert_allclose((found[x] - 0.05)[~ties], wanted[~ties], rtol=2e-2, atol=1e-3)


@given(st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_every_layer_that_is_read_has_them_whatever_the_chunks(seed: int) -> None:
    model, samples = random_model(seed)
    found = sensitivities(model, _arranged(model, samples))
    for layer in model.graph:
        if not layer.is_input and model.graph.out_edges(layer.name):
            assert found[layer.name].shape == (24, *layer.shape)
            assert np.all(found[layer.name] >= 0.05 - 1e-6)
            assert np.allclose(found[layer.name].mean(axis=(0, 1, 2)), 1.05, atol=1e-3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sensitivity, "_CHUNK", 24 if seed % 2 else 7)
        again = sensitivities(model, _arranged(model, samples))
    for name, value in found.items():
        assert np.isfinite(value).all()
        if seed % 2:
            np.testing.assert_allclose(again[name], value, rtol=1e-4, atol=1e-5)


def test_networks_that_are_too_large_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    model, samples = random_model(1)
    monkeypatch.setattr(sensitivity, "_MOST_VALUES", 10)
    assert sensitivities(model, _arranged(model, samples)) == {}
    assert gradients(model, _arranged(model, samples)) == {}


def test_gradients_are_what_a_small_change_adds_to_the_one_output_but_for_its_sign() -> None:
    b = ModelBuilder(np.random.default_rng(7))
    x = b.relu(b.conv(b.input((6, 5, 2)), 3))
    model = b.model(b.dense(b.relu(b.conv(b.max_pool(x), 4)), 1))
    samples = b.samples(4, -1.0, 1.0)
    values = run_float(model, samples, record=True).layers
    found = gradients(model, _arranged(model, samples))
    assert {name: value.shape for name, value in found.items()} == {
        layer.name: (4, 4, *layer.shape)
        for layer in model.graph
        if not layer.is_input and model.graph.out_edges(layer.name)
    }
    names = [layer.name for layer in model.graph]
    rest = [model.graph.node(name) for name in names[names.index(x) + 1 :]]

    def outputs(value: Array) -> Array:
        for layer in rest:
            (edge,) = model.graph.in_edges(layer.name)
            value = activate(layer, apply(edge.payload.kernel, value, layer.sum_shape) + layer.bias)
        return value[:, 0, 0, 0]

    base, wanted = outputs(values[x]), np.empty(values[x].shape)
    for place in np.ndindex(*values[x].shape[1:]):
        moved = values[x].copy()
        moved[(slice(None), *place)] += 1e-7
        wanted[(slice(None), *place)] = (outputs(moved) - base) / 1e-7
    wanted /= np.sqrt(np.square(base).mean())
    clear = values[x] > 0  # where all of a pool's window is off, its maximum is arbitrary
    for of_one_sum in found[x]:
        signs = np.sign((of_one_sum * wanted).sum(axis=(1, 2, 3), keepdims=True))
        np.testing.assert_allclose((signs * of_one_sum)[clear], wanted[clear], rtol=1e-2, atol=1e-3)
    assert len({tuple(np.sign(g.reshape(4, -1).sum(axis=1))) for g in found[x]}) > 1
