"""Scales follow what matters, and outputs are stretched back to their size."""

from __future__ import annotations

import numpy as np

from nmcompiler.ir.kernels import Array
from nmcompiler.passes.scales import (
    ScaleSearch,
    importance,
    output_gain,
    refine_scales,
    search_scales,
)


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


def _errors_that_are_shared() -> tuple[ScaleSearch, ScaleSearch]:
    """Returns the scales of two channels alike, of which all values of one reach the same output alike.

    Each value of the other reaches an output of its own, and so its errors are independent.
    """
    rng = np.random.default_rng(3)
    loudness = rng.exponential(1, (64, 1, 1, 1)) + 0.2  # loud samples are cut off in many places
    values = (loudness * rng.exponential(1, (64, 8, 8, 1))).astype(np.float32).repeat(2, axis=3)
    same = np.ones_like(values)
    found = search_scales(values, values, 3, signed=False, grid=40, rows=10**6, sensitivity=same)
    shared = np.ones((4, *values.shape), np.float32)
    shared[..., 1] = rng.choice([-1, 1], shared.shape[:4])
    refined = refine_scales(found, values, values, 3, signed=False, sensitivity=same, gradients=shared)
    return found, refined


def test_where_a_map_is_averaged_less_is_cut_off() -> None:
    found, refined = _errors_that_are_shared()
    assert refined.scale[0] > 1.15 * found.scale[0]
    assert 0.85 < refined.scale[1] / found.scale[1] < 1.15


def test_refined_scales_make_no_larger_sum_of_both_errors() -> None:
    rng = np.random.default_rng(4)
    values = rng.exponential(1, (32, 5, 5, 3)).astype(np.float32)
    counts, shared = rng.random(values.shape).astype(np.float32), rng.normal(size=(2, *values.shape))
    found = search_scales(values, values, 7, signed=False, grid=40, rows=10**6, sensitivity=counts)
    refined = refine_scales(found, values, values, 7, signed=False, sensitivity=counts, gradients=shared)

    def errors(scale: Array) -> tuple[Array, Array]:
        error = values - scale * np.clip(np.floor(values / scale + 0.5), 0, 7)
        off = error - error.mean(axis=(0, 1, 2))
        together = [(g * off).sum(axis=(1, 2)) ** 2 for g in shared]
        return (counts * error**2).sum(axis=(0, 1, 2)), np.sum(together, axis=(0, 1))

    for now, before in zip(
        np.transpose(errors(refined.scale)), np.transpose(errors(found.scale)), strict=True
    ):
        assert (now / before).sum() <= 2.001


def test_silent_channels_and_exact_ones_keep_their_scales() -> None:
    values = np.random.default_rng(5).integers(0, 8, (16, 3, 3, 3)).astype(np.float32)
    values[..., 1] = 0
    values[0, 0, 0, [0, 2]] = 7
    found = ScaleSearch(np.array([1.0, 0.37, 1.0]), np.array([False, True, False]))
    gradients = np.ones((2, *values.shape), np.float32)
    refined = refine_scales(
        found, values, values, 7, signed=False, sensitivity=np.ones_like(values), gradients=gradients
    )
    np.testing.assert_array_equal(refined.scale, found.scale)


def test_samples_of_a_layer_that_is_always_silent_count_alike() -> None:
    np.testing.assert_array_equal(importance(np.zeros((3, 1, 1, 2), np.float32)), np.ones(3))
