"""The incomplete beta function, from which binomial and Student distributions follow.

Sources: W. H. Press et al., Numerical Recipes, 3rd edition, §6.4 (continued fraction, evaluated after Lentz
as in §5.2), §6.14.3 (Student's t), §6.14.14 (binomial).
"""

from __future__ import annotations

import math

__all__ = ["beta_cdf", "beta_quantile", "binomial_cdf", "student_quantile"]

_TINY = 1e-300
_TERMS = 10_000
_HALVINGS = 200  # more than the bits of a float: bisection ends earlier, at two neighbours


def beta_cdf(x: float, a: float, b: float) -> float:
    """Returns I_x(a, b), the probability that a Beta(a, b) variable is at most x; a, b > 0."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly, the other tail does not
        return 1.0 - beta_cdf(1 - x, b, a)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(front) * _fraction(x, a, b) / a


def _fraction(x: float, a: float, b: float) -> float:
    """Returns the continued fraction 1/(1 + d1/(1 + d2/(1 + …))) of I_x(a, b)."""
    c, d = 1.0, 1.0 / _nonzero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1.0 / _nonzero(1 + term * d)
            c = _nonzero(1 + term / c)
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


def _nonzero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def beta_quantile(p: float, a: float, b: float) -> float:
    """Returns the x with I_x(a, b) = p, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if beta_cdf(middle, a, b) < p:
            low = middle
        else:
            high = middle
    return high


def binomial_cdf(k: int, n: int, p: float) -> float:
    """Returns the probability of at most k successes in n trials, each of probability p."""
    if k < 0:
        return 0.0
    return 1.0 if k >= n else 1.0 - beta_cdf(p, k + 1, n - k)


def student_quantile(p: float, freedom: int) -> float:
    """Returns the quantile of Student's t at p > 1/2, for so many degrees of freedom."""
    x = beta_quantile(2 * (1 - p), freedom / 2, 0.5)
    return math.sqrt(freedom * (1 - x) / x)
