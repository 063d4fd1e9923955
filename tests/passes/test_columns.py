"""Columns times weights are the sums of a layer."""

from __future__ import annotations

import numpy as np
import pytest

from nmcompiler.evaluate.linear import apply
from nmcompiler.ir.kernels import Conv, Dense, Kernel, Shape, Sparse
from nmcompiler.passes.columns import Positions, columns, from_groups, to_groups

RNG = np.random.default_rng(0)
CASES: dict[str, tuple[Kernel, Shape]] = {
    "dense": (Dense(RNG.normal(size=(5, 96))), (1, 1, 5)),
    "conv": (Conv(RNG.normal(size=(3, 2, 6, 4)), (2, 1), (1, 0), (1, 2)), (2, 2, 4)),
    "grouped": (Conv(RNG.normal(size=(3, 3, 3, 4)), padding=(1, 1), groups=2), (4, 4, 4)),
    "depthwise": (Conv(RNG.normal(size=(3, 3, 1, 6)), padding=(1, 1), groups=6), (4, 4, 6)),
}


@pytest.mark.parametrize("name", CASES)
def test_columns_times_weights_are_the_sums(name: str) -> None:
    kernel, shape = CASES[name]
    x = RNG.normal(size=(7, 4, 4, 6)).astype(np.float32)
    at = Positions.spread(7, shape, 50)
    products = columns(kernel, x, at) @ to_groups(kernel)
    rows = products.transpose(1, 0, 2).reshape(len(at.sample), shape[2])
    np.testing.assert_allclose(rows, at.of(apply(kernel, x, shape)), atol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_weights_come_back_from_their_groups(name: str) -> None:
    kernel, _ = CASES[name]
    np.testing.assert_array_equal(from_groups(kernel, to_groups(kernel)), kernel.weight)


def test_lists_of_synapses_have_no_columns() -> None:
    sparse = Sparse(np.array([0]), np.array([0]), np.array([1.0]))
    at = Positions.spread(1, (1, 1, 1), 1)
    with pytest.raises(TypeError, match="Sparse"):
        columns(sparse, np.zeros((1, 1, 1, 1)), at)
    with pytest.raises(TypeError, match="Sparse"):
        to_groups(sparse)


def test_positions_are_spread_over_samples_and_columns() -> None:
    at = Positions.spread(10, (8, 8, 1), 64)
    assert len(at.sample) == 64
    assert set(at.sample) == set(range(10))
    assert set(at.x) == set(range(8))
