"""Bounds of a layer graph hold for every input, and are reached where nothing is correlated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.checker.intervals import intervals
from nmcompiler.evaluate.float import run_float
from nmcompiler.frontend import read_model_bytes

from ..frontend.models import model, node, weights


def deep(seed, *, upper=None):
    clip = node("Relu", ["a"], "r") if upper is None else node("Clip", ["a", "zero", "upper"], "r")
    constants = {"k": weights(4, 2, 3, 3, seed=seed), "b": weights(4, seed=seed + 1)}
    constants |= {"k2": weights(3, 4, 3, 3, seed=seed + 2), "m": weights(12, 2, seed=seed + 3)}
    if upper is not None:
        constants |= {"zero": np.float32(0), "upper": np.float32(upper)}
    nodes = [
        node("Conv", ["x", "k", "b"], "a", pads=[1, 1, 1, 1]),
        clip,
        node("Conv", ["r", "k2"], "c"),
        node("MaxPool", ["c"], "p", kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["p"], "f"),
        node("Gemm", ["f", "m"], "y"),
    ]
    return read_model_bytes(model(nodes, [2, 6, 6], constants), "net")


@given(seed=st.integers(0, 1000), size=st.floats(0.1, 300), upper=st.sampled_from([None, 0.5, 6.0]))
@settings(max_examples=25, deadline=None)
def test_no_value_ever_leaves_its_bounds(seed, size, upper):
    net = deep(seed, upper=upper)
    bounds = intervals(net, size)
    rng = np.random.default_rng(seed)
    x = rng.choice([-size, 0.0, size], (16, 2, 6, 6)) * rng.choice([1.0, rng.random()], (16, 1, 1, 1))
    for name, values in run_float(net, {"x": x}, record=True).layers.items():
        slack = 1e-9 * np.abs(values).max()
        assert (values >= bounds[name].low - slack).all(), name
        assert (values <= bounds[name].high + slack).all(), name


def test_bounds_of_one_layer_are_reached_by_the_worst_inputs():
    weight = weights(5, 7)
    net = read_model_bytes(model([node("Gemm", ["x", "m"], "y", transB=1)], [7], {"m": weight}), "net")
    bounds = intervals(net, 2.0)[net.outputs[0].node]
    assert bounds.high.reshape(-1) == pytest.approx(2 * np.abs(weight).sum(axis=1), rel=1e-6)
    assert bounds.low.reshape(-1) == pytest.approx(-2 * np.abs(weight).sum(axis=1), rel=1e-6)


def test_a_sum_without_positive_terms_is_never_above_zero():
    nodes = [node("Relu", ["x"], "r"), node("Gemm", ["r", "m"], "g"), node("Relu", ["g"], "y")]
    net = read_model_bytes(model(nodes, [64], {"m": -np.abs(weights(64, 3))}), "net")
    assert (intervals(net, 1e6)[net.outputs[0].node].high <= 0).all()
