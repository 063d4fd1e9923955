"""What many chips have in common: accuracy, the share that is good enough, a histogram."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from nmcompiler.yields.intervals import mean_interval, quantile_interval, share_interval, share_worse

__all__ = ["histogram", "losses", "spread", "survivors"]

_BINS = 12
_LOW = 0.05


def spread(shares: Sequence[float]) -> dict[str, Any] | None:
    """Returns mean, extremes, quantiles and their intervals of the shares that chips reach.

    Quantiles lie between two order statistics, as numpy's do; None without chips.
    """
    if not shares:
        return None
    ordered, n = sorted(shares), len(shares)
    mean = math.fsum(ordered) / n
    squares = math.fsum((v - mean) ** 2 for v in ordered)
    return {
        "mean": mean,
        "worst": ordered[0],
        "best": ordered[-1],
        "median": _quantile(ordered, 0.5),
        "quantile_05": _quantile(ordered, _LOW),
        "standard_deviation": math.sqrt(squares / (n - 1)) if n > 1 else None,
        "interval_95": {
            "mean": list(mean_interval(ordered)),
            "median": list(quantile_interval(ordered, 0.5)),
            "quantile_05": list(quantile_interval(ordered, _LOW)),
        },
        "share_worse_than_worst_95": share_worse(n),
    }


def _quantile(ordered: Sequence[float], q: float) -> float:
    place = q * (len(ordered) - 1)
    k = min(int(place), len(ordered) - 2) if len(ordered) > 1 else 0
    upper = ordered[min(k + 1, len(ordered) - 1)]
    return ordered[k] + (place - k) * (upper - ordered[k])


def losses(hits: Sequence[int], ideal: int, samples: int) -> dict[str, Any] | None:
    """Returns the points that chips lose against the ideal chip: mean, worst, interval of the mean.

    Args:
        hits: Right answers of each chip.
        ideal: Right answers of the ideal one.
        samples: Answers of each.
    """
    if not hits:
        return None
    points = [100 * (ideal - h) / samples for h in hits]
    return {
        "mean": math.fsum(points) / len(points),
        "worst": max(points),
        "interval_95": list(mean_interval(points)),
    }


def survivors(hits: Sequence[int], ideal: int, samples: int, points: float) -> dict[str, Any]:
    """Returns how many chips lose less than so many points; counted exactly, not in rounded shares."""
    allowed = Fraction(str(points)) * samples
    count = sum(100 * (ideal - h) < allowed for h in hits)
    n = len(hits)
    return {
        "points": points,
        "chips": count,
        "share": count / n if n else None,
        "interval_95": list(share_interval(count, n)) if n else [None, None],
    }


def histogram(groups: Sequence[Sequence[int]], samples: int) -> list[dict[str, Any]]:
    """Returns bins of equal width, at most a dozen and no narrower than one answer, over all groups.

    Args:
        groups: Right answers of the chips of each group.
        samples: Answers of each chip.

    Returns:
        Entries ``from`` (inclusive) and ``to`` in shares of 1, and ``counts``, one for each group. A chip
        that is always right stands in the bin that ends at 1.
    """
    every = [h for hits in groups for h in hits]
    if not every:
        return []
    width = _width(Fraction(max(every) - min(every), samples), samples)
    top = math.ceil(1 / width) - 1
    first, last = (min(math.floor(Fraction(h, samples) / width), top) for h in (min(every), max(every)))
    counts = [[0] * (last - first + 1) for _ in groups]
    for row, hits in zip(counts, groups, strict=True):
        for h in hits:
            row[min(math.floor(Fraction(h, samples) / width), top) - first] += 1
    return [
        {
            "from": float((first + k) * width),
            "to": float((first + k + 1) * width),
            "counts": [row[k] for row in counts],
        }
        for k in range(last - first + 1)
    ]


def _width(reach: Fraction, samples: int) -> Fraction:
    """Returns the smallest width of 1, 2 or 5 times a power of ten of a point that gives few bins."""
    exponent = -5
    while True:
        for digit in (1, 2, 5):
            width = digit * Fraction(10) ** exponent
            if width * samples >= 1 and width * (_BINS - 1) >= reach:
                return width
        exponent += 1
