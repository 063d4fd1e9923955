"""Weights of few bits are cut where that helps, and no single one of them could be better."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.evaluate.linear import apply
from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape, Sparse
from nmcompiler.passes.columns import Positions
from nmcompiler.passes.few_bits import FINER, cut_weights, descend, shrinkage
from nmcompiler.passes.formats import Branch
from nmcompiler.passes.gptq import spread_errors
from nmcompiler.passes.kernel_algebra import scale_targets

GRID = np.array(FINER)[:, None]


def _gram(rng: np.random.Generator, groups: int, rows: int, unknowns: int) -> Array:
    inputs = rng.gamma(1.0, 2.0, (groups, rows, 1)) + rng.gamma(1.0, 0.5, (groups, rows, unknowns))
    return inputs.transpose(0, 2, 1) @ inputs + 0.1 * np.eye(unknowns)


def _error(weight: Array, whole: Array, gram: Array) -> Array:
    return np.einsum("gio,gij,gjo->go", weight - whole, gram, weight - whole)


@given(st.integers(0, 10**6), st.sampled_from([1, 3, 7]))
@settings(max_examples=40, deadline=None)
def test_no_single_weight_could_be_better(seed: int, limit: int) -> None:
    rng = np.random.default_rng(seed)
    gram = _gram(rng, 2, 30, 5)
    weight = rng.normal(0, limit / 2, (2, 5, 3))
    start = spread_errors(weight, gram, limit)
    before = start.copy()
    found = descend(weight, start, gram, limit)
    np.testing.assert_array_equal(start, before)
    np.testing.assert_array_equal(found, np.round(found))
    assert np.abs(found).max() <= limit
    error = _error(weight, found, gram)
    assert np.all(error <= _error(weight, start, gram) * (1 + 1e-12))
    for j, value in product(range(5), range(-limit, limit + 1)):
        other = found.copy()
        other[:, j] = value
        assert np.all(error <= _error(weight, other, gram) * (1 + 1e-9) + 1e-9)


def test_a_weight_makes_up_for_another_that_was_rounded_badly() -> None:
    gram = np.array([[[1.0, 0.99], [0.99, 1.0]]])
    weight, start = np.full((1, 2, 1), 1.5), np.full((1, 2, 1), 2.0)
    assert descend(weight, start, gram, 7).sum() == 3


@given(st.integers(0, 10**6), st.booleans(), st.booleans())
@settings(max_examples=25, deadline=None)
def test_the_taken_grid_is_no_worse_on_the_samples_than_the_one_that_cuts_nothing(
    seed: int, dense: bool, together: bool
) -> None:
    rng = np.random.default_rng(seed)
    source: Shape = (1, 1, 6) if dense else (5, 5, 3)
    shape: Shape = (1, 1, 4) if dense else (5, 5, 4)
    x = rng.integers(0, 16, (2000 if dense else 80, *source)).astype(np.float32)
    weight = rng.standard_t(3, (4, 6) if dense else (3, 3, 3, 4))
    kernel: Kernel = Dense(weight) if dense else Conv(weight, padding=(1, 1))
    units = GRID * 7 / np.abs(weight).max(axis=1 if dense else (0, 1, 2))
    if together:
        units = np.repeat(units.min(axis=1, keepdims=True), 4, axis=1)
    at = Positions.spread(len(x), shape, 4000)

    def tried(units: Array) -> tuple[Kernel, Array]:
        found = cut_weights(
            (Branch("x", kernel, 0, 15, False),), {"x": x}, units, at, shape, 7, together=together
        )
        assert found is not None
        return found[0][0].kernel, found[1]

    def error(whole: Kernel, unit: Array) -> Array:
        off = apply(kernel, x, shape) - apply(whole, x, shape) / unit
        return at.of(off).var(axis=0)

    (best, taken), (uncut, first) = tried(units), tried(units[:1])
    again = tried(units)
    np.testing.assert_array_equal(again[0].weight, best.weight)
    assert best.weight.dtype == np.int64
    assert np.abs(best.weight).max() <= 7
    assert not first.any()
    unit = np.take_along_axis(units, taken[None], axis=0)[0]
    lost, before = error(best, unit), error(uncut, units[0])
    if together:
        assert len(set(taken)) == 1
        lost, before = lost.sum(), before.sum()
    # Both are improved afterwards, the worse of two starts sometimes by more.
    assert np.all(lost <= 1.5 * before)


def test_one_large_weight_is_cut_for_the_sake_of_many() -> None:
    rng = np.random.default_rng(3)
    weight = rng.uniform(-1, 1, (2, 256))
    weight[0, 0] = 2.2
    x = rng.integers(0, 16, (2000, 1, 1, 256)).astype(np.float32)
    units = GRID * 7 / np.abs(weight).max(axis=1)
    at = Positions.spread(len(x), (1, 1, 2), 2000)
    branch = Branch("x", Dense(weight), 0, 15, False)
    found = cut_weights((branch,), {"x": x}, units, at, (1, 1, 2), 7, together=False)
    assert found is not None
    branches, taken = found
    assert taken[0] >= 4
    assert taken[1] <= 1
    assert branches[0].kernel.weight[0, 0] == 7


def test_branches_that_meet_share_the_unit_of_their_channels() -> None:
    rng = np.random.default_rng(4)
    x = rng.integers(0, 16, (40, 4, 4, 2)).astype(np.float32)
    y = rng.integers(0, 16, (40, 4, 4, 3)).astype(np.float32)
    wide = Conv(rng.normal(size=(3, 3, 2, 3)), padding=(1, 1))
    half = Conv(rng.normal(size=(1, 1, 2, 2)), source_channel=1, target_channel=1)
    branches = (Branch("x", wide, 0, 15, False), Branch("y", half, 1, 15, False))
    units = GRID * np.full(3, 4.0)
    at = Positions.spread(40, (4, 4, 3), 8192)
    found = cut_weights(branches, {"x": x, "y": y}, units, at, (4, 4, 3), 127, together=False)
    assert found is not None
    unit = np.take_along_axis(units, found[1][None], axis=0)[0]
    for made, branch in zip(found[0], branches, strict=True):
        wanted = scale_targets(branch.kernel, unit, (4, 4, 3)).weight
        assert np.abs(made.kernel.weight - wanted).max() < 2.5


def test_kernels_without_columns_are_left_to_others() -> None:
    sparse = Sparse(np.arange(2), np.arange(2), np.array([0.6, 0.2]))
    branch = Branch("x", sparse, 0, 15, False)
    x = np.ones((3, 1, 1, 2), np.float32)
    at = Positions.spread(3, (1, 1, 2), 8)
    assert cut_weights((branch,), {"x": x}, np.ones((1, 2)), at, (1, 1, 2), 7, together=True) is None


@pytest.mark.parametrize(("rows", "least", "most"), [(8, 0.2, 0.9), (20000, 0.0, 0.01)])
def test_few_samples_ask_for_more_shrinkage(rows: int, least: float, most: float) -> None:
    inputs = np.random.default_rng(5).normal(0, np.arange(1, 13), (1, rows, 12))
    share = shrinkage(inputs, inputs.transpose(0, 2, 1) @ inputs)
    assert least <= share[0] <= most


def test_shrinkage_is_that_of_its_paper() -> None:
    inputs = np.random.default_rng(6).normal(0, np.arange(1, 5), (1, 9, 4))
    sample = inputs[0].T @ inputs[0] / 9
    target = np.trace(sample) / 4 * np.eye(4)
    scatter = sum(np.square(np.outer(x, x) - sample).sum() for x in inputs[0]) / 81
    wanted = min(scatter / np.square(sample - target).sum(), 0.9)
    assert shrinkage(inputs, 9 * sample[None])[0] == pytest.approx(wanted)


def test_inputs_that_never_change_leave_the_covariance_as_it_is() -> None:
    assert shrinkage(np.zeros((1, 5, 3)), np.zeros((1, 3, 3)))[0] == 0
