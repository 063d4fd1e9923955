"""How far accumulators can go, against every input that matters, and every order of arrival."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmcompiler.evaluate.linear import apply
from nmcompiler.ir.bounds import accumulator_bound, sums_of_weights
from nmcompiler.ir.kernels import Conv, Dense, Sparse
from nmcompiler.testing import random_network
from nmcompiler.testing.networks import Builder


def extremes(network, name):
    """Accumulators for the two inputs of each neuron that push it farthest, bias and threshold left out."""
    population = network.graph.node(name)
    terms = network.graph.in_edges(name)
    sizes = [int(np.prod(network.graph.node(e.source).shape)) for e in terms]
    found = np.zeros((2, *population.shape))
    for edge, size in zip(terms, sizes, strict=True):
        source = network.graph.node(edge.source)
        rows = np.eye(size, dtype=np.int64).reshape(size, *source.shape)
        weights = apply(edge.payload.kernel, rows, population.shape)
        up = np.maximum(weights, 0).sum(axis=0), np.maximum(-weights, 0).sum(axis=0)
        lower = source.levels if source.signed else 0
        found[0] += up[0] * source.levels + up[1] * lower
        found[1] += up[1] * source.levels + up[0] * lower
    return found


@pytest.mark.parametrize("seed", range(15))
def test_no_input_reaches_beyond_the_bound(seed):
    network = random_network(seed)
    for population in network.graph:
        if population.role == "input":
            continue
        farthest = extremes(network, population.name).max(axis=0)
        reached = farthest + np.abs(population.bias) + population.theta
        assert accumulator_bound(network, population.name) >= reached.max()


def test_the_bound_is_reached_where_no_border_cuts_a_kernel():
    builder = Builder(np.random.default_rng(0), unit_theta=0.0)
    plain = builder.input((1, 1, 3), 5, False)
    signed = builder.input((1, 1, 2), 7, True)
    terms = [(plain, Dense(np.array([[2, -3, 4]]))), (signed, Dense(np.array([[-1, 6]])))]
    theta, bias = np.full((1, 1, 1), 11), np.full((1, 1, 1), -9)
    name = builder.hidden((1, 1, 1), terms, "Gemm", levels=3, signed=True, theta=theta, bias=bias)
    network = builder.network("n")
    # up: (2 + 4) · 5 + (1 + 6) · 7; down: 3 · 5 + 7 · 7
    assert accumulator_bound(network, name) == 30 + 49 + 9 + 11


@given(
    weights=st.lists(st.integers(-9, 9), min_size=1, max_size=6),
    levels=st.integers(1, 4),
    signed=st.booleans(),
)
def test_every_order_of_arrival_stays_within_the_bound(weights, levels, signed):
    builder = Builder(np.random.default_rng(0), unit_theta=0.0)
    source = builder.input((1, 1, len(weights)), levels, signed)
    one = np.ones((1, 1, 1), np.int64)
    kernel = Dense(np.array([weights]))
    name = builder.hidden((1, 1, 1), [(source, kernel)], "Gemm", levels=1, theta=one, bias=0 * one)
    steps = [w * levels for w in weights] + ([-w * levels for w in weights] if signed else [])
    highest = sum(s for s in steps if s > 0)
    lowest = sum(s for s in steps if s < 0)
    bound = accumulator_bound(builder.network("n"), name)
    assert bound == max(highest, -lowest) + 1
    for order in itertools.islice(itertools.permutations(weights), 24):
        partial = np.cumsum(np.array(order) * levels)
        assert np.abs(partial).max() <= bound


def test_sums_of_a_kernel_are_those_of_its_signs():
    shape = (2, 2, 3)
    conv = Conv(np.array([[[[1, -2]]], [[[3, 4]]]]), target_channel=1)  # (2, 1, 1, 2)
    positive, negative = sums_of_weights(conv, shape)
    assert positive.ravel().tolist() == [0, 4, 4]
    assert negative.ravel().tolist() == [0, 0, 2]
    sparse = Sparse(np.array([0, 0, 11]), np.array([0, 1, 2]), np.array([5, -6, 7]))
    positive, negative = sums_of_weights(sparse, shape)
    assert (positive.ravel()[0], negative.ravel()[0], positive.ravel()[11]) == (5, 6, 7)
    dense = Dense(np.array([[1, -2, 3], [-4, 5, -6]]))
    positive, negative = sums_of_weights(dense, (1, 1, 2))
    assert positive.ravel().tolist() == [4, 5]
    assert negative.ravel().tolist() == [2, 10]
