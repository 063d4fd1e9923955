"""The inner loops of a crossbar: plain Python over flat arrays, compiled by ``nmcompiler.sim.jit``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["add_codes", "add_whole", "fire", "planes", "row_values", "settle"]

Array = npt.NDArray[Any]


def row_values(values: Array, sources: Array, rows: Array, out: Array) -> int:
    """Adds up what drives each row, and returns the largest magnitude of a sum.

    Args:
        values: ``(S, M)`` int32: what every neuron sends, negative where its pulses are.
        sources: ``(P,)`` int64: neurons that drive rows.
        rows: ``(P,)`` int64: the row that each drives.
        out: ``(S, R)`` int64, added to.
    """
    largest = 0
    for s in range(values.shape[0]):
        for p in range(sources.size):
            out[s, rows[p]] += values[s, sources[p]]
        for r in range(out.shape[1]):
            largest = max(largest, abs(out[s, r]))
    return largest


def planes(values: Array, digits: int, bits: int, out: Array) -> None:
    """Writes the digits of what drives some rows.

    Args:
        values: ``(S, R)`` int64, below 2^(digits · bits) in magnitude.
        digits: Digits.
        bits: Bits of a digit.
        out: ``(digits · S, R)``: row ``k · S + s`` becomes digit k of sample s, below 0 where pulses are
            negative.
    """
    samples, largest = values.shape[0], (1 << bits) - 1
    for s in range(samples):
        for r in range(values.shape[1]):
            q = values[s, r]
            left = abs(q)
            for k in range(digits):
                digit = left & largest
                out[k * samples + s, r] = digit if q > 0 else -digit
                left >>= bits


def add_codes(
    current: Array, codes_per: Array, per_code: Array, largest: int, digits: int, bits: int, part: Array
) -> tuple[int, int]:
    """Adds up what the ADC of one tile makes of its currents, over digits.

    The code of a current is ``rint(current · codes_per)`` within ± largest, and ``rint(code · per_code)``
    whole units times 2^(k · bits) join the sum of the column. Returns how many codes were clipped, and the
    largest magnitude of one.

    Args:
        current: ``(digits · S, n)`` float32 or float64, in units of the program's weights.
        codes_per: ``(n,)``, of that type: codes of one unit; 0 where a column is not read.
        per_code: ``(n,)``: units of one code.
        largest: Largest code; 0 for an ADC that resolves everything: the sum is rounded to whole units.
        digits: Digits.
        bits: Bits of a digit.
        part: ``(S, n)`` int64, added to.
    """
    samples, n = part.shape
    clipped, peak = 0, 0
    for k in range(digits):
        shift = k * bits
        for s in range(samples):
            row = k * samples + s
            for j in range(n):
                if largest == 0:
                    part[s, j] += np.int64(np.rint(current[row, j])) << shift
                    continue
                code = np.rint(current[row, j] * codes_per[j])
                if abs(code) > largest:
                    code = largest if code > 0 else -largest
                    clipped += 1
                peak = max(peak, int(abs(code)))
                part[s, j] += np.int64(np.rint(code * per_code[j])) << shift
    return clipped, peak


def add_whole(values: Array, sources: Array, targets: Array, weights: Array, acc: Array) -> None:
    """Adds ``weight · value`` of every synapse of a block whose sums are digital.

    Args:
        values: ``(S, M)`` int32.
        sources: ``(K,)`` int64: the neuron that each synapse reads.
        targets: ``(K,)`` int64: the neuron of the block that it belongs to.
        weights: ``(K,)`` int64.
        acc: ``(S, n)`` int64, added to.
    """
    for s in range(values.shape[0]):
        for k in range(sources.size):
            acc[s, targets[k]] += weights[k] * values[s, sources[k]]


def settle(
    sums: Array, factors: Array, gain: Array, offset: Array, start: Array, bits: int, out: Array
) -> None:
    """Writes membranes: ``start + gain · Σ factor · sum + offset``, each product rounded, halves up.

    Args:
        sums: ``(S, T, n)`` int64: what tiles read.
        factors: ``(T,)`` int64: factor of each tile, ``bits`` bits of it after the point.
        gain: ``(n,)`` int64, likewise.
        offset: ``(n,)`` int64.
        start: ``(n,)`` int64.
        bits: At least 1.
        out: ``(S, n)`` int64.
    """
    half = 1 << (bits - 1)
    for s in range(sums.shape[0]):
        for j in range(sums.shape[2]):
            total = 0
            for t in range(sums.shape[1]):
                total += (sums[s, t, j] * factors[t] + half) >> bits
            out[s, j] = start[j] + ((total * gain[j] + half) >> bits) + offset[j]


def fire(v: Array, theta: Array, lowest: int, levels: int, out: Array) -> None:
    """Writes what neurons send: ``clip(floor(v / θ), lowest, levels)``.

    Args:
        v: ``(S, n)`` int64: membranes.
        theta: ``(n,)`` int64, at least 1.
        lowest: Smallest value.
        levels: Largest value.
        out: ``(S, n)`` int32.
    """
    for s in range(v.shape[0]):
        for j in range(v.shape[1]):
            if v[s, j] < theta[j] and lowest == 0:  # many are silent, and a division takes long
                out[s, j] = 0
            else:
                out[s, j] = min(max(v[s, j] // theta[j], lowest), levels)
