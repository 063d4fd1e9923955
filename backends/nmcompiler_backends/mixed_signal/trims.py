"""What can be set on a crossbar after it was programmed, and what its codes are worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from nmcompiler.errors import UsageError, nearest
from nmcompiler.program.layout import IntArray
from nmcompiler.session import TrimRange
from nmcompiler_backends.mixed_signal.tiles import Ints

__all__ = ["ONE", "ONE_BITS", "RANGE_ONE", "REFIT_ONE", "CrossbarTrims", "scaled", "trim_ranges"]

ONE_BITS = 14
ONE = 1 << ONE_BITS
"""Code of the factor 1: gains are fixed-point numbers of 16 bits, 14 of them after the point."""
RANGE_ONE = 128
"""Code of the range that an ADC was designed for; the reference that sets it has 10 bits."""
REFIT_ONE = 64
"""Code of a weight of one unit in the digital correction of read-outs."""
_LARGEST_OFFSET = 2**23 - 1


def scaled(sums: Ints, codes: Ints) -> Ints:
    """Returns ``sums · codes / ONE``, rounded to the nearest whole number, halves up."""
    product: Ints = (sums * codes + ONE // 2) >> ONE_BITS
    return product


def trim_ranges(tiles: int, neurons: int, pairs: int) -> Mapping[str, TrimRange]:
    """Returns what can be trimmed on a chip with so many tiles, neurons, and pairs of driver and read-out."""
    gain = TrimRange(0, 4 * ONE - 1, ONE, 1 / ONE, "of the sum", "neuron", neurons)
    return {
        "adc-range": TrimRange(
            1, 8 * RANGE_ONE - 1, RANGE_ONE, 1 / RANGE_ONE, "of the range as designed", "tile", tiles
        ),
        "tile-scale": replace(gain, per="tile", count=tiles),
        "gain": gain,
        "offset": TrimRange(
            -_LARGEST_OFFSET - 1, _LARGEST_OFFSET, 0, 1.0, "units of weights", "neuron", neurons
        ),
        "refit": TrimRange(-(2**15), 2**15 - 1, 0, 1 / REFIT_ONE, "units of weights", "pair", pairs),
    }


@dataclass(frozen=True, eq=False)
class CrossbarTrims:
    """Codes of all trims by name, each ``(count,)`` int64."""

    codes: Mapping[str, Ints]

    @staticmethod
    def of(ranges: Mapping[str, TrimRange]) -> CrossbarTrims:
        """Returns those of a chip that nobody trimmed."""
        return CrossbarTrims({name: np.full(r.count, r.default, np.int64) for name, r in ranges.items()})

    def changed(self, trim: Mapping[str, IntArray], ranges: Mapping[str, TrimRange]) -> CrossbarTrims:
        """Returns them with other codes for some trims.

        Raises:
            UsageError: There is no such trim, or it has other codes.
        """
        return CrossbarTrims({**self.codes, **{name: _checked(name, c, ranges) for name, c in trim.items()}})


def _checked(name: str, codes: IntArray, ranges: Mapping[str, TrimRange]) -> Ints:
    if name not in ranges:
        raise UsageError(f"the chip has no trim '{name}'", hint=nearest(name, ranges))
    known, found = ranges[name], np.asarray(codes)
    if found.shape != (known.count,) or found.dtype.kind not in "iu":
        raise UsageError(
            f"codes of the trim '{name}' have shape {found.shape} and type {found.dtype}",
            allowed=f"({known.count},) whole numbers, one for each {known.per}",
        )
    wrong = found[(found < known.lowest) | (found > known.highest)]
    if len(wrong):
        raise UsageError(
            f"the trim '{name}' was given the code {int(wrong[0])}",
            allowed=f"{known.lowest} to {known.highest}",
        )
    return found.astype(np.int64)
