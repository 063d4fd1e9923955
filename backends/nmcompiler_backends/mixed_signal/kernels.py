"""The inner loop of a crossbar: plain Python over flat arrays, compiled by ``nmcompiler.sim.jit``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["read_tiles"]

Array = npt.NDArray[Any]


def read_tiles(
    values: Array,
    sources: Array,
    starts: Array,
    weights: Array,
    per_code: Array,
    codes_per: Array,
    largest: int,
    digits: int,
    acc: Array,
) -> int:
    """Adds to ``acc`` what the tiles of one block read, and returns how many codes were clipped.

    For every tile, binary digit k of the inputs and column j: the current is the sum of the weights of the
    rows whose digit is 1, its code ``rint(current · codes_per)`` within ± largest, and ``rint(code ·
    per_code)`` whole units times 2^k join the sum of the column. The rows are added one by one in their
    order, so that the sums are the same however samples are batched.

    Args:
        values: ``(S, M)`` int32: what every neuron sends, negative where its pulses are.
        sources: ``(P,)`` int64: the neuron that drives each row.
        starts: ``(T + 1,)`` int64: rows of tile t are ``starts[t]`` to ``starts[t + 1] − 1``.
        weights: ``(P, n)`` float32 or float64, in units of the program's weights.
        per_code: ``(T, n)``, of that type: units of one code of the ADC.
        codes_per: ``(T, n)``: codes of one unit; 0 where a column is not read.
        largest: Largest code; 0 for an ADC that resolves everything: the sum is rounded to whole units.
        digits: Binary digits of the largest value.
        acc: ``(S, n)`` int64, added to.
    """
    n = weights.shape[1]
    current = np.zeros((digits, n), weights.dtype)
    clipped = 0
    for s in range(values.shape[0]):
        for t in range(starts.size - 1):
            current[:] = 0
            for row in range(starts[t], starts[t + 1]):
                q = values[s, sources[row]]
                left = abs(q)
                for k in range(digits):
                    if left & 1:
                        if q > 0:
                            for j in range(n):
                                current[k, j] += weights[row, j]
                        else:
                            for j in range(n):
                                current[k, j] -= weights[row, j]
                    left >>= 1
            for k in range(digits):
                for j in range(n):
                    if largest == 0:
                        acc[s, j] += np.int64(np.rint(current[k, j])) << k
                    else:
                        code = np.rint(current[k, j] * codes_per[t, j])
                        if abs(code) > largest:
                            code = largest if code > 0 else -largest
                            clipped += 1
                        acc[s, j] += np.int64(np.rint(code * per_code[t, j])) << k
    return clipped
