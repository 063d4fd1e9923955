"""What the tiles of a block are on one chip: weights as its devices hold them, and the steps of its ADCs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nmcompiler_backends.mixed_signal.tiles import BlockTiles, Floats, Ints
from nmcompiler_backends.mixed_signal.variation import Chip, FloatArray, Normals

__all__ = ["AnalogTiles", "Device", "build", "full_scale"]

# Sums of whole numbers below it are exact in 32-bit floats.
_EXACT = 2**24
# Three standard deviations of the widest published spread at the largest conductance, 2.7 of 40 µS.
_HEADROOM = 1.2


class Device(Protocol):
    """A memory device, see ``variation``."""

    @property
    def sources(self) -> tuple[str, ...]:
        """What varies."""
        ...

    def check(self, time_s: float) -> None:
        """Raises ``UsageError`` where nothing is known of a time after programming."""
        ...

    def conductances(self, x: FloatArray, time_s: float, normals: Normals) -> FloatArray:
        """Returns what is read, over the largest conductance, of devices programmed to x."""
        ...


@dataclass(frozen=True, eq=False)
class AnalogTiles:
    """The tiles of one block as ``kernels.read_tiles`` takes them."""

    sources: Ints
    starts: Ints
    weights: Floats
    per_code: Floats
    codes_per: Floats
    largest: int


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
    largest magnitude of its column in the tile. What their conductances are off by is added to w: without
    variation, weights are the program's whole numbers.

    Args:
        tiles: The block.
        chip: Draws the devices; None for ideal ones.
        device: What is drawn; None for ideal ones.
        adc_bits: Bits of a code; None for an ADC that resolves everything.
        adc_deviations: See ``full_scale``.
        read_after_s: Seconds since programming.
    """
    scale = tiles.column_scale
    exact = int(np.abs(tiles.weights).sum(axis=0).max(initial=0)) < _EXACT
    weights = tiles.weights.astype(np.float64)
    if chip is not None and device is not None and device.sources:
        largest = np.maximum(scale, 1)[tiles.tile]
        off = _off(np.maximum(weights, 0) / largest, tiles.block, "plus", chip, device, read_after_s)
        off -= _off(np.maximum(-weights, 0) / largest, tiles.block, "minus", chip, device, read_after_s)
        weights += np.where(tiles.wired, off * scale[tiles.tile], 0.0)
    step = np.zeros(scale.shape)
    top = 0
    if adc_bits is not None:
        top = 2 ** (adc_bits - 1) - 1
        step = full_scale(tiles, adc_deviations)[:, None] / top * scale
    kind = np.float32 if exact else np.float64
    return AnalogTiles(
        sources=tiles.sources,
        starts=np.searchsorted(tiles.tile[tiles.rows], np.arange(tiles.tiles + 1)).astype(np.int64),
        weights=np.ascontiguousarray(weights[tiles.rows], kind),
        per_code=step.astype(kind),
        codes_per=np.divide(1.0, step, out=np.zeros_like(step), where=step > 0).astype(kind),
        largest=top,
    )


def _off(x: FloatArray, block: int, side: str, chip: Chip, device: Device, time_s: float) -> FloatArray:
    """Returns by what devices on one side of the pairs are off their targets, over g_max."""

    def normals(source: str) -> FloatArray:
        return chip.normals(f"block {block} {side}", source, x.shape)

    return device.conductances(x, time_s, normals) - x


def full_scale(tiles: BlockTiles, deviations: float | None) -> Floats:
    """Returns the largest current that each tile's ADC reads, ``(T,)``, over the largest conductance.

    Of its columns, the most demanding decides. With ``deviations`` a column needs, for digits that are 0 or
    1 with equal odds and independent, ``|Σx| / 2`` and so many standard deviations ``sqrt(Σx²) / 2``, at
    most what any digits bring; without, always the latter: what all weights of one sign add up to, or where
    digits have a sign, all weights. x = w / m. A fifth more is room for devices above their targets.
    """
    x = tiles.weights / np.maximum(tiles.column_scale, 1)[tiles.tile]
    plus, minus, square = (np.zeros((tiles.tiles, tiles.weights.shape[1])) for _ in range(3))
    np.add.at(plus, tiles.tile, np.maximum(x, 0))
    np.add.at(minus, tiles.tile, np.maximum(-x, 0))
    np.add.at(square, tiles.tile, x * x)
    needed = plus + minus if tiles.signed else np.maximum(plus, minus)
    if deviations is not None:
        needed = np.minimum(needed, np.abs(plus - minus) / 2 + deviations * np.sqrt(square) / 2)
    largest: Floats = _HEADROOM * needed.max(axis=1, initial=0)
    return largest
