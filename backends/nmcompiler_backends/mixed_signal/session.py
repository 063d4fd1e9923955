"""One chip of crossbars as whoever calibrates it sees it: codes of ADCs, spikes, trims; no conductance."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from nmcompiler.program.layout import IntArray, Program
from nmcompiler.session import Measurement, TrimRange
from nmcompiler.sim import Simulator, encode
from nmcompiler.sim.load import Block
from nmcompiler.sim.ports import as_samples
from nmcompiler.sim.result import Array, Int64Array
from nmcompiler.sim.tile import input_values
from nmcompiler_backends.mixed_signal.simulator import CrossbarSimulator
from nmcompiler_backends.mixed_signal.trims import CrossbarTrims, trim_ranges

__all__ = ["CrossbarSession"]

_BATCH = 32


@dataclass
class _Known:
    """What the chip is known to send for some samples, as far as it was run with the present trims.

    Attributes:
        x: The samples, as they were given.
        values: ``(S, M)`` int32.
        blocks: Blocks whose values are up to date, from the first on.
    """

    x: Mapping[str, Array]
    values: Array
    blocks: int = 0


class CrossbarSession:
    """A chip with a program in it; see ``nmcompiler.session.ChipSession``.

    Layers that are trimmed already are run once for all measurements of later ones.
    """

    def __init__(self, simulator: CrossbarSimulator) -> None:
        self.program: Program = simulator.program
        self._layout = simulator.layout
        self._ranges = trim_ranges(self._layout.tile_count, self._layout.loaded.neurons)
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
        return slice(found.gid0, found.gid0 + found.n)

    def configure(self, trim: Mapping[str, IntArray]) -> None:
        """Sets the codes ``(count,)`` of some trims; the others stay as they are.

        Raises:
            UsageError: There is no such trim, or a code is out of its range.
        """
        before, self._trims = self._trims, self._trims.changed(trim, self._ranges)
        self._chip = replace(self._chip, trims=self._trims)
        if self._known is not None:
            self._known.blocks = min(self._known.blocks, self._first_changed(before))

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
        adc: dict[int, Int64Array] = {}
        peaks: dict[int, Int64Array] = {}
        last = max(wanted, default=-1)
        for block in loaded.blocks[: last + 1]:
            if block.index < known.blocks and (block.index not in wanted or block.is_input):
                continue
            read = self._run(block, known.values)
            if read is not None and block.index in wanted:
                adc[block.index], peaks[block.index] = read
            known.blocks = max(known.blocks, block.index + 1)
        sent = (b for b in loaded.blocks[: last + 1] if not b.is_readout)
        spikes = {b.index: known.values[:, b.gid0 : b.gid0 + b.n].astype(np.int64) for b in sent}
        return Measurement(spikes, adc, peaks)

    def simulator(self) -> Simulator:
        """Returns the simulator of the chip with its present trims."""
        return self._chip

    def _run(self, block: Block, values: Array) -> tuple[Int64Array, Int64Array] | None:
        """Runs one block on all samples; returns sums and peaks of its tiles, if it has any."""
        if block.is_input:
            return None
        sums, peaks = [], []
        for first in range(0, len(values), _BATCH):
            rows = slice(first, first + _BATCH)
            v, _, read = self._chip.integrate(block, values[rows], self._chip.analog)
            if not block.is_readout:
                values[rows, block.gid0 : block.gid0 + block.n] = self._chip.fire(block, v)
            if read is not None:
                sums.append(read.sums)
                peaks.append(read.peaks)
        return (np.concatenate(sums), np.max(peaks, axis=0)) if sums else None

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

    def _first_changed(self, before: CrossbarTrims) -> int:
        """Returns the first block whose trims are others than before."""
        return next(self._changed(before), len(self._layout.loaded.blocks))

    def _changed(self, before: CrossbarTrims) -> Iterator[int]:
        for block in self._layout.loaded.blocks:
            for name, codes in self._trims.codes.items():
                mine = self.span(name, block.index)
                if not np.array_equal(codes[mine], before.codes[name][mine]):
                    yield block.index
                    break
