"""Refitted weights come closer to the float layer, and layers with few rows are left alone."""

from __future__ import annotations

import numpy as np
import pytest

from nmcompiler.evaluate.linear import apply
from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape, identity
from nmcompiler.ir.layers import Clip
from nmcompiler.passes.refit import Positions, Read, refit

RELU = Clip(0.0)
SHAPE = (6, 6, 4)


def _source(seed: int, samples: int = 16, shape: Shape = SHAPE) -> Array:
    return np.random.default_rng(seed).gamma(1.0, 1.0, (samples, *shape)).astype(np.float32)


def _coarse(x: Array) -> Array:
    return np.clip(np.floor(x + 0.5), 0, 3)


def _kernel(name: str) -> Kernel:
    rng = np.random.default_rng(5)
    if name == "conv":
        return Conv(rng.normal(size=(3, 3, 4, 4)), padding=(1, 1))
    if name == "grouped":
        return Conv(rng.normal(size=(3, 3, 2, 4)), padding=(1, 1), groups=2)
    if name == "depthwise":
        return Conv(rng.normal(size=(3, 3, 1, 4)), padding=(1, 1), groups=4)
    return Conv(rng.normal(size=(1, 1, 4, 4)))


def _error(kernel: Kernel, bias: Array, target: Array, x: Array, clip: Clip) -> float:
    wanted, found = (np.clip(a, clip.lower, clip.upper) for a in (target, apply(kernel, x, SHAPE) + bias))
    return float(np.square(wanted - found).sum())


@pytest.mark.parametrize("name", ["conv", "grouped", "depthwise", "pointwise"])
@pytest.mark.parametrize("clip", [RELU, Clip(0.0, 2.0), Clip()])
def test_the_error_after_the_activation_falls(name: str, clip: Clip) -> None:
    kernel, exact = _kernel(name), _source(1)
    x = _coarse(exact)
    target, sums = apply(kernel, exact, SHAPE), apply(kernel, x, SHAPE)
    at = Positions.spread(len(x), SHAPE, 1 << 20)
    (found,), shift = refit((Read(kernel, x),), at.of(target), at.of(sums), clip, at, SHAPE)
    assert _error(found, shift, target, x, clip) < _error(kernel, np.zeros(4), target, x, clip)


def test_without_an_activation_it_is_the_least_squares_solution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmcompiler.passes.refit._DAMPING", 0.0)
    shape = (1, 1, 2)
    x, weight = _source(2, 64, (1, 1, 5)), np.random.default_rng(3).normal(size=(2, 5))
    kernel = Dense(weight)
    target = apply(kernel, x, shape)
    x = _coarse(x)
    at = Positions.spread(64, shape, 1000)
    sums = apply(kernel, x, shape)
    (found,), shift = refit((Read(kernel, x),), at.of(target), at.of(sums), Clip(), at, shape)
    with_ones = np.concatenate([x.reshape(64, 5), np.ones((64, 1))], axis=1)
    wanted = np.linalg.lstsq(with_ones, target.reshape(64, 2), rcond=None)[0]
    np.testing.assert_allclose(found.weight, wanted[:5].T, atol=1e-4)
    np.testing.assert_allclose(shift, wanted[5], atol=1e-4)


def test_exact_inputs_leave_the_weights_as_they_are() -> None:
    kernel, x = _kernel("conv"), _source(4)
    sums = apply(kernel, x, SHAPE)
    at = Positions.spread(len(x), SHAPE, 300)
    (found,), shift = refit((Read(kernel, x),), at.of(sums), at.of(sums), RELU, at, SHAPE)
    np.testing.assert_array_equal(found.weight, kernel.weight)
    assert not shift.any()


@pytest.mark.parametrize(("rows", "stays"), [(23, True), (24, False)])
def test_a_layer_with_fewer_than_four_rows_per_unknown_stays(rows: int, stays: bool) -> None:
    x, kernel, shape = _source(6, rows, (1, 1, 5)), Dense(np.ones((2, 5))), (1, 1, 2)
    at = Positions.spread(rows, shape, 1000)
    target = at.of(apply(kernel, x, shape))
    sums = at.of(apply(kernel, _coarse(x), shape))
    (found,), _ = refit((Read(kernel, _coarse(x)),), target, sums, RELU, at, shape)
    assert (found is kernel) == stays


def test_a_skip_connection_stays_while_the_other_branch_is_refitted() -> None:
    kernel, skip, exact = _kernel("conv"), identity(4), _source(7)
    x = _coarse(exact)
    target = apply(kernel, exact, SHAPE) + exact
    sums = apply(kernel, x, SHAPE) + x
    at = Positions.spread(len(x), SHAPE, 400)
    reads = (Read(skip, x), Read(kernel, x))
    (same, other), _ = refit(reads, at.of(target), at.of(sums), RELU, at, SHAPE)
    assert same is skip
    assert isinstance(other, Conv)
    assert not np.array_equal(other.weight, kernel.weight)


def test_positions_are_spread_over_samples_and_columns() -> None:
    at = Positions.spread(10, (8, 8, 1), 64)
    assert len(at.sample) == 64
    assert set(at.sample) == set(range(10))
    assert set(at.x) == set(range(8))


def test_a_channel_that_never_changes_keeps_its_weights() -> None:
    kernel, exact = _kernel("depthwise"), _source(8)
    exact[..., 2] = 0.7
    x = _coarse(exact)
    x[..., 2] = 0.3
    valid = Conv(kernel.weight, groups=4)
    shape = (4, 4, 4)
    target, sums = apply(valid, exact, shape), apply(valid, x, shape)
    at = Positions.spread(len(x), shape, 1000)
    (found,), shift = refit((Read(valid, x),), at.of(target), at.of(sums), Clip(), at, shape)
    assert isinstance(found, Conv)
    np.testing.assert_allclose(found.weight[..., 2], kernel.weight[..., 2], atol=1e-3)
    again = apply(found, x, shape) + shift
    np.testing.assert_allclose(again[..., 2], target[..., 2], atol=1e-3)


def test_rows_that_count_more_come_closer() -> None:
    kernel, exact = _kernel("pointwise"), _source(9)
    x = _coarse(exact)
    target, sums = apply(kernel, exact, SHAPE), apply(kernel, x, SHAPE)
    at = Positions.spread(len(x), SHAPE, 1 << 20)
    counts = np.where(at.y < 3, 1.0, 1e-3)

    def error(weight: Array | None) -> float:
        args = (Read(kernel, x),), at.of(target), at.of(sums), RELU, at, SHAPE
        (found,), shift = refit(*args, weight=weight)
        off = np.clip(target, 0, None) - np.clip(apply(found, x, SHAPE) + shift, 0, None)
        return float((counts[:, None] * np.square(at.of(off))).sum())

    assert error(counts) < error(None)
