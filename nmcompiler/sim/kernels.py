"""The inner loops of the simulator: plain Python over flat arrays, compiled by ``jit``.

Samples are executed in tiles of S. Every array over neurons lies block after block, and within a block
sample after sample: neuron i of block b and sample s stands at ``S · gid0[b] + s · n[b] + i``. A call
therefore covers a block for all samples of the tile, and its overhead is shared by them.

``links`` are described in ``nmcompiler.sim.load``. They, patterns and segments are uint64:
numba's signed indices count from the end where they are negative, and that test keeps loops from becoming
vector code. Offsets that are negative wrap around, and so do the sums that they enter.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "accumulate_moving",
    "accumulate_rows",
    "count_sent",
    "count_units",
    "differ",
    "extremes",
    "quantise",
    "tally",
]

Array = npt.NDArray[Any]

# Columns of a link, see ``nmcompiler.sim.load.Loaded``.
TARGET, SOURCE, FIRST, AXONS, PATTERN, INTO, WEIGHT, WEIGHT_STRIDE, TARGET_STRIDE, GAIN, DELAY = range(11)
ROUTE = 11


def count_sent(sent: Array, counts: Array, samples: int) -> int:
    """Adds the events of a block in one step to ``counts`` (n,) int64; returns how many there were.

    Args:
        sent: ``(S · n,)`` int32.
        counts: ``(n,)`` int64.
        samples: S.
    """
    n = np.uint64(counts.size)
    events = 0
    for s in range(np.uint64(samples)):
        for i in range(n):
            if sent[s * n + i] != 0:
                counts[i] += 1
                events += 1
    return events


def count_units(sent: Array, counts: Array, samples: int) -> int:
    """Likewise where a value above 1 stands for as many events."""
    n = np.uint64(counts.size)
    events = 0
    for s in range(np.uint64(samples)):
        for i in range(n):
            counts[i] += sent[s * n + i]
            events += sent[s * n + i]
    return events


def accumulate_rows(
    links: Array,
    patterns: Array,
    segments: Array,
    weights: Array,
    gid0: Array,
    sizes: Array,
    values: Array,
    alive: Array,
    acc: Array,
    rows: Array,
    factors: Array,
    samples: int,
) -> None:
    """Adds Σ weight · value to the accumulators of one block, over links whose axons share their targets.

    Of each link the axons with a value are collected, then four weight rows are added at a time: the
    accumulators are loaded and stored once for the four.

    Args:
        links: Links into this block with ``target_stride`` 0.
        patterns: ``(P + 1,)`` uint64.
        segments: ``(Q, 3)`` uint64.
        weights: ``(W,)`` int16.
        gid0: ``(B,)`` uint64: first neuron of each block.
        sizes: ``(B,)`` uint64: neurons of each block.
        values: ``(S · M,)`` int32: what every neuron sends.
        alive: ``(B,)`` uint8: 0 where all values of a block are zero.
        acc: ``(S · n,)`` int32 or int64.
        rows: Scratch (longest link,) uint64.
        factors: Scratch (longest link,) of the dtype of ``acc``, or int16 where four products fit that.
        samples: S.
    """
    one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    count, kind = np.uint64(samples), factors.dtype.type
    n = np.uint64(acc.size) // count
    for s in range(count):
        for e in range(links.shape[0]):
            source = links[e, SOURCE]
            if alive[source] == 0:
                continue
            base = count * gid0[source] + s * sizes[source] + links[e, FIRST]
            active = np.uint64(0)
            for j in range(links[e, AXONS]):
                q = values[base + j]
                if q != 0:
                    rows[active] = links[e, WEIGHT] + j * links[e, WEIGHT_STRIDE]
                    factors[active] = q * np.int64(links[e, GAIN])
                    active += one
            if active == 0:
                continue
            into = s * n + links[e, INTO]
            pattern = links[e, PATTERN]
            for k in range(patterns[pattern], patterns[pattern + one]):
                a = into + segments[k, 1]
                offset = segments[k, 0]
                r = np.uint64(0)
                while r + three < active:
                    w0, f0 = rows[r] + offset, factors[r]
                    w1, f1 = rows[r + one] + offset, factors[r + one]
                    w2, f2 = rows[r + two] + offset, factors[r + two]
                    w3, f3 = rows[r + three] + offset, factors[r + three]
                    for i in range(segments[k, 2]):
                        low = f0 * weights[w0 + i] + f1 * weights[w1 + i]
                        high = f2 * weights[w2 + i] + f3 * weights[w3 + i]
                        acc[a + i] += kind(low + high)
                    r += four
                while r < active:
                    w0, f0 = rows[r] + offset, factors[r]
                    for i in range(segments[k, 2]):
                        acc[a + i] += kind(f0 * weights[w0 + i])
                    r += one


def accumulate_moving(
    links: Array,
    patterns: Array,
    segments: Array,
    weights: Array,
    gid0: Array,
    sizes: Array,
    values: Array,
    alive: Array,
    acc: Array,
    samples: int,
) -> None:
    """Adds Σ weight · value to the accumulators of one block, over links whose targets move with the axon.

    Where weight and target both move by 1 (depthwise, identity, pooling) a link is executed for all its
    axons at once, zeros included: a vector operation costs less than looking for the ones to leave out.

    Args:
        links: Links into this block with ``target_stride`` other than 0.
        patterns: ``(P + 1,)`` uint64.
        segments: ``(Q, 3)`` uint64.
        weights: ``(W,)`` int16.
        gid0: ``(B,)`` uint64: first neuron of each block.
        sizes: ``(B,)`` uint64: neurons of each block.
        values: ``(S · M,)`` int32: what every neuron sends.
        alive: ``(B,)`` uint8: 0 where all values of a block are zero.
        acc: ``(S · n,)`` int32 or int64.
        samples: S.
    """
    one = np.uint64(1)
    count = np.uint64(samples)
    n = np.uint64(acc.size) // count
    for s in range(count):
        for e in range(links.shape[0]):
            source = links[e, SOURCE]
            if alive[source] == 0:
                continue
            base = count * gid0[source] + s * sizes[source] + links[e, FIRST]
            axons, gain = links[e, AXONS], np.int64(links[e, GAIN])
            weight, stride, move = links[e, WEIGHT], links[e, WEIGHT_STRIDE], links[e, TARGET_STRIDE]
            into = s * n + links[e, INTO]
            pattern = links[e, PATTERN]
            for k in range(patterns[pattern], patterns[pattern + one]):
                for i in range(segments[k, 2]):
                    a = into + segments[k, 1] + i
                    w = weight + segments[k, 0] + i
                    if move == 1 and stride == 1:
                        for j in range(axons):
                            acc[a + j] += values[base + j] * gain * weights[w + j]
                    else:
                        for j in range(axons):
                            acc[a + j * move] += values[base + j] * gain * weights[w + j * stride]


def quantise(
    acc: Array, theta: Array, above: int, lowest: int, levels: int, values: Array, samples: int
) -> None:
    """Writes ``clip(floor((acc − above) / θ), lowest, levels)`` for one block.

    The quotient of two whole numbers below 2^52 in float64 rounds up to a whole number only if it is one: it
    lies at least 1/θ below the next, more than half a unit in its last place. So the floor is exact.

    Args:
        acc: ``(S · n,)`` int32 or int64.
        theta: ``(n,)`` float64.
        above: 1 where neurons fire on v > θ, else 0.
        lowest: Smallest value.
        levels: Largest value.
        values: ``(S · n,)`` int32, written.
        samples: S.
    """
    n = np.uint64(theta.size)
    low = np.float64(lowest)
    high = np.float64(levels)
    shift = np.float64(above)
    for s in range(np.uint64(samples)):
        for i in range(n):
            q = np.floor((acc[s * n + i] - shift) / theta[i])
            values[s * n + i] = np.int32(min(max(q, low), high))


def differ(a: Array, b: Array) -> int:
    """Returns in how many entries two arrays of equal size differ."""
    count = 0
    for i in range(np.uint64(a.size)):
        count += a[i] != b[i]
    return count


def tally(values: Array, table: Array, counts: Array, samples: int) -> None:
    """Adds the spikes that stand for the values of one block to ``counts``.

    Args:
        values: ``(S · n,)`` int32.
        table: ``(levels + 1,)`` int64: spikes of each magnitude.
        counts: ``(n,)`` int64.
        samples: S.
    """
    n = np.uint64(counts.size)
    for s in range(np.uint64(samples)):
        for i in range(n):
            counts[i] += table[np.uint64(abs(np.int64(values[s * n + i])))]


def extremes(
    links: Array,
    patterns: Array,
    segments: Array,
    weights: Array,
    gid0: Array,
    smallest: Array,
    largest: Array,
    low: Array,
    high: Array,
) -> None:
    """Adds up, for every neuron, the most negative and the most positive that its synapses can bring.

    In float64: exact below 2^53, and never below that where the true sum is above.

    Args:
        links: All links.
        patterns: ``(P + 1,)`` uint64.
        segments: ``(Q, 3)`` uint64.
        weights: ``(W,)`` int16.
        gid0: ``(B,)`` uint64: first neuron of each block.
        smallest: ``(B,)`` float64, ≤ 0: smallest sum of values that a neuron of the block sends.
        largest: ``(B,)`` float64, ≥ 0: the largest.
        low: ``(M,)`` float64, lowered.
        high: ``(M,)`` float64, raised.
    """
    for e in range(links.shape[0]):
        source = links[e, SOURCE]
        gain = np.float64(links[e, GAIN])
        down = smallest[source] * gain
        up = largest[source] * gain
        pattern = links[e, PATTERN]
        for j in range(links[e, AXONS]):
            for k in range(patterns[pattern], patterns[pattern + np.uint64(1)]):
                w = links[e, WEIGHT] + j * links[e, WEIGHT_STRIDE] + segments[k, 0]
                a = gid0[links[e, TARGET]] + links[e, INTO] + j * links[e, TARGET_STRIDE] + segments[k, 1]
                for i in range(segments[k, 2]):
                    x = np.float64(weights[w + i])
                    high[a + i] += max(x * up, x * down)
                    low[a + i] += min(x * up, x * down)
