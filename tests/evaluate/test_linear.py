from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.evaluate.linear import apply
from nmcompiler.ir.kernels import Array, Conv, Dense, Shape, Sparse, identity


def slow_conv(kernel: Conv, source: Array, target_shape: Shape) -> Array:
    """The sum of the docstring of ``Conv``, one synapse at a time."""
    result = np.zeros((len(source), *target_shape), source.dtype)
    kh, kw, per_group, outputs = kernel.weight.shape
    for y, x, ky, kx, i, o in np.ndindex(*target_shape[:2], kh, kw, per_group, outputs):
        sy = y * kernel.stride[0] - kernel.padding[0] + ky * kernel.dilation[0]
        sx = x * kernel.stride[1] - kernel.padding[1] + kx * kernel.dilation[1]
        if 0 <= sy < source.shape[1] and 0 <= sx < source.shape[2]:
            group = o // (outputs // kernel.groups)
            read = source[:, sy, sx, kernel.source_channel + group * per_group + i]
            result[:, y, x, kernel.target_channel + o] += kernel.weight[ky, kx, i, o] * read
    return result


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Conv, Array, Shape]:
    small = st.integers(1, 3)
    groups, per_group, per_output = draw(small), draw(small), draw(st.integers(1, 2))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    first, offset = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    kernel = Conv(
        rng.integers(-9, 10, (draw(small), draw(small), per_group, groups * per_output)),
        (draw(small), draw(small)),
        (draw(st.integers(-2, 3)), draw(st.integers(-2, 3))),
        (draw(small), draw(small)),
        groups,
        first,
        offset,
    )
    channels = first + kernel.source_channels + draw(st.integers(0, 1))
    source = rng.integers(-9, 10, (2, draw(st.integers(1, 6)), draw(st.integers(1, 6)), channels))
    target = (
        draw(st.integers(1, 4)),
        draw(st.integers(1, 4)),
        offset + kernel.target_channels + draw(st.integers(0, 1)),
    )
    return kernel, source, target


@settings(max_examples=100, deadline=None)
@given(convolutions())
def test_a_convolution_is_the_sum_of_its_definition(case: tuple[Conv, Array, Shape]) -> None:
    kernel, source, target = case
    found = apply(kernel, source.astype(np.float64), target)
    np.testing.assert_array_equal(found, slow_conv(kernel, source, target))


@given(st.integers(0, 2**32), st.integers(0, 30))
def test_synapses_of_one_pair_add_up(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    kernel = Sparse(rng.integers(0, 6, count), rng.integers(0, 4, count), rng.integers(-9, 10, count))
    source = rng.integers(-9, 10, (3, 2, 1, 2)).astype(np.float64)
    expected = np.zeros((3, 6))
    for row, column, weight in zip(kernel.rows, kernel.columns, kernel.weight, strict=True):
        expected[:, row] += weight * source.reshape(3, 4)[:, column]
    np.testing.assert_array_equal(apply(kernel, source, (1, 2, 3)), expected.reshape(3, 1, 2, 3))


def test_a_dense_kernel_reads_channels_last() -> None:
    source = np.arange(12.0).reshape(1, 2, 2, 3)
    assert apply(Dense(np.eye(12)[[5]]), source, (1, 1, 1)).item() == 5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_samples_decide_the_dtype(dtype: type) -> None:
    assert apply(identity(2), np.ones((1, 1, 1, 2), dtype), (1, 1, 2)).dtype == dtype


def test_a_large_batch_in_parts_equals_its_samples_one_by_one() -> None:
    rng = np.random.default_rng(0)
    kernel = Conv(rng.integers(-9, 10, (3, 3, 8, 4)), padding=(1, 1))
    source = rng.integers(0, 9, (80, 20, 20, 8)).astype(np.float64)
    whole = apply(kernel, source, (20, 20, 4))
    single = np.concatenate([apply(kernel, source[k : k + 1], (20, 20, 4)) for k in range(80)])
    np.testing.assert_array_equal(whole, single)


def test_no_samples_give_no_results() -> None:
    assert apply(identity(2), np.empty((0, 3, 3, 2)), (3, 3, 2)).shape == (0, 3, 3, 2)
    synapses = Sparse(np.array([0]), np.array([1]), np.array([2.0]))
    assert apply(synapses, np.empty((0, 1, 1, 2)), (1, 1, 1)).shape == (0, 1, 1, 1)
