from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.sim.jit import jit
from nmcompiler_backends.mixed_signal.kernels import read_tiles


def slow(values, sources, starts, weights, per_code, codes_per, largest, digits):
    """The same, one scalar at a time, in 32-bit floats."""
    samples, n = len(values), weights.shape[1]
    acc, clipped = np.zeros((samples, n), np.int64), 0
    for s in range(samples):
        for t in range(len(starts) - 1):
            for k in range(digits):
                for j in range(n):
                    current = np.float32(0)
                    for row in range(starts[t], starts[t + 1]):
                        q = int(values[s, sources[row]])
                        if abs(q) >> k & 1:
                            current = np.float32(current + np.sign(q) * weights[row, j])
                    if not largest:
                        acc[s, j] += int(np.rint(current)) << k
                        continue
                    code = np.rint(np.float32(current * codes_per[t, j]))
                    if abs(code) > largest:
                        code, clipped = np.sign(code) * largest, clipped + 1
                    acc[s, j] += int(np.rint(np.float32(np.float32(code) * per_code[t, j]))) * 2**k
    return acc, clipped


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 3, 127, 2**15]), st.booleans())
def test_tiles_read_as_they_are_described(seed, largest, whole):
    rng = np.random.default_rng(seed)
    samples, neurons, rows, n, tiles = rng.integers(1, [4, 12, 14, 5, 4])
    values = rng.integers(-15, 16, (samples, neurons)).astype(np.int32)
    sources = rng.integers(0, neurons, rows)
    starts = np.concatenate([[0], np.sort(rng.integers(0, rows + 1, tiles - 1)), [rows]]).astype(np.int64)
    weights = rng.normal(0, 40, (rows, n)).astype(np.float32)
    weights = np.rint(weights) if whole else weights
    per_code = rng.uniform(0.5, 30, (tiles, n)).astype(np.float32)
    per_code[rng.random((tiles, n)) < 0.1] = 0
    codes_per = np.divide(1, per_code, out=np.zeros_like(per_code), where=per_code > 0)
    arguments = (values, sources, starts, weights, per_code, codes_per, largest, 4)
    acc = np.zeros((samples, n), np.int64)
    clipped = jit(read_tiles)(*arguments, acc)
    expected, counted = slow(*arguments)
    assert np.array_equal(acc, expected)
    assert clipped == counted


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_whole_weights_without_an_adc_are_a_matrix_product(seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(-255, 256, (5, 20)).astype(np.int32)
    weights = rng.integers(-127, 128, (20, 6)).astype(np.float32)
    none = np.zeros((3, 6), np.float32)
    acc = np.ones((5, 6), np.int64)
    starts = np.array([0, 7, 7, 20])
    assert jit(read_tiles)(values, np.arange(20), starts, weights, none, none, 0, 8, acc) == 0
    assert np.array_equal(acc, 1 + values.astype(np.int64) @ weights.astype(np.int64))
