"""Pieces of a kernel add up to it, and none reads more sources than it may."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.evaluate.linear import apply
from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape, Sparse
from nmcompiler.passes.kernel_algebra import to_sparse
from nmcompiler.passes.pieces import pieces, shares

SOURCE: Shape = (6, 5, 6)


def _kernel(kind: str, seed: int) -> tuple[Kernel, Shape]:
    rng = np.random.default_rng(seed)
    if kind == "dense":
        return Dense(rng.normal(size=(4, 180))), (1, 1, 4)
    if kind == "rows":  # a dense map into a map is no convolution
        return Dense(rng.normal(size=(8, 180))), (2, 2, 2)
    if kind == "sparse":
        rows, columns = rng.integers(0, 8, 90), rng.integers(0, 180, 90)
        return Sparse(rows, columns, rng.normal(size=90)), (2, 2, 2)
    groups = {"conv": 1, "grouped": 2, "depthwise": 6}[kind]
    weight = rng.normal(size=(3, 2, 6 // groups, 6))
    stride, padding, dilation = ((1, 1), (1, 0), (1, 2)) if seed % 2 else ((2, 1), (0, 1), (1, 1))
    target = (6, 3, 6) if seed % 2 else (2, 6, 6)
    return Conv(weight, stride, padding, dilation, groups), target


def _read(kernels: list[Kernel], target: Shape) -> int:
    """Returns the distinct sources of the neuron that reads most through kernels, weights of 0 left out."""
    pairs = set()
    for kernel in kernels:
        listed = to_sparse(kernel, SOURCE, target)
        pairs |= {
            (int(r), int(c)) for r, c, w in zip(listed.rows, listed.columns, listed.weight, strict=True) if w
        }
    return max(np.bincount([row for row, _ in pairs]))


def _sum(kernels: list[Kernel], x: Array, target: Shape) -> Array:
    total = np.zeros((len(x), *target))
    for kernel in kernels:
        total += apply(kernel, x, target)
    return total


KINDS = st.sampled_from(["dense", "rows", "sparse", "conv", "grouped", "depthwise"])


@given(KINDS, st.integers(0, 1000), st.integers(1, 40), st.one_of(st.none(), st.integers(1, 20)))
@settings(max_examples=120, deadline=None)
def test_they_add_up_and_read_few_sources(kind: str, seed: int, most: int, first: int | None) -> None:
    kernel, target = _kernel(kind, seed)
    groups = pieces(kernel, SOURCE, target, most, first)
    x = np.random.default_rng(seed).normal(size=(3, *SOURCE))
    whole = [kernel for group in groups for kernel in group]
    np.testing.assert_allclose(_sum(whole, x, target), apply(kernel, x, target), atol=1e-9)
    limits = [most if first is None or number else first for number in range(len(groups))]
    assert all(_read(group, target) <= limit for group, limit in zip(groups, limits, strict=True))


@pytest.mark.parametrize(("inputs", "most", "groups"), [(128, 64, 2), (128, 63, 3), (64, 64, 1), (65, 64, 2)])
def test_there_are_as_few_as_can_be(inputs: int, most: int, groups: int) -> None:
    kernel = Dense(np.ones((3, inputs)))
    found = pieces(kernel, (1, 1, inputs), (1, 1, 3), most)
    assert len(found) == groups
    sizes = [kernel.weight.shape[2] for (kernel,) in found if isinstance(kernel, Conv)]
    assert max(sizes) - min(sizes) <= 1


def test_whole_channels_stay_together_where_that_takes_no_more_pieces() -> None:
    kernel = Conv(np.ones((3, 3, 16, 4)))
    found = pieces(kernel, (8, 8, 16), (6, 6, 4), 64)
    assert [[k.weight.shape for k in group] for group in found] == [
        [(3, 3, 5, 4)],
        [(3, 3, 5, 4)],
        [(3, 3, 6, 4)],
    ]
    assert len(pieces(Conv(np.ones((5, 5, 16, 4))), (8, 8, 16), (4, 4, 4), 64)) == 7  # 8 of two channels


@given(st.integers(1, 500), st.integers(2, 64), st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_a_neuron_reads_itself_what_few_helpers_leave_it(total: int, most: int, taken: int) -> None:
    if total <= most - taken or most <= taken:
        return
    own = shares(total, most, taken)
    possible = [  # every number of helpers, and what is left for the neuron itself
        most - taken - helpers
        for helpers in range(1, most - taken)
        if helpers * most + most - taken - helpers >= total
    ]
    assert own == (max(possible) if possible else 0)
