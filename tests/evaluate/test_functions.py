from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.evaluate.functions import evaluate
from nmcompiler.ir.layers import LocalNorm


@given(st.integers(1, 7), st.integers(1, 6), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_local_norm_is_its_formula(size: int, channels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    norm = LocalNorm(size, float(rng.uniform(0, 2)), float(rng.uniform(0, 1.5)), float(rng.uniform(0.5, 2)))
    z = rng.normal(size=(2, 1, 2, channels))
    wanted = np.empty_like(z)
    for place in np.ndindex(*z.shape):
        first = max(0, place[3] - math.floor((size - 1) / 2))
        last = min(channels - 1, place[3] + math.ceil((size - 1) / 2))
        total = sum(z[(*place[:3], c)] ** 2 for c in range(first, last + 1))
        wanted[place] = z[place] / (norm.bias + norm.alpha / size * total) ** norm.beta
    np.testing.assert_allclose(evaluate(norm, z), wanted, rtol=1e-12)
    assert evaluate(norm, z.astype(np.float32)).dtype == np.float32


def test_a_function_without_a_rule_is_a_fault_of_ours() -> None:
    with pytest.raises(AssertionError, match="no rule evaluates object"):
        evaluate(object(), np.zeros((1, 1, 1, 1)))  # type: ignore[arg-type]
