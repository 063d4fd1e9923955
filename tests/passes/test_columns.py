"""Columns times weights are the sums of a layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nmcompiler.evaluate.linear import apply
from nmcompiler.ir.kernels import Conv, Dense, Kernel, Shape, Sparse
from nmcompiler.passes.columns import Positions, columns, from_groups, most_rows, to_groups

RNG = np.random.default_rng(0)
CASES: dict[str, tuple[Kernel, Shape]] = {
    "dense": (Dense(RNG.normal(size=(5, 96))), (1, 1, 5)),
    "conv": (Conv(RNG.normal(size=(3, 2, 6, 4)), (2, 1), (1, 0), (1, 2)), (2, 2, 4)),
    "grouped": (Conv(RNG.normal(size=(3, 3, 3, 4)), padding=(1, 1), groups=2), (4, 4, 4)),
    "pruned dense": (Dense(RNG.normal(size=(5, 96)) * (RNG.random((5, 96)) < 0.3), pruned=True), (1, 1, 5)),
    "pruned conv": (
        Conv(RNG.normal(size=(3, 3, 3, 4)) * (RNG.random((3, 3, 3, 4)) < 0.4), groups=2, pruned=True),
        (2, 2, 4),
    ),
    "all pruned": (Dense(np.zeros((2, 96)), pruned=True), (1, 1, 2)),
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


def test_outputs_of_a_pruned_kernel_read_what_they_kept() -> None:
    weight = np.array([[0.0, 2.0, 0.0, 3.0], [1.0, 0.0, 0.0, 0.0]])
    kernel = Dense(weight, pruned=True)
    np.testing.assert_array_equal(to_groups(kernel)[..., 0], [[2, 3], [1, 0]])
    x = np.arange(4, dtype=np.float32).reshape(1, 1, 1, 4)
    at = Positions.spread(1, (1, 1, 2), 1)
    np.testing.assert_array_equal(columns(kernel, x, at)[:, 0], [[1, 3], [0, 0]])


def test_columns_of_pruned_kernels_are_made_at_as_many_positions_as_memory_holds() -> None:
    whole = Conv(np.ones((5, 5, 64, 512)))
    assert most_rows((whole,), 9000) == 9000
    assert most_rows((whole, replace(whole, pruned=True)), 9000) == (1 << 25) // (1600 * 512)
