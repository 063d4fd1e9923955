"""Composed, converted and scaled kernels are the maps that they claim to be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.evaluate.linear import apply
from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape, Sparse, elementwise, identity
from nmcompiler.passes.kernel_algebra import (
    as_conv,
    as_dense,
    compose,
    is_identity,
    largest_weight,
    scale_sources,
    scale_targets,
    synapses,
    to_sparse,
)


def _matrix(kernel: Kernel, source: Shape, target: Shape) -> Array:
    size = int(np.prod(source))
    return apply(kernel, np.eye(size).reshape(size, *source), target).reshape(size, -1).T


def _random_kernel(rng: np.random.Generator, source: Shape, kind: str) -> tuple[Kernel, Shape]:
    """Returns a kernel of a kind and a target shape that suits it."""
    channels = int(rng.integers(1, 5))
    if kind == "dense":
        target = (1, 1, channels)
        return Dense(rng.integers(-3, 4, (channels, int(np.prod(source))))), target
    if kind == "sparse":
        target = (2, 2, channels)
        n = int(rng.integers(1, 20))
        ends = rng.integers(0, int(np.prod(target)), n), rng.integers(0, int(np.prod(source)), n)
        return Sparse(*ends, rng.integers(-3, 4, n)), target
    if kind == "permute":
        order = rng.permutation(int(np.prod(source)))
        return Sparse(np.arange(order.size), order, rng.integers(1, 4, order.size)), source
    if kind == "pick":
        first = int(rng.integers(0, source[2]))
        count = int(rng.integers(1, source[2] - first + 1))
        stride = tuple(int(v) for v in rng.integers(1, 3, 2))
        padding = tuple(int(v) for v in rng.integers(-1, 2, 2))
        at = int(rng.integers(0, 3))
        kernel = elementwise(rng.integers(-3, 4, count), source_channel=first, target_channel=at)
        kernel = Conv(kernel.weight, stride, padding, (1, 1), count, first, at)
        height, width = (int(rng.integers(1, source[a] + 2)) for a in (0, 1))
        return kernel, (height, width, at + count + int(rng.integers(0, 2)))
    size = (1, 1) if kind == "pointwise" else tuple(int(v) for v in rng.integers(1, 4, 2))
    groups = source[2] if kind == "depthwise" else 1
    per_group, out = source[2] // groups, channels * (groups if kind == "depthwise" else 1)
    weight = rng.integers(-3, 4, (*size, per_group, out))
    stride = (1, 1) if kind == "pointwise" else tuple(int(v) for v in rng.integers(1, 3, 2))
    padding = (0, 0) if kind == "pointwise" else tuple(int(v) for v in rng.integers(0, 2, 2))
    shape = source[:2] if kind == "pointwise" else tuple(int(v) for v in rng.integers(1, 4, 2))
    at = int(rng.integers(0, 2))
    return Conv(weight, stride, padding, (1, 1), groups, 0, at), (*shape, out + at)


KINDS = ("dense", "sparse", "permute", "pick", "pointwise", "depthwise", "conv")


@given(st.sampled_from(KINDS), st.sampled_from(KINDS), st.integers(0, 10**6))
@settings(max_examples=300, deadline=None)
def test_a_composition_is_one_map_after_the_other(outer_kind: str, inner_kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    source = tuple(int(v) for v in rng.integers(1, 5, 3))
    inner, middle = _random_kernel(rng, source, inner_kind)
    outer, target = _random_kernel(rng, middle, outer_kind)
    made = compose(outer, inner, source, middle, target)
    if made is not None:
        wanted = _matrix(outer, middle, target) @ _matrix(inner, source, middle)
        assert np.array_equal(_matrix(made, source, target), wanted)


@pytest.mark.parametrize(("outer", "inner"), [("conv", "pick"), ("pick", "conv"), ("dense", "conv")])
def test_the_common_compositions_exist(outer: str, inner: str) -> None:
    found = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        first, middle = _random_kernel(rng, (4, 4, 3), inner)
        second, target = _random_kernel(rng, middle, outer)
        found += compose(second, first, (4, 4, 3), middle, target) is not None
    assert found >= 20


def test_a_padded_reader_of_a_cropped_pick_does_not_read_beyond_the_crop() -> None:
    pool_pick = Conv(np.ones((1, 1, 1, 1)), stride=(2, 2))
    reader = Conv(np.ones((3, 3, 1, 1)), padding=(1, 1))
    source, middle = (5, 5, 1), (2, 2, 1)
    made = compose(reader, pool_pick, source, middle, middle)
    assert isinstance(made, Sparse)
    wanted = _matrix(reader, middle, middle) @ _matrix(pool_pick, source, middle)
    assert np.array_equal(_matrix(made, source, middle), wanted)


@given(st.sampled_from(KINDS), st.integers(0, 10**6))
@settings(max_examples=100, deadline=None)
def test_conversions_and_scalings_keep_the_map(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    source = tuple(int(v) for v in rng.integers(1, 5, 3))
    kernel, target = _random_kernel(rng, source, kind)
    matrix = _matrix(kernel, source, target)
    for same in (to_sparse(kernel, source, target), as_conv(kernel, source, target)):
        assert np.array_equal(_matrix(same, source, target), matrix)
    assert np.array_equal(_matrix(as_dense(kernel, source, target), source, target), matrix)
    a = rng.integers(1, 5, source[2]).astype(float)
    b = rng.integers(1, 5, target[2]).astype(float)
    by_source = _matrix(scale_sources(kernel, a, source), source, target)
    assert np.array_equal(by_source, matrix * np.tile(a, source[0] * source[1]))
    by_target = _matrix(scale_targets(kernel, b, target), source, target)
    assert np.array_equal(by_target, matrix * np.tile(b, target[0] * target[1])[:, None])


@given(st.sampled_from(("dense", "conv", "depthwise", "permute")), st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_the_largest_weight_bounds_every_synapse_of_its_channel(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    kernel, target = _random_kernel(rng, (3, 3, 2), kind)
    matrix = np.abs(_matrix(kernel, (3, 3, 2), target)).reshape(-1, target[2], 18)
    assert np.all(largest_weight(kernel, target) >= matrix.max(axis=(0, 2)))


def test_weights_that_are_all_zero_have_a_largest_of_plus_zero() -> None:
    for weight in (np.zeros((2, 3)), -np.zeros((2, 3)), np.zeros((2, 3), np.int64)):
        assert not np.signbit(largest_weight(Dense(weight), (1, 1, 2))).any()


def test_synapses_of_a_convolution_count_every_position() -> None:
    assert synapses(Conv(np.ones((3, 3, 2, 4))), (5, 6, 4)) == 5 * 6 * 9 * 2 * 4


def test_identity_is_recognised_and_a_scaled_copy_is_not() -> None:
    shape = (2, 3, 4)
    assert is_identity(identity(4), shape, shape)
    assert not is_identity(elementwise(np.array([1, 1, 2, 1])), shape, shape)
    assert not is_identity(identity(3), shape, shape)


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_synapses_of_a_convolution_are_listed_by_target_and_then_by_source(seed: int) -> None:
    rng = np.random.default_rng(seed)
    source = (5, 4, 3)
    kernel, target = _random_kernel(rng, source, str(rng.choice(["pick", "depthwise", "plain"])))
    found = to_sparse(kernel, source, target)
    pairs = found.rows * np.int64(np.prod(source)) + found.columns
    assert np.all(np.diff(pairs) > 0)
    assert np.array_equal(_matrix(found, source, target), _matrix(kernel, source, target))
