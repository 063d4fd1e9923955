"""Runs a placed program on crossbars: digit by digit and tile by tile, by the devices of one chip.

Layers follow one another as in the program's windows. Inputs of a layer are the binary digits that its
sources send in the code ``phase``; every tile reads one digit at a time (``kernels.read_tiles``). Bias and
threshold are digital: ``q = clip(floor(v / θ))`` of the membrane ``v = v0 + Σ``. Without variation and with
an ADC that resolves everything, v is that of the program.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from nmcompiler.errors import NotVerified, UsageError
from nmcompiler.ir.progress import Progress, silent
from nmcompiler.sim import Record, RunResult, Simulator, Stream, encode
from nmcompiler.sim.counters import count
from nmcompiler.sim.jit import compile_seconds, jit
from nmcompiler.sim.load import Block
from nmcompiler.sim.ports import as_samples
from nmcompiler.sim.result import Array, Int64Array
from nmcompiler.sim.tile import Store, TileCounters, input_values
from nmcompiler_backends.mixed_signal import kernels
from nmcompiler_backends.mixed_signal.analog import AnalogTiles, Device, build
from nmcompiler_backends.mixed_signal.tiles import cut_block
from nmcompiler_backends.mixed_signal.variation import Chip, PcmDevice, RramDevice

__all__ = ["CrossbarSimulator", "device_of"]

_TILE_SAMPLES = 25


def device_of(kind: str) -> Device:
    """Returns the model of the devices that a target names."""
    kinds: Mapping[str, Device] = {"pcm": PcmDevice(), "rram": RramDevice()}
    return kinds[kind]


@dataclass(frozen=True, eq=False)
class CrossbarSimulator(Simulator):
    """Runs a program on one chip, some time after it was programmed.

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

    def run(
        self,
        x: Mapping[str, Array] | Array,
        *,
        record: Record | None = None,
        threads: int = 1,
        progress: Progress = silent,
        literal: bool = False,
        check: bool = True,
        stream: Stream | bool = False,
    ) -> RunResult:
        """Runs samples; the result does not depend on the number of threads.

        Arguments as in ``Simulator.run``. Every digit of every sample is read, so that ``literal`` and
        ``check`` change nothing; ``saturations`` counts codes that an ADC clipped.

        Raises:
            InputFileError: Where the samples do not suit the program, or the program is damaged.
            NotVerified: Where the program's times and ranges are not proved.
            UsageError: For a stream, or a number of threads below 1.
        """
        if threads < 1:
            raise UsageError(f"a run with {threads} threads", allowed="1 or more")
        if stream:
            self.start_stream()
        start, compiled = time.perf_counter(), compile_seconds()
        encoded = encode(self.program, as_samples(self.program, x))
        samples = len(encoded[0]) if encoded else 0
        store = Store(self._loaded, samples, record or Record())
        counters = list(self._tiles(encoded, store, samples, threads, progress))
        total = sum((c.counts for c in counters), np.zeros(self._loaded.neurons, np.int64))
        counted = count(self._loaded, total)
        return RunResult(
            outputs=store.outputs,
            values=store.values,
            membranes=store.membranes,
            trains=store.trains,
            spikes=counted.spikes,
            spikes_per_neuron=total,
            spikes_per_block=counted.spikes_per_block,
            synops=int(counted.synops_per_block.sum()),
            synops_per_block=counted.synops_per_block,
            hops=int(counted.hops_per_block.sum()),
            hops_per_block=counted.hops_per_block,
            saturations=sum(c.saturations for c in counters),
            samples=samples,
            literal_samples=samples,
            windowed=False,
            jit_seconds=compile_seconds() - compiled,
            wall_seconds=time.perf_counter() - start,
        )

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

    def _tiles(
        self, encoded: Sequence[Int64Array], store: Store, samples: int, threads: int, progress: Progress
    ) -> Iterator[TileCounters]:
        """Runs all samples in small groups, and yields the counters of each in order."""
        analog = self.analog  # drawn here, once, not in the threads
        rows = [slice(k, min(k + _TILE_SAMPLES, samples)) for k in range(0, samples, _TILE_SAMPLES)]
        with ThreadPoolExecutor(threads, thread_name_prefix="crossbar") as pool:
            jobs = [pool.submit(self._run_rows, analog, encoded, part, store) for part in rows]
            try:
                for part, job in zip(rows, jobs, strict=True):
                    yield job.result()
                    progress("running", part.stop, samples)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

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
