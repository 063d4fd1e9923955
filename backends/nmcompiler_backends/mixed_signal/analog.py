"""What the tiles of a block are on one chip: weights as its devices hold them, and the steps of its ADCs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Protocol

import numpy as np

from nmcompiler_backends.mixed_signal.tiles import BlockTiles, Floats, Ints
from nmcompiler_backends.mixed_signal.variation import Chip, FloatArray, Normals

__all__ = ["AnalogTiles", "Device", "build", "full_scale"]

# Sums of whole numbers below 2^24 are exact in 32-bit floats, and in 64-bit ones below 2^53.
_EXACT = {np.float32: 24, np.float64: 53}
# Conductances are held in steps of at most this many bits after the point of a unit, and at least that many.
_MOST_BITS, _LEAST_BITS = 20, 6
# Three standard deviations of the widest published spread at the largest conductance, 2.7 of 40 µS.
_HEADROOM = 1.2


class Device(Protocol):
    """A memory device, see ``variation``."""

    @property
    def sources(self) -> tuple[str, ...]:
        """What varies."""
        ...

    def only(self, sources: Collection[str]) -> Device:
        """Returns a device in which nothing but these varies."""
        ...

    def check(self, time_s: float) -> None:
        """Raises ``UsageError`` where nothing is known of a time after programming."""
        ...

    def conductances(self, x: FloatArray, time_s: float, normals: Normals) -> FloatArray:
        """Returns what is read, over the largest conductance, of devices programmed to x."""
        ...

    def gains(self, shape: tuple[int, ...], normals: Normals) -> FloatArray:
        """Returns by what the sum of each column of each tile is multiplied where it is read."""
        ...


@dataclass(frozen=True, eq=False)
class AnalogTiles:
    """The tiles of one block on one chip; R rows, n columns, T tiles.

    Attributes:
        sources: ``(P,)`` int64: neurons that drive rows.
        rows: ``(P,)`` int64: the row that each drives.
        starts: ``(T + 1,)`` int64: rows of tile t are ``starts[t]`` to ``starts[t + 1] − 1``.
        weights: ``(R, n)`` float32 or float64, in units of the program's weights: multiples of a power of two
            that any sum of the tile's rows holds exactly, in whatever order they are added.
        unit: ``(T, n)`` float64: units of one code of the ADC with its range as designed.
        largest: Largest code; 0 for an ADC that resolves everything.
    """

    sources: Ints
    rows: Ints
    starts: Ints
    weights: Floats
    unit: Floats
    largest: int

    def tile(self, number: int) -> slice:
        """Returns the rows of a tile."""
        return slice(int(self.starts[number]), int(self.starts[number + 1]))


def build(
    tiles: BlockTiles,
    chip: Chip | None,
    device: Device | None,
    adc_bits: int | None,
    adc_deviations: float | None,
    read_after_s: float,
) -> AnalogTiles:
    """Returns the tiles of a block on a chip.

    A weight w is two devices, ``max(w, 0) / m`` and ``max(−w, 0) / m`` of the largest conductance, m the
    largest magnitude of its column in the tile, or of any weight where columns are not scaled. What their
    conductances are off by is added to w: without variation, weights are the program's whole numbers. Gains
    of columns multiply all weights of a column. Where a tile holds its rows several times, each copy is
    driven by the same inputs and has devices of its own; currents add up, and the ADC reaches further.

    Args:
        tiles: The block.
        chip: Draws the devices; None for ideal ones.
        device: What is drawn; None for ideal ones.
        adc_bits: Bits of a code; None for an ADC that resolves everything.
        adc_deviations: See ``full_scale``.
        read_after_s: Seconds since programming.
    """
    scale = tiles.column_scale
    weights = tiles.weights.astype(np.float64)
    if chip is not None and device is not None and device.sources:
        weights += np.where(tiles.wired, _off(tiles, chip, device, read_after_s) * scale[tiles.tile], 0.0)
        weights *= _gains(tiles, chip, device)[tiles.tile]
    step = np.zeros(scale.shape)
    top = 0
    if adc_bits is not None:
        top = 2 ** (adc_bits - 1) - 1
        step = full_scale(tiles, adc_deviations)[:, None] / top * scale
    starts = np.searchsorted(tiles.tile, np.arange(tiles.tiles + 1)).astype(np.int64)
    return AnalogTiles(
        sources=tiles.sources,
        rows=tiles.rows,
        starts=starts,
        weights=_stepped(weights, starts, tiles.digit),
        unit=step,
        largest=top,
    )


def _stepped(weights: FloatArray, starts: Ints, digit: int) -> Floats:
    """Returns weights in steps so coarse that the sum of a tile is exact, and in the type that takes least.

    The sum is that of digits, ``digit`` the largest of them, times weights.

    Some 1/256 of a unit of 8-bit weights, far below what devices vary by; whole numbers stay what they are.
    """
    sums = [digit * np.abs(weights[a:b]).sum(axis=0).max(initial=1.0) for a, b in pairwise(starts.tolist())]
    whole = int(np.ceil(np.log2(max(sums, default=1.0)))) + 1
    kind = next((k for k, held in _EXACT.items() if held - whole >= _LEAST_BITS), np.float64)
    bits = min(_EXACT[kind] - whole, _MOST_BITS)
    return np.ascontiguousarray(np.rint(weights * 2.0**bits) / 2.0**bits, kind)


def _off(tiles: BlockTiles, chip: Chip, device: Device, time_s: float) -> FloatArray:
    """Returns by what the pairs are off their targets, ``(R, n)`` over g_max; of several copies the mean."""
    x = tiles.weights / np.maximum(tiles.column_scale, 1)[tiles.tile]
    copies = tiles.copies[tiles.tile]
    total = np.zeros(x.shape)
    for copy in range(int(copies.max(initial=0))):
        mine = copies > copy
        for side, sign in (("plus", 1), ("minus", -1)):
            place = f"block {tiles.block} {side}" + (f" copy {copy}" if copy else "")
            total[mine] += sign * _off_side(np.maximum(sign * x[mine], 0), place, chip, device, time_s)
    return total / copies[:, None]


def _off_side(x: FloatArray, place: str, chip: Chip, device: Device, time_s: float) -> FloatArray:
    """Returns by what the devices on one side of the pairs are off their targets."""

    def normals(source: str) -> FloatArray:
        return chip.normals(place, source, x.shape)

    return device.conductances(x, time_s, normals) - x


def _gains(tiles: BlockTiles, chip: Chip, device: Device) -> FloatArray:
    """Returns with what gain the columns of each tile are read, ``(T, n)``."""
    shape = tiles.column_scale.shape
    return device.gains(shape, lambda source: chip.normals(f"block {tiles.block} columns", source, shape))


@lru_cache(maxsize=512)
def full_scale(tiles: BlockTiles, deviations: float | None) -> Floats:
    """Returns the largest current that each tile's ADC reads, ``(T,)``, over the largest conductance.

    Of its columns, the most demanding decides. With ``deviations`` a column needs, for digits that are 0 to
    D with equal odds and independent, ``|Σx|·D / 2`` and so many standard deviations ``sqrt(Σx²·D(D + 2) /
    12)``, at most what any digits bring; without, always the latter: D times what all weights of one sign add
    up to, or where digits have a sign, all weights. x = w / m. A fifth more is room for devices above their
    targets. It is kept for the next chip with the same program.
    """
    x = tiles.weights / np.maximum(tiles.column_scale, 1)[tiles.tile]
    plus, minus, square = (np.zeros((tiles.tiles, tiles.weights.shape[1])) for _ in range(3))
    np.add.at(plus, tiles.tile, np.maximum(x, 0))
    np.add.at(minus, tiles.tile, np.maximum(-x, 0))
    np.add.at(square, tiles.tile, x * x)
    top = tiles.digit
    needed = top * (plus + minus if tiles.signed else np.maximum(plus, minus))
    if deviations is not None:
        spread = np.sqrt(square * (top * (top + 2) / 12))
        needed = np.minimum(needed, np.abs(plus - minus) * (top / 2) + deviations * spread)
    largest: Floats = _HEADROOM * needed.max(axis=1, initial=0)
    return largest
