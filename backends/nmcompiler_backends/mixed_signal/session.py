"""One chip of crossbars as whoever calibrates it sees it: codes of ADCs, spikes, trims; no conductance."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from nmcompiler.program.layout import IntArray, Program
from nmcompiler.session import Measurement, TrimRange
from nmcompiler.sim import Simulator, encode
from nmcompiler.sim.load import Block
from nmcompiler.sim.ports import as_samples
from nmcompiler.sim.result import Array
from nmcompiler.sim.tile import input_values
from nmcompiler_backends.mixed_signal.simulator import CrossbarSimulator, Readings
from nmcompiler_backends.mixed_signal.trims import CrossbarTrims

__all__ = ["CrossbarSession"]

_BATCH = 32


@dataclass
class _Known:
    """What the chip is known to do with some samples, as far as it was run with the present trims.

    Attributes:
        x: The samples, as they were given.
        values: ``(S, M)`` int32.
        blocks: Blocks whose values are up to date, from the first on.
        readings: What tiles read, by block: of the latest layer only, they are large.
    """

    x: Mapping[str, Array]
    values: Array
    blocks: int = 0
    readings: dict[int, Readings] = field(default_factory=dict)


class CrossbarSession:
    """A chip with a program in it; see ``nmcompiler.session.ChipSession``.

    Layers that are trimmed already are run once for all measurements of later ones.
    """

    def __init__(self, simulator: CrossbarSimulator) -> None:
        self.program: Program = simulator.program
        self._layout = simulator.layout
        self._ranges = self._layout.ranges()
        self._trims = CrossbarTrims.of(self._ranges)
        self._chip = replace(simulator, trims=self._trims, held=simulator.analog)
        self._known: _Known | None = None

    @property
    def ranges(self) -> Mapping[str, TrimRange]:
        """What can be trimmed, by name."""
        return self._ranges

    @property
    def trim(self) -> Mapping[str, IntArray]:
        """The present codes ``(count,)``, by name."""
        return {name: codes.copy() for name, codes in self._trims.codes.items()}

    def span(self, name: str, block: int) -> slice:
        """Returns where the codes of one block stand among those of a trim; empty where it has none."""
        if self._ranges[name].per == "tile":
            if block not in self._layout.tiles:
                return slice(0, 0)
            first = self._layout.first_tile[block]
            return slice(first, first + self._layout.tiles[block].tiles)
        found = self._layout.loaded.blocks[block]
        if self._ranges[name].per == "pair":
            if block not in self._layout.drivers:
                return slice(0, 0)
            first = self._layout.first_pair[block]
            return slice(first, first + len(self._layout.drivers[block]) * found.n)
        return slice(found.gid0, found.gid0 + found.n)

    def configure(self, trim: Mapping[str, IntArray]) -> None:
        """Sets the codes ``(count,)`` of some trims; the others stay as they are.

        Raises:
            UsageError: There is no such trim, or a code is out of its range.
        """
        before, self._trims = self._trims, self._trims.changed(trim, self._ranges)
        self._chip = replace(self._chip, trims=self._trims)
        if self._known is not None:
            self._forget(self._known, before)

    def measure(self, x: Mapping[str, Array], blocks: Collection[int] | None = None) -> Measurement:
        """Runs samples on the chip with its present trims, and returns what was read.

        Args:
            x: Samples ``(S, *shape)`` by input port; must not change between calls.
            blocks: Rows of ``blocks`` whose ADCs are wanted; None for all.

        Raises:
            InputFileError: The samples do not suit the program.
        """
        loaded = self._layout.loaded
        wanted = set(range(len(loaded.blocks)) if blocks is None else blocks)
        known = self._known_of(x)
        last = max(wanted, default=-1)
        for block in loaded.blocks[: last + 1]:
            if block.index >= known.blocks:
                self._run(block, known)
        read = {b: self._read(loaded.blocks[b], known) for b in sorted(wanted) if b in self._layout.tiles}
        sent = (b for b in loaded.blocks[: last + 1] if not b.is_readout)
        return Measurement(
            spikes={b.index: known.values[:, b.gid0 : b.gid0 + b.n].astype(np.int64) for b in sent},
            adc={b: self._chip.scaled(loaded.blocks[b], r.sums) for b, r in read.items()},
            peaks={b: r.peaks for b, r in read.items()},
        )

    def simulator(self) -> Simulator:
        """Returns the simulator of the chip with its present trims."""
        return self._chip

    def _run(self, block: Block, known: _Known) -> None:
        """Runs one block on all samples."""
        if block.is_input:
            v = None
        elif block.index in self._layout.tiles:
            v = self._chip.add_up(block, self._read(block, known).sums)
        else:
            v, _ = self._chip.integrate(block, known.values, self._chip.analog)
        if v is not None and not block.is_readout:
            known.values[:, block.gid0 : block.gid0 + block.n] = self._chip.fire(block, v)
        known.blocks = block.index + 1

    def _read(self, block: Block, known: _Known) -> Readings:
        """Returns what the tiles of a block read, from those before it as they are known."""
        if block.index not in known.readings:
            window = block.slot.window
            blocks = self._layout.loaded.blocks
            known.readings = {b: r for b, r in known.readings.items() if blocks[b].slot.window == window}
            parts = [
                self._chip.read(block, known.values[first : first + _BATCH], self._chip.analog)[1]
                for first in range(0, len(known.values), _BATCH)
            ]
            sums, peaks = np.concatenate([p.sums for p in parts]), np.max([p.peaks for p in parts], axis=0)
            known.readings[block.index] = Readings(sums, peaks)
        return known.readings[block.index]

    def _known_of(self, x: Mapping[str, Array]) -> _Known:
        if self._known is None or self._known.x is not x:
            loaded = self._layout.loaded
            encoded = encode(self.program, as_samples(self.program, x))
            samples = len(encoded[0])
            values = np.zeros((samples, loaded.neurons), np.int32)
            for index, sent in input_values(loaded, encoded, slice(0, samples)).items():
                block = loaded.blocks[index]
                values[:, block.gid0 : block.gid0 + block.n] = sent
            self._known = _Known(x, values)
        return self._known

    def _forget(self, known: _Known, before: CrossbarTrims) -> None:
        """Drops what may not be as it was with other trims."""
        gid0 = np.array([b.gid0 for b in self._layout.loaded.blocks])
        tiled = np.array(list(self._layout.first_tile), np.int64)
        first_tile = np.array(list(self._layout.first_tile.values()), np.int64)
        changed: dict[str, set[int]] = {}
        for name, codes in self._trims.codes.items():
            if self._ranges[name].per == "pair":
                continue  # of read-outs, whose results nobody on the chip reads
            places = np.flatnonzero(codes != before.codes[name])
            if self._ranges[name].per == "tile":
                found = tiled[np.searchsorted(first_tile, places, side="right") - 1]
            else:
                found = np.searchsorted(gid0, places, side="right") - 1
            changed[name] = set(found.tolist())
        first = min((b for found in changed.values() for b in found), default=None)
        if first is None:
            return
        known.blocks = min(known.blocks, first)
        window = self._layout.loaded.blocks[first].slot.window
        known.readings = {
            b: r
            for b, r in known.readings.items()
            if self._layout.loaded.blocks[b].slot.window <= window and b not in changed["adc-range"]
        }
