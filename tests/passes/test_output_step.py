"""The step of outputs that are read from spikes."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.ir.kernels import Array
from nmcompiler.passes.output_step import output_step

ONE = np.ones(64, np.float32)


def error(x: Array, step: float, levels: int) -> float:
    q = np.clip(np.floor(x / step + 0.5), -levels, levels)
    return float(np.square(x - step * q).mean())


def kept(x: Array, step: float, levels: int) -> float:
    """Share of rows whose largest value is the only largest after rounding."""
    q = np.clip(np.floor(x / step + 0.5), -levels, levels)
    alone = (q == q.max(axis=1, keepdims=True)).sum(axis=1) == 1
    return float((alone & (q.argmax(axis=1) == x.argmax(axis=1))).mean())


@given(st.integers(0, 10**6), st.sampled_from([1, 3, 15, 255]), st.sampled_from([1, 2, 10]))
@settings(max_examples=60, deadline=None)
def test_the_squared_error_is_at_most_twice_the_least(seed: int, levels: int, outputs: int) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(64, outputs)) * rng.uniform(0.01, 100)).astype(np.float32)
    step = output_step(x, x, ONE, levels)
    tried = np.linspace(0.15, 1, 40) * float(np.abs(x).max()) / levels
    assert np.isclose(tried, step).any()
    assert error(x, step, levels) <= 2.001 * min(error(x, s, levels) for s in tried)


def test_more_answers_are_kept_than_with_the_least_error() -> None:
    gained = []
    for seed in range(20):
        x = np.random.default_rng(seed).standard_t(3, (64, 10)).astype(np.float32)
        tried = np.linspace(0.15, 1, 40) * float(np.abs(x).max()) / 15
        least = min(tried, key=lambda s: error(x, s, 15))
        gained.append(kept(x, output_step(x, x, ONE, 15), 15) - kept(x, least, 15))
    assert np.mean(gained) > 0.01
    assert min(gained) > -0.04  # a row that ties counts in part there, and not at all here


def test_a_single_output_takes_the_least_error() -> None:
    x = np.random.default_rng(0).normal(size=(64, 1)).astype(np.float32)
    tried = np.linspace(0.15, 1, 40) * float(np.abs(x).max()) / 7
    assert np.isclose(output_step(x, x, ONE, 7), min(tried, key=lambda s: error(x, s, 7)))


def test_outputs_without_values_have_a_step_all_the_same() -> None:
    zero = np.zeros((64, 3), np.float32)
    assert output_step(zero, zero, ONE, 15) == 0.15 / 15
    assert output_step(zero, zero + 2, ONE, 1) > 0
