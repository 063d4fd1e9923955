"""Runs a placed program on the neuron array of one chip, block after block.

Layers follow one another as in the program's windows, or in ``rate`` as its delays have it: all steps of a
block are computed before the next block is looked at, which is the same as long as no block reads a later
one. Without variation, values, counts and outputs are those of the digital simulator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from nmcompiler.sim import Certificate, Job, Simulator, TileRunner
from nmcompiler.sim.load import Block, Loaded
from nmcompiler.sim.result import Array, Int64Array
from nmcompiler.sim.tile import Store, TileCounters, input_values
from nmcompiler_backends.mixed_signal.array.circuits import Draw
from nmcompiler_backends.mixed_signal.array.codes import Sent
from nmcompiler_backends.mixed_signal.array.machine import Machine, moments_of
from nmcompiler_backends.mixed_signal.array.plan import Plan, plan_of
from nmcompiler_backends.mixed_signal.batches import tile_samples

__all__ = ["ArraySimulator"]

_HELD_BYTES = 10  # of a neuron in a step: what it sends, that once more as it answers, and what arrives


@dataclass(frozen=True, eq=False)
class ArraySimulator(Simulator):
    """Runs a program on one chip; ``saturations`` of a run counts codes that an ADC clipped.

    Attributes:
        program: What is run.
        draw: The chip, and in what it varies; None for one of ideal circuits and converters.
        codes: Codes of its trims, by name; empty for a chip that nobody trimmed.
        held: Its circuits, where a session has drawn them.
    """

    draw: Draw | None = None
    codes: Mapping[str, Int64Array] = field(default_factory=dict)
    held: Machine | None = field(default=None, repr=False)

    @property
    def drawn(self) -> Mapping[str, Any] | None:
        """What makes this chip another than its program; None for the ideal one without leak."""
        array, draw = self.plan.array, self.draw
        if draw is None and not array.leaks:
            return None
        return {
            "chip_seed": None if draw is None else draw.chip.seed,
            "sources": [] if draw is None else list(draw.sources),
            "adc_bits": None if draw is None else array.adc_bits,
            "read_after_s": None,
            "tau_steps": array.tau_steps,
        }

    @property
    def certificate(self) -> Certificate:
        """Which blocks cannot saturate."""
        return self.plan.certificate

    @property
    def plan(self) -> Plan:
        """What it shares with every chip that runs the program."""
        return plan_of(self.program)

    @property
    def _loaded(self) -> Loaded:
        return self.plan.loaded

    @cached_property
    def machine(self) -> Machine:
        """The program on the chip."""
        return Machine(self.plan, self.draw) if self.held is None else self.held

    def _runner(self, job: Job) -> TileRunner:
        """Computes every step of every block: ``literal`` and ``check`` change nothing."""
        _ = self.machine.parts, self.machine.ranges  # drawn here, once, not in the threads
        return TileRunner(
            lambda rows: self._run_rows(job.encoded, rows, job.store),
            windowed=False,
            literal_samples=job.samples,
        )

    def _tile_samples(self, samples: int, threads: int) -> int:
        trains = 1 if self._loaded.coding.windowed else max(b.slot.steps for b in self._loaded.blocks)
        least = super()._tile_samples(samples, threads)
        return tile_samples(least, _HELD_BYTES * self._loaded.neurons * trains, samples, threads)

    def _run_rows(self, encoded: Sequence[Int64Array], rows: slice, store: Store) -> TileCounters:
        loaded, machine, code = self._loaded, self.machine, self.machine.code
        sent = code.nothing(rows.stop - rows.start)
        inputs = input_values(loaded, encoded, rows)
        moments = moments_of([q[rows] for q in encoded])
        counts, clipped = np.zeros(loaded.neurons, np.int64), 0
        for block in loaded.blocks:
            mine = slice(block.gid0, block.gid0 + block.n)
            if block.is_input:
                sent[:, mine] = code.inputs(block, inputs[block.index])
            else:
                part = machine.parts[block.index]
                arrivals = machine.noisy(part, code.arrivals(part, sent), moments)
                answer = machine.answer(part, arrivals, self.codes)
                if block.is_readout:
                    reading = machine.read(part, answer.v, self.codes)
                    store.put_membranes(block, rows, machine.membranes(part, reading.sums, self.codes))
                    clipped += reading.clipped
                    continue
                if store.wants_membranes(block):
                    store.put_membranes(block, rows, np.rint(answer.v).astype(np.int64))
                sent[:, mine] = answer.sent
            self._keep(block, rows, sent[:, mine], store)
            counts[mine] = code.spikes(sent[:, mine])
        return TileCounters(counts, clipped)

    def _keep(self, block: Block, rows: slice, sent: Sent, store: Store) -> None:
        if store.wants_values(block):
            store.put_values(block, rows, self.machine.code.values(sent))
        if store.trains is None:
            return
        if sent.ndim == 3:
            trains: Array = np.moveaxis(sent, -1, 0)
        else:
            trains = self._loaded.coding.encode(sent.astype(np.int64), block.slot)
        for j, now in enumerate(trains[: block.slot.steps]):
            store.add_sent(block, rows, block.slot.fire_start + j, now, 0)
