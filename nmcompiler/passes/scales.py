"""Scales from calibration data: what real value one unit of a channel stands for."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nmcompiler.ir.kernels import Array

__all__ = [
    "InputRange",
    "ScaleSearch",
    "importance",
    "input_range",
    "output_gain",
    "refine_scales",
    "search_scales",
]

_GRID_FROM = 0.15  # smallest share of the largest value that a scale may cover
_QUIET = 0.3  # a sample counts at most as if its root mean square were this share of that of all samples
_MOST_GAIN = 1.1  # of outputs; those that would need more are mostly noise
_NEAR = np.linspace(0.5, 2, 16)  # times the scale that was found
_FLOOR = 1e-3  # a channel's range is at least this share of the largest channel's


@dataclass(frozen=True, eq=False)
class InputRange:
    """How an input is coded: ``x ≈ scale[c] · q + offset[c]``."""

    scale: Array
    offset: Array
    signed: bool


@dataclass(frozen=True, eq=False)
class ScaleSearch:
    """What a search found, ``(c,)`` each.

    Attributes:
        scale: Real value of one unit.
        silent: Which channels calibration never saw active.
        shift: What to add to the bias.
        lead: What membranes start higher by than half a threshold, in the ``rate`` code.
    """

    scale: Array
    silent: Array
    shift: Array | float = 0.0
    lead: Array | float = 0.0


def search_scales(
    target: Array,
    values: Array,
    levels: int,
    *,
    signed: bool,
    grid: int,
    rows: int,
    sensitivity: Array | None = None,
) -> ScaleSearch:
    """Returns the scale of each channel with the least squared error of the quantised values.

    Args:
        target: ``(N, h, w, c)`` what the values should be, from the float path.
        values: ``(N, h, w, c)`` what they are before quantisation, on quantised inputs.
        levels: L.
        signed: Whether values are cut at −L instead of 0.
        grid: Number of scales tried, from 0.15 to 1 times the largest value over L.
        rows: Positions that are looked at; of more, some all over the samples and the map.
        sensitivity: ``(N, h, w, c)`` what the squared error of each value counts for.

    Without sensitivities, errors are relative to the root mean square of their sample: where samples differ
    in size, a few large ones would otherwise set the scale for all, and one answer counts as much as another.

    A silent channel takes the median scale of the others: an arbitrary one would let the first value that
    appears at run time through with any factor.
    """
    channels = target.shape[-1]
    largest = np.abs(target).reshape(-1, channels).max(axis=0).astype(np.float64)
    silent = largest <= _FLOOR * 1e-3 * largest.max(initial=0)
    if silent.all():
        reach = float(np.abs(values).max(initial=0)) or 1.0
        return ScaleSearch(np.full(channels, reach / levels), silent)
    largest = np.maximum(largest, _FLOOR * largest.max())
    t, z = (_thinned(a.reshape(-1, channels), rows) for a in (target, values))
    if sensitivity is None:
        sensitivity = np.broadcast_to(importance(target)[:, None, None, None], (*target.shape[:3], 1))
    counts = _thinned(sensitivity.reshape(-1, sensitivity.shape[3]), rows)
    lowest = -levels if signed else 0
    best = np.full(channels, np.inf)
    scale = largest / levels
    for share in np.linspace(_GRID_FROM, 1, grid):
        s = (share * largest / levels).astype(np.float32)
        q = np.clip(np.floor(z / s + np.float32(0.5)), lowest, levels)
        error = (counts * np.square(t - s * q)).mean(axis=0, dtype=np.float64)
        better = error < best
        best[better] = error[better]
        scale[better] = share * largest[better] / levels
    scale[silent] = np.median(scale[~silent])
    return ScaleSearch(scale, silent)


def refine_scales(
    found: ScaleSearch,
    target: Array,
    values: Array,
    levels: int,
    *,
    signed: bool,
    sensitivity: Array,
    gradients: Array,
) -> ScaleSearch:
    """Returns scales near those of a search that also keep the errors that a channel's values share small.

    Compared with the scale that was found, the squared error that a channel makes at the outputs, with what
    its values share (``gradients``), counts as much as that of independent errors (``sensitivity``): the
    former is what matters, but only known to first order and from few sums. Means are left to the biases of
    those who read them.

    Args:
        found: What ``search_scales`` found; silent channels stay.
        target: As there.
        values: As there; all of them are looked at.
        levels: L.
        signed: As there.
        sensitivity: As there.
        gradients: ``(k, N, h, w, c)`` what an error of each value adds to k random sums of the outputs.
    """
    most = np.maximum(np.abs(target).max(axis=(0, 1, 2)) / levels, found.scale)
    lowest = -levels if signed else 0

    def errors(share: float) -> tuple[Array, Array]:
        s = np.minimum(share * found.scale, most).astype(np.float32)
        error = target - s * np.clip(np.floor(values / s + np.float32(0.5)), lowest, levels)
        alone = np.einsum("nhwc,nhwc->c", sensitivity, np.square(error))
        error -= error.mean(axis=(0, 1, 2), dtype=np.float64).astype(np.float32)
        summed = np.einsum("knhwc,nhwc->knc", gradients, error)
        return alone.astype(np.float64), np.square(summed, dtype=np.float64).sum(axis=(0, 1))

    alone, together = errors(1.0)
    known = (alone > 0) & (together > 0) & ~found.silent
    best, share = np.where(known, 2.0, 0.0), np.ones(len(known))
    alone[~known] = together[~known] = 1
    for tried in _NEAR:
        alone_now, together_now = errors(tried)
        both = alone_now / alone + together_now / together
        better = both < best
        best[better], share[better] = both[better], tried
    return replace(found, scale=np.minimum(share * found.scale, most))


def importance(target: Array) -> Array:
    """Returns ``(N,)`` float32: how much the squared error of each sample of ``(N, h, w, c)`` counts."""
    energy = np.square(target).reshape(len(target), -1).mean(axis=1, dtype=np.float64)
    if not energy.any():
        return np.ones(len(energy), np.float32)
    weight: Array = 1 / np.sqrt(np.maximum(energy, _QUIET**2 * energy.mean()))
    return weight.astype(np.float32)


def output_gain(target: Array, values: Array) -> Array:
    """Returns ``(c,)`` float64: by how much outputs are to be stretched about their means.

    Weights that are fitted to noisy inputs become smaller, and outputs are drawn towards their means: classes
    that are probable on the average would win the close calls (attenuation by errors in variables: Fuller,
    "Measurement error models", 1987). The gain undoes it: ``var(y) / cov(y, ŷ)``, from 1 to 1.2. Outputs
    that would need more than 1.1 (their median) stay: so much noise must not be stretched with them.

    Args:
        target: ``(N, h, w, c)`` outputs y in floating point.
        values: ``(N, h, w, c)`` outputs ŷ on quantised inputs.
    """
    t, z = (a.reshape(-1, a.shape[-1]).astype(np.float64) for a in (target, values))
    t, z = t - t.mean(axis=0), z - z.mean(axis=0)
    variance, shared = np.square(t).mean(axis=0), (t * z).mean(axis=0)
    known = shared > 0
    gain: Array = np.maximum(np.where(known, variance, 1) / np.where(known, shared, 1), 1)
    if np.median(gain) > _MOST_GAIN:
        return np.ones(len(gain))
    return np.minimum(gain, 2 * _MOST_GAIN - 1)


def _thinned(rows: Array, most: int) -> Array:
    """Returns at most ``most`` rows, one from each of as many equal stretches."""
    if len(rows) <= most:
        return np.ascontiguousarray(rows, np.float32)
    # A fixed step that divides the width of a map would only ever see the same columns, say its border.
    within = np.random.default_rng(0).random(most)
    chosen = ((np.arange(most) + within) * (len(rows) / most)).astype(np.int64)
    return np.ascontiguousarray(rows[chosen], np.float32)


def input_range(x: Array, levels: int) -> InputRange:
    """Returns how to code an input from its calibration values ``(N, h, w, c)``.

    Whole numbers, and multiples of 1/255, that fit the levels keep their own grid. Otherwise a range that
    is roughly symmetric about 0 is signed, one far from 0 on either side takes an offset, and any other
    counts from 0. Pictures have a range per channel; so have the features of a vector, where their ranges
    differ by far.
    """
    low, high = _ranges(np.asarray(x, np.float64))
    zero = np.zeros(len(low))
    lowest, highest = float(low.min()), float(high.max())
    if lowest < 0 and min(-lowest, highest) >= 0.25 * max(-lowest, highest):
        grid = _own_grid(x, levels)
        return InputRange(zero + grid if grid else np.maximum(-low, high) / levels, zero, True)
    if lowest >= 0 and lowest <= 0.5 * highest:
        grid = _own_grid(x, levels)
        return InputRange(zero + grid if grid else high / levels, zero, False)
    return InputRange((high - low) / levels, low, False)


def _own_grid(x: Array, levels: int) -> float | None:
    for grid in (1.0, 1 / 255):
        units = np.asarray(x, np.float64) / grid
        if np.abs(units).max() <= levels and np.abs(units - np.round(units)).max() < 1e-3:
            return grid
    return None


def _ranges(x: Array) -> tuple[Array, Array]:
    """Returns the smallest and the largest value of each channel; no range is empty."""
    channels = x.shape[-1]
    rows = x.reshape(-1, channels)
    low, high = rows.min(axis=0), rows.max(axis=0)
    width = np.maximum(np.maximum(np.abs(low), np.abs(high)), high - low)
    usual = float(np.median(width[width > 0])) if np.any(width > 0) else 1.0
    vector = x.shape[1:3] == (1, 1)
    if vector and width.max() <= 16 * usual:
        low, high = np.full(channels, low.min()), np.full(channels, high.max())
    empty = np.maximum(np.abs(low), np.abs(high)) == 0
    high = np.where(empty, usual, high)
    return low, np.where(high > low, high, low + usual)
