"""Runs a placed program on crossbars: digit by digit and tile by tile, by the devices of one chip.

Layers follow one another as in the program's windows. Inputs of a layer are the binary digits that its
sources send in the code ``phase``; every tile reads one digit at a time (``kernels.read_tiles``). Bias and
threshold are digital: ``q = clip(floor(v / θ))`` of the membrane ``v = v0 + Σ``. Without variation and with
an ADC that resolves everything, v is that of the program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from nmcompiler.errors import NotVerified
from nmcompiler.sim import Job, Simulator, TileRunner
from nmcompiler.sim.jit import jit
from nmcompiler.sim.load import Block
from nmcompiler.sim.result import Array, Int64Array
from nmcompiler.sim.tile import Store, TileCounters, input_values
from nmcompiler_backends.mixed_signal import kernels
from nmcompiler_backends.mixed_signal.analog import AnalogTiles, Device, build
from nmcompiler_backends.mixed_signal.tiles import cut_block
from nmcompiler_backends.mixed_signal.variation import Chip, PcmDevice, RramDevice

__all__ = ["CrossbarSimulator", "device_of"]


def device_of(kind: str) -> Device:
    """Returns the model of the devices that a target names."""
    kinds: Mapping[str, Device] = {"pcm": PcmDevice(), "rram": RramDevice()}
    return kinds[kind]


@dataclass(frozen=True, eq=False)
class CrossbarSimulator(Simulator):
    """Runs a program on one chip, some time after it was programmed.

    ``saturations`` of a run counts codes that an ADC clipped; steps are never left out.

    Attributes:
        program: What is run.
        chip: Draws the devices; None for a chip whose devices are all at their targets.
        device: The model of its devices; None likewise.
        adc_bits: Bits of an ADC's code; None for one that resolves everything and never clips.
        read_after_s: Seconds since programming.
    """

    chip: Chip | None = None
    device: Device | None = None
    adc_bits: int | None = None
    read_after_s: float = 1.0

    @property
    def drawn(self) -> Mapping[str, Any] | None:
        """What makes this chip another than its program; None for the ideal one."""
        if self.chip is None and self.adc_bits is None:
            return None
        sources = () if self.chip is None or self.device is None else self.device.sources
        return {
            "chip_seed": None if self.chip is None else self.chip.seed,
            "sources": list(sources),
            "adc_bits": self.adc_bits,
            "read_after_s": self.read_after_s,
        }

    @cached_property
    def analog(self) -> Mapping[int, AnalogTiles]:
        """The tiles of every block that is no input, by its row in ``blocks``, as this chip holds them.

        Raises:
            NotVerified: A membrane may leave its range, or a spike may come at a time that it does not weigh.
        """
        if not self.certificate.windowed:
            raise NotVerified(
                "a digital sum may leave its range, or a digit arrive when it weighs something else",
                asked="the crossbars of this program",
                hint="compile it again; only programs whose certificate holds run on crossbars",
            )
        tiles = self.program.target.conductance_tiles
        assert tiles is not None
        return {
            block.index: build(
                cut_block(self.program, block.index, tiles.rows),
                self.chip,
                self.device,
                self.adc_bits,
                tiles.adc_deviations,
                self.read_after_s,
            )
            for block in self._loaded.blocks
            if not block.is_input
        }

    def _runner(self, job: Job) -> TileRunner:
        """Reads every digit of every sample: ``literal`` and ``check`` change nothing."""
        analog = self.analog  # drawn here, once, not in the threads
        return TileRunner(
            lambda rows: self._run_rows(analog, job.encoded, rows, job.store),
            windowed=False,
            literal_samples=job.samples,
        )

    def _run_rows(
        self, analog: Mapping[int, AnalogTiles], encoded: Sequence[Int64Array], rows: slice, store: Store
    ) -> TileCounters:
        loaded = self._loaded
        values = np.zeros((rows.stop - rows.start, loaded.neurons), np.int32)
        inputs = input_values(loaded, encoded, rows)
        counts, clipped = np.zeros(loaded.neurons, np.int64), 0
        digits = max(b.levels for b in loaded.blocks).bit_length()
        for block in loaded.blocks:
            mine = slice(block.gid0, block.gid0 + block.n)
            if block.is_input:
                values[:, mine] = inputs[block.index]
            else:
                v = np.tile(loaded.v0[mine] - loaded.above, (len(values), 1))
                clipped += _read(analog[block.index], values, digits, v)
                store.put_membranes(block, rows, v)
                if block.is_readout:
                    continue
                values[:, mine] = np.clip(v // loaded.theta[mine], block.lowest, block.levels)
            self._sent(block, rows, values[:, mine], store)
            counts[mine] = np.bitwise_count(np.abs(values[:, mine])).sum(axis=0, dtype=np.int64)
        return TileCounters(counts, clipped)

    def _sent(self, block: Block, rows: slice, values: Array, store: Store) -> None:
        store.put_values(block, rows, values)
        if store.trains is not None:
            for j, sent in enumerate(self._loaded.coding.encode(values, block.slot)):
                store.add_sent(block, rows, block.slot.fire_start + j, sent, 0)


def _read(tiles: AnalogTiles, values: Array, digits: int, v: Array) -> int:
    """Adds what a block's tiles read to its membranes ``(S, n)``; returns how many codes were clipped."""
    weights = tiles.weights, tiles.per_code, tiles.codes_per
    clipped: int = jit(kernels.read_tiles)(
        values, tiles.sources, tiles.starts, *weights, tiles.largest, digits, v
    )
    return clipped
