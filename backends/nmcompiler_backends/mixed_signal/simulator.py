"""Runs a placed program on crossbars: digit by digit and tile by tile, by the devices of one chip.

Layers follow one another as in the program's windows. Inputs of a layer are the values that its sources
send, in digits of as many bits as a tile takes at once: the binary ones of ``phase``, or a whole value of
``graded``. Every tile reads one digit at a time. Bias and threshold are digital:
``q = clip(floor(v / θ))`` of the membrane ``v = v0 + gain·Σ + offset``. Without variation and trims, and with
an ADC that resolves everything, v is that of the program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from nmcompiler.sim import Certificate, Job, Simulator, TileRunner
from nmcompiler.sim.jit import jit
from nmcompiler.sim.load import Block, Loaded
from nmcompiler.sim.result import Array, Int64Array
from nmcompiler.sim.tile import Store, TileCounters, input_values
from nmcompiler.target import ConductanceTiles
from nmcompiler_backends.mixed_signal import kernels
from nmcompiler_backends.mixed_signal.analog import AnalogTiles, Device, build
from nmcompiler_backends.mixed_signal.batches import tile_samples
from nmcompiler_backends.mixed_signal.layout import Layout, layout_of
from nmcompiler_backends.mixed_signal.trims import ONE_BITS, RANGE_ONE, REFIT_ONE, CrossbarTrims, scaled
from nmcompiler_backends.mixed_signal.variation import Chip, PcmDevice, RramDevice, SynapseDevice

__all__ = ["CrossbarSimulator", "Readings", "device_of"]

_HELD_BYTES = 40  # of what drives a row, with its digits, or of what a column of a tile reads


def device_of(tiles: ConductanceTiles) -> Device:
    """Returns the model of the devices that the tiles of a target name."""
    kinds: Mapping[str, Device] = {
        "pcm": PcmDevice(),
        "rram": RramDevice(),
        "synapse": SynapseDevice.of(tiles.weight_cv, tiles.gain_cv),
    }
    return kinds[tiles.device]


@dataclass
class Readings:
    """What the tiles of one block read, sample after sample.

    Attributes:
        sums: ``(S, T, n)`` int64, in whole units of the program's weights, over digits, not scaled.
        peaks: ``(T,)`` int64: largest magnitude of a code.
    """

    sums: Int64Array
    peaks: Int64Array


@dataclass(frozen=True, eq=False)
class CrossbarSimulator(Simulator):
    """Runs a program on one chip, some time after it was programmed.

    ``saturations`` of a run counts codes that an ADC clipped; steps are never left out.

    Attributes:
        program: What is run.
        chip: Draws the devices; None for a chip whose devices are all at their targets.
        device: The model of its devices; None likewise.
        adc_bits: Bits of an ADC's code; None for one that resolves everything and never clips.
        read_after_s: Seconds since programming; None where devices do not change with time.
        trims: What was set on the chip; None for a chip that nobody trimmed.
        held: Its tiles, where another simulator of the same chip has drawn them.
    """

    chip: Chip | None = None
    device: Device | None = None
    adc_bits: int | None = None
    read_after_s: float | None = 1.0
    trims: CrossbarTrims | None = None
    held: Mapping[int, AnalogTiles] | None = field(default=None, repr=False)

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

    @property
    def certificate(self) -> Certificate:
        """Which blocks cannot saturate."""
        return self.layout.certificate

    @property
    def layout(self) -> Layout:
        """What it shares with every chip that runs the program."""
        return layout_of(self.program)

    @property
    def _loaded(self) -> Loaded:
        return self.layout.loaded

    @cached_property
    def analog(self) -> Mapping[int, AnalogTiles]:
        """The tiles of every block on tiles, by its row in ``blocks``, as this chip holds them.

        Raises:
            InputFileError: A block holds weights that tiles cannot.
            NotVerified: A membrane may leave its range, or a spike may come at a time that it does not weigh.
        """
        if self.held is not None:
            return self.held
        conductances = self.program.target.conductance_tiles
        assert conductances is not None
        deviations, after = conductances.adc_deviations, self.read_after_s or 0.0
        return {
            index: build(tiles, self.chip, self.device, self.adc_bits, deviations, after)
            for index, tiles in self.layout.tiles.items()
        }

    @cached_property
    def _codes(self) -> Mapping[str, Int64Array]:
        if self.trims is not None:
            return self.trims.codes
        return CrossbarTrims.of(self.layout.ranges()).codes

    def _runner(self, job: Job) -> TileRunner:
        """Reads every digit of every sample: ``literal`` and ``check`` change nothing."""
        analog = self.analog  # drawn here, once, not in the threads
        return TileRunner(
            lambda rows: self._run_rows(analog, job.encoded, rows, job.store),
            windowed=False,
            literal_samples=job.samples,
        )

    def _tile_samples(self, samples: int, threads: int) -> int:
        tiles = self.layout.tiles.values()
        widest = max((t.weights.shape[1] * t.tiles + len(t.weights) for t in tiles), default=0)
        least = super()._tile_samples(samples, threads)
        return tile_samples(least, _HELD_BYTES * (widest + self._loaded.neurons), samples, threads)

    def _run_rows(
        self, analog: Mapping[int, AnalogTiles], encoded: Sequence[Int64Array], rows: slice, store: Store
    ) -> TileCounters:
        loaded = self._loaded
        values = np.zeros((rows.stop - rows.start, loaded.neurons), np.int32)
        inputs = input_values(loaded, encoded, rows)
        counts, clipped = np.zeros(loaded.neurons, np.int64), 0
        for block in loaded.blocks:
            mine = slice(block.gid0, block.gid0 + block.n)
            if block.is_input:
                values[:, mine] = inputs[block.index]
            else:
                v, lost = self.integrate(block, values, analog)
                clipped += lost
                store.put_membranes(block, rows, v)
                if block.is_readout:
                    continue
                values[:, mine] = self.fire(block, v)
            self._sent(block, rows, values[:, mine], store)
            spikes = loaded.coding.spikes_per_value(block.levels)
            counts[mine] = spikes[np.abs(values[:, mine])].sum(axis=0, dtype=np.int64)
        return TileCounters(counts, clipped)

    def integrate(
        self, block: Block, values: Array, analog: Mapping[int, AnalogTiles]
    ) -> tuple[Int64Array, int]:
        """Returns the membranes ``(S, n)`` of a block, and how many codes were clipped.

        Args:
            block: No input.
            values: ``(S, M)`` int32: what every neuron sends; those of earlier windows are known.
            analog: ``self.analog``.
        """
        whole = self.layout.digital.get(block.index)
        if whole is not None:
            v = np.tile(self._starts(block), (len(values), 1))
            jit(kernels.add_whole)(values, whole.sources, whole.targets, whole.weights, v)
            return v, 0
        clipped, readings = self.read(block, values, analog)
        return self.add_up(block, readings.sums) + self._refitted(block, values), clipped

    def read(self, block: Block, values: Array, analog: Mapping[int, AnalogTiles]) -> tuple[int, Readings]:
        """Returns how many codes of a block's tiles were clipped, and what they read; see ``integrate``."""
        tiles = self.program.target.conductance_tiles
        assert tiles is not None
        ranges = self._codes["adc-range"][self._tiles(block)]
        return _read(analog[block.index], values, block.n, ranges, tiles.input_bits)

    def scaled(self, block: Block, sums: Int64Array) -> Int64Array:
        """Returns what the tiles of a block read, ``(S, T, n)``, after the scale of each."""
        return scaled(sums, self._codes["tile-scale"][self._tiles(block)][:, None])

    def add_up(self, block: Block, sums: Int64Array) -> Int64Array:
        """Returns the membranes ``(S, n)`` of a block whose tiles read ``(S, T, n)``."""
        mine = slice(block.gid0, block.gid0 + block.n)
        factors = self._codes["tile-scale"][self._tiles(block)]
        gain, offset = self._codes["gain"][mine], self._codes["offset"][mine]
        v = np.empty((len(sums), block.n), np.int64)
        jit(kernels.settle)(sums, factors, gain, offset, self._starts(block), ONE_BITS, v)
        return v

    def _refitted(self, block: Block, values: Array) -> Int64Array | int:
        """Returns what digital weights of its own add to a read-out, from what its drivers send."""
        drivers = self.layout.drivers.get(block.index)
        if drivers is None or not self._codes["refit"].any():
            return 0
        first = self.layout.first_pair[block.index]
        codes = self._codes["refit"][first : first + len(drivers) * block.n].reshape(-1, block.n)
        product: Int64Array = values[:, drivers].astype(np.int64) @ codes
        return (product + REFIT_ONE // 2) // REFIT_ONE

    def _starts(self, block: Block) -> Int64Array:
        starts: Int64Array = self._loaded.v0[block.gid0 : block.gid0 + block.n] - self._loaded.above
        return starts

    def _tiles(self, block: Block) -> slice:
        first = self.layout.first_tile[block.index]
        return slice(first, first + self.layout.tiles[block.index].tiles)

    def fire(self, block: Block, v: Int64Array) -> Array:
        """Returns what the neurons of a block send at membranes ``(S, n)``."""
        mine = slice(block.gid0, block.gid0 + block.n)
        sent = np.empty(v.shape, np.int32)
        jit(kernels.fire)(v, self._loaded.theta[mine], block.lowest, block.levels, sent)
        return sent

    def _sent(self, block: Block, rows: slice, values: Array, store: Store) -> None:
        store.put_values(block, rows, values)
        if store.trains is not None:
            for j, sent in enumerate(self._loaded.coding.encode(values, block.slot)):
                store.add_sent(block, rows, block.slot.fire_start + j, sent, 0)


def _read(tiles: AnalogTiles, values: Array, n: int, ranges: Int64Array, bits: int) -> tuple[int, Readings]:
    """Returns how many codes were clipped, and what T tiles read; a code of its range for each.

    ``bits`` are those of a digit.
    """
    kind, samples, count = tiles.weights.dtype, len(values), len(tiles.starts) - 1
    unit = tiles.unit * (ranges / RANGE_ONE)[:, None]
    codes_per = np.divide(1.0, unit, out=np.zeros_like(unit), where=unit > 0).astype(kind)
    per_code = unit.astype(kind)
    sums, peaks, clipped = np.zeros((samples, count, n), np.int64), np.zeros(count, np.int64), 0
    driven = np.zeros((samples, len(tiles.weights)), np.int64)
    # Digits that are 0 everywhere read nothing: how many are looked at changes no sum.
    largest = jit(kernels.row_values)(values, tiles.sources, tiles.rows, driven)
    most = -(-largest.bit_length() // bits)
    for t in range(count):
        mine = tiles.tile(t)
        digits = np.empty((most * samples, mine.stop - mine.start), kind)
        jit(kernels.planes)(driven[:, mine], most, bits, digits)
        current = digits @ tiles.weights[mine]
        step = codes_per[t], per_code[t]
        lost, peaks[t] = jit(kernels.add_codes)(current, *step, tiles.largest, most, bits, sums[:, t])
        clipped += lost
    return clipped, Readings(sums, peaks)
