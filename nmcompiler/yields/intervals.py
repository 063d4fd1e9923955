"""Intervals that hold the true value with 95 % confidence, chips being drawn independently of each other.

They speak of all chips of the kind, judged by these samples: what other samples would say is not in them.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import TypeAlias

from nmcompiler.yields.beta import beta_quantile, binomial_cdf, student_quantile

__all__ = ["Interval", "mean_interval", "quantile_interval", "share_interval", "share_worse"]

Interval: TypeAlias = tuple[float | None, float | None]
"""Lower and upper limit; None where nothing can be said on that side."""

_TAIL = 0.025


def mean_interval(values: Sequence[float]) -> Interval:
    """Returns mean ± t·s/√n with Student's t; nothing is known from one value."""
    n = len(values)
    if n < 2:
        return None, None
    mean = math.fsum(values) / n
    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    reach = student_quantile(1 - _TAIL, n - 1) * deviation / math.sqrt(n)
    return mean - reach, mean + reach


def quantile_interval(values: Sequence[float], q: float) -> Interval:
    """Returns two order statistics that hold the q-quantile between them, whatever the distribution.

    Of n values, Binomial(n, q) lie at or below the quantile: the l-th smallest lies above it with
    probability P(X < l), the u-th below it with at most P(X ≥ u). A limit is None where n is
    too small for it. Source: H. A. David and H. N. Nagaraja, Order Statistics, 3rd edition, §7.1.
    """
    ordered, n = sorted(values), len(values)
    ranks = range(1, n + 1)
    # Both conditions hold from some rank on: the search says how many ranks come before it.
    lower = bisect_left(ranks, True, key=lambda k: binomial_cdf(k - 1, n, q) > _TAIL)
    upper = bisect_left(ranks, True, key=lambda k: 1 - binomial_cdf(k - 1, n, q) <= _TAIL)
    return ordered[lower - 1] if lower else None, ordered[upper] if upper < n else None


def share_interval(hits: int, n: int) -> tuple[float, float]:
    """Returns the interval of a probability after so many hits in n trials, never too short.

    Source: C. J. Clopper and E. S. Pearson, Biometrika 26 (1934) 404.
    """
    low = beta_quantile(_TAIL, hits, n - hits + 1) if hits else 0.0
    high = beta_quantile(1 - _TAIL, hits + 1, n - hits) if hits < n else 1.0
    return low, high


def share_worse(n: int) -> float:
    """Returns the largest share of chips that may be worse than the worst of n: 1 − 0.05^(1/n).

    The share below the smallest of n values follows Beta(1, n); this is its 95 % quantile.
    """
    return float(1 - 0.05 ** (1 / n))
