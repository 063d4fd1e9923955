"""Weights rounded in turn make up for each other, and stay whole numbers within their limit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.evaluate.linear import apply
from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape, Sparse, identity
from nmcompiler.passes.columns import Positions
from nmcompiler.passes.gptq import carry_errors, round_in_turn, spread_errors

SHAPE: Shape = (6, 6, 4)


def _smooth(seed: int, *shape: int) -> Array:
    """Returns values that have much in common within each sample, or each row, as those of layers do."""
    rng = np.random.default_rng(seed)
    shared = rng.gamma(1.0, 2.0, (shape[0], 1, 1, 1) if len(shape) == 4 else (*shape[:-1], 1))
    return (shared + rng.gamma(1.0, 0.5, shape)).astype(np.float32)


def _spread_slowly(weight: Array, gram: Array, limit: int) -> Array:
    """GPTQ as its paper derives it: after each column, the inverse of H without that column."""
    result = np.empty(weight.shape)
    for g, h in enumerate(gram):
        order = np.argsort(-np.diagonal(h), kind="stable")
        h = h[np.ix_(order, order)]
        h = h + 1e-2 * np.diagonal(h).mean() * np.eye(len(h))
        for o in range(weight.shape[2]):
            left = weight[g, order, o].copy()
            rest = list(range(len(left)))
            while rest:
                inverse = np.linalg.inv(h[np.ix_(rest, rest)])
                first = rest[0]
                q = np.clip(np.round(left[first]), -limit, limit)
                left[rest[1:]] -= (left[first] - q) * inverse[0, 1:] / inverse[0, 0]
                result[g, order[first], o] = q
                rest = rest[1:]
    return result


@given(st.integers(0, 10**6), st.sampled_from([3, 7, 127]))
@settings(max_examples=25, deadline=None)
def test_errors_are_spread_as_the_paper_derives_it(seed: int, limit: int) -> None:
    rng = np.random.default_rng(seed)
    inputs = _smooth(seed, 2, 40, 5)
    gram = (inputs.transpose(0, 2, 1) @ inputs).astype(np.float64)
    weight = rng.normal(0, limit / 3, (2, 5, 3))
    np.testing.assert_array_equal(spread_errors(weight, gram, limit), _spread_slowly(weight, gram, limit))


@pytest.mark.parametrize("unknowns", [6, 64, 150])  # a part of a block of weights, one, and more
def test_carried_errors_follow_every_sum(unknowns: int) -> None:
    weight, inputs = np.random.default_rng(1).normal(0, 2, (unknowns, 2)), _smooth(1, 30, unknowns)
    damping = np.square(inputs, dtype=np.float64).sum(axis=0).mean()
    wanted = np.empty(weight.shape)
    for o in range(2):
        for j in range(unknowns):
            owed = inputs[:, :j] @ (weight[:j, o] - wanted[:j, o])
            x = inputs[:, j].astype(np.float64)
            wanted[j, o] = np.clip(np.round(weight[j, o] + x @ owed / (x @ x + damping)), -3, 3)
    np.testing.assert_array_equal(carry_errors(weight, inputs, 3), wanted)


def _case(name: str) -> tuple[Kernel, Shape, Shape]:
    """Returns a kernel, and the shapes of its source and of its sums."""
    rng = np.random.default_rng(5)
    if name == "dense":
        return Dense(rng.normal(0, 2, (3, 20))), (1, 1, 20), (1, 1, 3)
    if name == "wide dense":
        return Dense(rng.normal(0, 2, (3, 1200))), (5, 6, 40), (1, 1, 3)
    if name == "depthwise":
        return Conv(rng.normal(0, 2, (3, 3, 1, 4)), padding=(1, 1), groups=4), SHAPE, SHAPE
    if name == "grouped":
        return Conv(rng.normal(0, 2, (3, 3, 2, 4)), padding=(1, 1), groups=2), SHAPE, SHAPE
    return Conv(rng.normal(0, 2, (3, 3, 4, 4)), padding=(1, 1)), SHAPE, SHAPE


def _error(kernel: Kernel, rounded: Kernel, x: Array, shape: Shape) -> float:
    """Returns the squared error of the sums that no bias can make up for."""
    off = apply(kernel, x, shape) - apply(rounded, x, shape)
    return float(np.square(off - off.mean(axis=(0, 1, 2))).sum())


@pytest.mark.parametrize("name", ["dense", "wide dense", "depthwise", "grouped", "conv"])
def test_sums_come_closer_than_with_the_nearest_weights(name: str) -> None:
    kernel, source, shape = _case(name)
    x = _smooth(2, 64, *source)
    at = Positions.spread(64, shape, 1 << 20)
    found = round_in_turn(kernel, x, at, shape, 7)
    nearest = round_in_turn(kernel, np.zeros_like(x), at, shape, 7)
    np.testing.assert_array_equal(nearest.weight, np.clip(np.round(kernel.weight), -7, 7))
    assert found.weight.dtype == np.int64
    assert np.abs(found.weight).max() <= 7
    assert _error(kernel, found, x, shape) < 0.7 * _error(kernel, nearest, x, shape)


def test_kernels_without_columns_and_whole_weights_are_rounded_to_the_nearest() -> None:
    x = _smooth(3, 8, *SHAPE)
    at = Positions.spread(8, SHAPE, 100)
    sparse = Sparse(np.array([0, 5]), np.array([3, 7]), np.array([1.4, -9.0]))
    np.testing.assert_array_equal(round_in_turn(sparse, x, at, SHAPE, 7).weight, [1, -7])
    whole = Conv(np.random.default_rng(0).integers(-5, 6, (3, 3, 4, 4)).astype(float), padding=(1, 1))
    np.testing.assert_array_equal(round_in_turn(whole, x, at, SHAPE, 7).weight, whole.weight)
    np.testing.assert_array_equal(round_in_turn(identity(4), x, at, SHAPE, 7).weight, np.ones((1, 1, 1, 4)))
