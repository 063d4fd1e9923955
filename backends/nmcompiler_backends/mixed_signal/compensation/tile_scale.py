"""One digital factor for every tile: all of its currents have shrunk together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nmcompiler.program.layout import Program
from nmcompiler.session import Calibration, ChipSession
from nmcompiler.sim.result import Array, Int64Array
from nmcompiler_backends.mixed_signal.tiles import BlockTiles, cut_block

__all__ = ["TileScale"]

_TRIM = "tile-scale"


@dataclass(frozen=True)
class TileScale:
    """``s = Σ y·e / Σ y²`` over samples and columns: y what the tile reads, e what its weights intend.

    e is the sum of the program's weights over the spikes that the chip really delivered, so that errors of
    earlier layers are none of this tile's.
    """

    @property
    def name(self) -> str:
        """Identifier."""
        return "tile-scale"

    def apply(self, session: ChipSession, calibration: Calibration, blocks: Sequence[int]) -> None:
        """Trims one layer; see ``nmcompiler.session.Compensation``."""
        measured = session.measure(calibration.x, blocks)
        limits, codes = session.ranges[_TRIM], session.trim[_TRIM].copy()
        sent = _all_spikes(session.program, measured.spikes)
        kind = session.program.target.conductance_tiles
        assert kind is not None
        for block, read in measured.adc.items():
            tiles = cut_block(session.program, block, kind)
            mine = session.span(_TRIM, block)
            factors = [_factor(read[:, t], _intended(tiles, t, sent)) for t in range(tiles.tiles)]
            wanted = np.rint(codes[mine] * np.array(factors)).astype(np.int64)
            codes[mine] = np.clip(wanted, limits.lowest, limits.highest)
        session.configure({_TRIM: codes})


def _factor(read: Int64Array, intended: Array) -> float:
    """Returns the factor that brings what a tile reads closest to what was meant; 1 where it is mute."""
    y = read.astype(float)
    square, product = float((y * y).sum()), float((y * intended).sum())
    return product / square if square > 0 and product > 0 else 1.0


def _intended(tiles: BlockTiles, number: int, sent: Array) -> Array:
    """Returns ``Σ w·q`` of one tile, ``(S, n)``."""
    rows = tiles.tile[tiles.rows] == number
    product: Array = sent[:, tiles.sources[rows]] @ tiles.weights[tiles.rows[rows]].astype(float)
    return product


def _all_spikes(program: Program, spikes: Mapping[int, Int64Array]) -> Array:
    """Returns what every neuron of the program sent, ``(S, M)`` float64, 0 where it was not read."""
    first = program.column("gid0")
    sent = np.zeros((len(next(iter(spikes.values()))), program.neurons))
    for block, values in spikes.items():
        sent[:, first[block] : first[block] + values.shape[1]] = values
    return sent
