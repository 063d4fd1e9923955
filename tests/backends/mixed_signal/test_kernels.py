from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.sim.jit import jit
from nmcompiler_backends.mixed_signal.kernels import add_codes, add_whole, fire, planes, row_values, settle

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_digits_spell_what_drives_a_row_with_its_sign(seed, bits):
    rng = np.random.default_rng(seed)
    values = rng.integers(-255, 256, (5, 20)).astype(np.int32)
    sources, rows = rng.integers(0, 20, 15), np.sort(rng.integers(0, 9, 15))
    driven = np.zeros((5, 9), np.int64)
    most = jit(row_values)(values, sources, rows, driven)
    wanted = np.zeros((5, 9), np.int64)
    np.add.at(wanted.T, rows, values[:, sources].T)
    assert np.array_equal(driven, wanted)
    assert most == np.abs(wanted).max()
    digits = -(-int(most).bit_length() // bits)
    out = np.empty((digits * 5, 9), np.float32)
    jit(planes)(driven, digits, bits, out)
    assert np.abs(out).max(initial=0) < 2**bits
    assert np.array_equal(sum(2 ** (k * bits) * out[k * 5 : (k + 1) * 5] for k in range(digits)), wanted)


def slow(current, codes_per, per_code, largest, digits, bits, samples):
    """The same, one scalar at a time, in 32-bit floats."""
    n = current.shape[1]
    part, clipped, peak = np.zeros((samples, n), np.int64), 0, 0
    for k, s, j in np.ndindex(digits, samples, n):
        found = current[k * samples + s, j]
        if not largest:
            part[s, j] += int(np.rint(found)) << (k * bits)
            continue
        code = np.rint(np.float32(found * codes_per[j]))
        if abs(code) > largest:
            code, clipped = np.sign(code) * largest, clipped + 1
        peak = max(peak, abs(code))
        part[s, j] += int(np.rint(np.float32(np.float32(code) * per_code[j]))) * 2 ** (k * bits)
    return part, clipped, peak


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.sampled_from([0, 3, 127, 2**15]), st.integers(1, 8))
def test_codes_add_up_as_they_are_described(seed, largest, bits):
    rng = np.random.default_rng(seed)
    samples, n = rng.integers(1, [4, 6])
    current = rng.normal(0, 300, (4 * samples, n)).astype(np.float32)
    per_code = rng.uniform(0.5, 30, n).astype(np.float32)
    per_code[rng.random(n) < 0.1] = 0
    codes_per = np.divide(1, per_code, out=np.zeros_like(per_code), where=per_code > 0)
    part = np.zeros((samples, n), np.int64)
    found = jit(add_codes)(current, codes_per, per_code, largest, 4, bits, part)
    expected, clipped, peak = slow(current, codes_per, per_code, largest, 4, bits, samples)
    assert np.array_equal(part, expected)
    assert found == (clipped, peak)


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_whole_numbers_are_added_synapse_by_synapse(seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(-255, 256, (5, 20)).astype(np.int32)
    sources, targets = rng.integers(0, 20, 30), rng.integers(0, 6, 30)
    weights = rng.choice([-1, 1], 30)
    matrix = np.zeros((20, 6), np.int64)
    np.add.at(matrix, (sources, targets), weights)
    acc = np.ones((5, 6), np.int64)
    jit(add_whole)(values, sources, targets, weights, acc)
    assert np.array_equal(acc, 1 + values.astype(np.int64) @ matrix)


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_membranes_are_rounded_product_by_product(seed):
    rng = np.random.default_rng(seed)
    sums = rng.integers(-(2**20), 2**20, (3, 2, 5))
    factors, gain = rng.integers(0, 2**16, 2), rng.integers(0, 2**16, 5)
    offset, start = rng.integers(-99, 99, 5), rng.integers(-99, 99, 5)
    v = np.empty((3, 5), np.int64)
    jit(settle)(sums, factors, gain, offset, start, 14, v)
    for s, j in np.ndindex(3, 5):
        total = sum((int(sums[s, t, j]) * int(factors[t]) + 2**13) // 2**14 for t in range(2))
        assert v[s, j] == start[j] + (total * int(gain[j]) + 2**13) // 2**14 + offset[j]


@given(SEEDS, st.sampled_from([0, -7]))
@settings(max_examples=30, deadline=None)
def test_neurons_send_whole_thresholds_within_their_levels(seed, lowest):
    rng = np.random.default_rng(seed)
    theta = rng.integers(1, 9, 6)
    v = rng.integers(-100, 100, (4, 6))
    sent = np.empty((4, 6), np.int32)
    jit(fire)(v, theta, lowest, 7, sent)
    assert np.array_equal(sent, np.clip(np.floor(v / theta), lowest, 7))
