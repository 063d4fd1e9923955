"""Scales follow what matters, and outputs are stretched back to their size."""

from __future__ import annotations

import numpy as np

from nmcompiler.passes.scales import output_gain, search_scales


def test_errors_that_do_not_matter_do_not_set_the_scale() -> None:
    rng = np.random.default_rng(0)
    values = np.abs(rng.normal(0, 1, (200, 2, 2, 2))).astype(np.float32)
    values[:, 0] *= 8
    counts = np.ones_like(values)
    counts[:, 0, :, 1] = 1e-6
    found = search_scales(values, values, 7, signed=False, grid=60, rows=10**6, sensitivity=counts)
    assert found.scale[1] < 0.5 * found.scale[0]


def test_the_scale_is_the_best_of_the_grid_for_the_weighted_error() -> None:
    rng = np.random.default_rng(1)
    values = np.abs(rng.normal(0, 1, (60, 3, 3, 1))).astype(np.float32)
    counts = rng.gamma(0.5, 1, values.shape).astype(np.float32)
    found = search_scales(values, values, 3, signed=False, grid=40, rows=10**6, sensitivity=counts)

    def error(s: float) -> float:
        return float((counts * (values - s * np.clip(np.floor(values / s + 0.5), 0, 3)) ** 2).mean())

    grid = [error(share * float(values.max()) / 3) for share in np.linspace(0.15, 1, 40)]
    assert error(float(found.scale[0])) <= min(grid) * 1.001


def test_outputs_that_shrank_are_stretched_and_others_stay() -> None:
    rng = np.random.default_rng(2)
    target = rng.normal(0, 1, (4000, 1, 1, 4))
    values = target * [0.95, 1.0, 1.3, 0.1] + 5 + rng.normal(0, 0.05, target.shape)
    np.testing.assert_allclose(output_gain(target, values), [1 / 0.95, 1, 1, 1.2], atol=0.01)
    np.testing.assert_allclose(output_gain(target, 0.95 * target), 1 / 0.95)
    np.testing.assert_array_equal(output_gain(target, 0.8 * target), 1)  # mostly noise
    np.testing.assert_array_equal(output_gain(target, np.zeros_like(target)), 1)
