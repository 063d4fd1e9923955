"""Distinct numbers against a set."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from nmcompiler.ir.distinct import distinct


@given(arrays(st.sampled_from([np.int64, np.int32, np.uint8]), array_shapes(min_side=0, max_dims=3)))
def test_each_number_comes_once_in_order(values):
    found = distinct(values)
    assert found.dtype == np.int64
    assert found.tolist() == sorted(set(values.reshape(-1).tolist()))


def test_what_is_given_stays_as_it_is():
    values = np.array([3, 1, 3, 2])
    assert distinct(values).tolist() == [1, 2, 3]
    assert values.tolist() == [3, 1, 3, 2]


@pytest.mark.parametrize("dtype", [np.int64, np.int32])
def test_no_number_is_none_of_them(dtype):
    assert distinct(np.zeros(0, dtype)).tolist() == []
