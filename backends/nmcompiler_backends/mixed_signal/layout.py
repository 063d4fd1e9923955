"""What every chip with the same program shares: its loaded program, its certificate and its cut tiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from nmcompiler.errors import NotVerified
from nmcompiler.program.layout import Program
from nmcompiler.session import TrimRange
from nmcompiler.sim.certificate import Certificate
from nmcompiler.sim.engine import Simulator
from nmcompiler.sim.load import Loaded
from nmcompiler_backends.mixed_signal.tiles import BlockTiles, Differences, Ints, cut_block, differences
from nmcompiler_backends.mixed_signal.trims import trim_ranges

__all__ = ["Layout", "layout_of"]


@dataclass(frozen=True, eq=False)
class Layout:
    """A program on crossbars.

    Attributes:
        program: The program.
        loaded: For the kernels.
        certificate: Which of its blocks cannot saturate.
    """

    program: Program
    loaded: Loaded
    certificate: Certificate

    @cached_property
    def digital(self) -> Mapping[int, Differences]:
        """The blocks whose sums the digital periphery makes, by row of ``blocks``."""
        tiles = self.program.target.conductance_tiles
        terms = 0 if tiles is None else tiles.digital_terms
        found = {b.index: differences(self.loaded, b, terms) for b in self.loaded.blocks if not b.is_input}
        return {index: sums for index, sums in found.items() if sums is not None}

    @cached_property
    def tiles(self) -> Mapping[int, BlockTiles]:
        """The tiles of every other block that is no input, by row of ``blocks``.

        Raises:
            InputFileError: A block holds weights that tiles cannot.
            NotVerified: A membrane may leave its range, or a spike may come at a time that it does not weigh.
        """
        if not self.certificate.windowed:
            raise NotVerified(
                "a digital sum may leave its range, or a digit arrive when it weighs something else",
                asked="the crossbars of this program",
                hint="compile it again; only programs whose certificate holds run on crossbars",
            )
        conductances = self.program.target.conductance_tiles
        assert conductances is not None
        return {
            b.index: cut_block(self.program, b.index, conductances)
            for b in self.loaded.blocks
            if not b.is_input and b.index not in self.digital
        }

    @cached_property
    def first_tile(self) -> Mapping[int, int]:
        """How many tiles stand before those of each block on tiles."""
        first, total = {}, 0
        for index, tiles in self.tiles.items():
            first[index] = total
            total += tiles.tiles
        return first

    @cached_property
    def drivers(self) -> Mapping[int, Ints]:
        """The neurons that drive each membrane read-out on tiles, rising."""
        readouts = (i for i in self.tiles if self.loaded.blocks[i].is_readout)
        return {i: np.unique(self.tiles[i].sources) for i in readouts}

    @cached_property
    def first_pair(self) -> Mapping[int, int]:
        """How many pairs of driver and read-out stand before those of each read-out block."""
        first, total = {}, 0
        for index, drivers in self.drivers.items():
            first[index] = total
            total += len(drivers) * self.loaded.blocks[index].n
        return first

    def ranges(self) -> Mapping[str, TrimRange]:
        """Returns what can be trimmed on a chip with the program."""
        pairs = sum(len(d) * self.loaded.blocks[i].n for i, d in self.drivers.items())
        return trim_ranges(self.tile_count, self.loaded.neurons, pairs)

    @cached_property
    def tile_count(self) -> int:
        """Tiles of all blocks together."""
        return sum(t.tiles for t in self.tiles.values())


@lru_cache(maxsize=2)
def layout_of(program: Program) -> Layout:
    """Returns the layout of a program; that of the last programs is kept, since chips are many.

    Raises:
        InputFileError: The program is damaged.
    """
    digital = Simulator(program)
    return Layout(program, digital._loaded, digital.certificate)
