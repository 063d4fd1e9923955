from __future__ import annotations

import numpy as np
import pytest

from nmcompiler.yields.intervals import mean_interval, quantile_interval, share_interval, share_worse


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [  # published tables of exact limits
        (0, 10, 0.0, 0.3085),
        (1, 10, 0.0025, 0.4450),
        (5, 10, 0.1871, 0.8129),
        (10, 10, 0.6915, 1.0),
        (0, 100, 0.0, 0.0362),
        (95, 100, 0.8872, 0.9836),
        (1, 1, 0.025, 1.0),
    ],
)
def test_shares_have_the_limits_of_the_tables(hits: int, n: int, low: float, high: float) -> None:
    assert share_interval(hits, n) == pytest.approx((low, high), abs=5e-5)


def test_the_mean_has_the_interval_of_a_textbook() -> None:
    # Student's own data: hours of sleep gained by ten patients, mean 1.58, s 1.230, t 2.262.
    gained = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    assert mean_interval(gained) == pytest.approx((0.700, 2.460), abs=1e-3)
    assert mean_interval([1.0]) == (None, None)
    assert mean_interval([2.0, 2.0]) == (2.0, 2.0)


def test_the_median_has_the_order_statistics_of_the_tables() -> None:
    # Sign test: of 10 values the 2nd and 9th, of 20 the 6th and 15th, of 5 none.
    assert quantile_interval(range(1, 11), 0.5) == (2, 9)
    assert quantile_interval(range(1, 21), 0.5) == (6, 15)
    assert quantile_interval(range(1, 6), 0.5) == (None, None)


def test_a_low_quantile_of_few_chips_has_no_lower_limit() -> None:
    assert quantile_interval(range(1, 51), 0.05)[0] is None  # 0.95^50 = 7.7 % see none below
    assert quantile_interval(range(1, 101), 0.05) == (1, 11)


@pytest.mark.parametrize("q", [0.05, 0.5])
def test_intervals_hold_the_quantile_as_often_as_they_say(q: float) -> None:
    draw = np.random.default_rng(5)
    held = 0
    for _ in range(400):
        low, high = quantile_interval(draw.uniform(size=80), q)
        held += (low or 0) <= q <= (1 if high is None else high)
    assert held >= 400 * 0.95 - 3 * (400 * 0.95 * 0.05) ** 0.5


def test_the_rule_of_three() -> None:
    assert share_worse(100) == pytest.approx(0.0295, abs=5e-5)
    assert share_worse(1) == pytest.approx(0.95)
