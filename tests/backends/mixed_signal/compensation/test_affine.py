from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler_backends.mixed_signal.compensation.affine import fit_lines


def slow(read, wanted, used):
    """Column by column, in plain sums."""
    variances = []
    for j in range(read.shape[1]):
        x = read[used[:, j], j]
        variances.append(float(((x - x.mean()) ** 2).mean()) if len(x) else 0.0)
    prior = 2.5 * sum(variances) / len(variances)
    lines = []
    for j in range(read.shape[1]):
        x, y = read[used[:, j], j], wanted[used[:, j], j]
        if not len(x):
            lines.append((1.0, 0.0))
            continue
        square, product = sum((x - x.mean()) ** 2), sum((x - x.mean()) * (y - y.mean()))
        gain = (product + prior) / (square + prior) if square + prior > 0 else 1.0
        lines.append((gain, (y.mean() - gain * x.mean()) * len(x) / (len(x) + 50)))
    return np.array(lines).T


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_lines_are_those_of_plain_sums(seed):
    rng = np.random.default_rng(seed)
    samples, n = rng.integers(1, [30, 6])
    read, wanted = rng.integers(-20, 20, (2, samples, n)).astype(float)
    used = rng.random((samples, n)) < rng.choice([0.0, 0.5, 1.0])
    np.testing.assert_allclose(fit_lines(read, wanted, used), slow(read, wanted, used), atol=1e-9)


def test_many_samples_give_gain_and_offset_back():
    rng = np.random.default_rng(0)
    read = rng.normal(0, 5, (4000, 3))
    gain, offset = fit_lines(read, 1.3 * read + 2, np.ones(read.shape, bool))
    assert gain == pytest.approx(1.3, rel=0.01)
    assert offset == pytest.approx(2, rel=0.03)


def test_what_is_read_as_it_was_meant_is_left_alone():
    read = np.random.default_rng(1).integers(-9, 9, (40, 5))
    gain, offset = fit_lines(read, read, np.ones(read.shape, bool))
    assert (gain == 1).all()
    assert np.abs(offset).max() < 1e-12
