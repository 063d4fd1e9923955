from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nmcompiler.yields.beta import beta_cdf, beta_quantile, binomial_cdf, student_quantile


@settings(max_examples=60)
@given(st.integers(1, 150), st.data())
def test_the_binomial_distribution_is_its_sum(n: int, data: st.DataObject) -> None:
    k, parts = data.draw(st.integers(0, n)), data.draw(st.integers(1, 99))
    p = Fraction(parts, 100)
    exact = sum(math.comb(n, j) * p**j * (1 - p) ** (n - j) for j in range(k + 1))
    assert binomial_cdf(k, n, parts / 100) == pytest.approx(float(exact), abs=1e-11)


@settings(max_examples=60)
@given(st.floats(0.5, 500), st.floats(0.5, 500), st.floats(0.001, 0.999))
def test_the_quantile_undoes_the_distribution(a: float, b: float, p: float) -> None:
    assert beta_cdf(beta_quantile(p, a, b), a, b) == pytest.approx(p, abs=1e-9)


@pytest.mark.parametrize(
    ("freedom", "p", "t"),
    [  # any printed table of Student's t
        (1, 0.975, 12.706),
        (2, 0.975, 4.303),
        (4, 0.95, 2.132),
        (9, 0.975, 2.262),
        (9, 0.995, 3.250),
        (30, 0.975, 2.042),
        (99, 0.975, 1.984),
        (1000, 0.975, 1.962),
    ],
)
def test_students_t_is_that_of_the_tables(freedom: int, p: float, t: float) -> None:
    assert student_quantile(p, freedom) == pytest.approx(t, abs=5e-4)


def test_the_ends_are_certain() -> None:
    assert (beta_cdf(0, 2, 3), beta_cdf(1, 2, 3)) == (0, 1)
    assert (binomial_cdf(-1, 5, 0.3), binomial_cdf(5, 5, 0.3)) == (0, 1)
