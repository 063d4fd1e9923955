"""What both paths share: the arrays of a tile of samples, and what a tile hands back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nmcompiler.sim import kernels
from nmcompiler.sim.jit import jit
from nmcompiler.sim.load import Block, LinkGroup, Loaded
from nmcompiler.sim.result import Array, Int32Array, Int64Array, Record

__all__ = ["Arrivals", "Store", "TileCounters", "input_values", "views"]


@dataclass(frozen=True, eq=False)
class TileCounters:
    """Counters of a tile.

    Attributes:
        counts: ``(M,)`` int64: spikes of each neuron, its samples together.
        saturations: Registers clipped.
    """

    counts: Int64Array
    saturations: int


class Store:
    """Recorded values of all samples, by population; tiles write disjoint rows.

    Copies of a neuron are not recorded: they do what it does, or ``lift`` has said otherwise.
    """

    def __init__(self, loaded: Loaded, samples: int, record: Record) -> None:
        sizes = loaded.population_sizes
        steps = loaded.program.total_steps
        self._read = [o.population for o in loaded.program.outputs]
        sent = {b.population for b in loaded.blocks if not b.is_readout}.intersection(self._read)
        self._values = {
            k: np.zeros((samples, n), np.int32) for k, n in enumerate(sizes) if record.values or k in sent
        }
        self._by_spikes = sent
        self._trains = [np.zeros((samples, steps, n), np.int32) for n in sizes] if record.trains else None
        self._membranes = {
            k: np.zeros((samples, n), np.int64)
            for k, n in enumerate(sizes)
            if record.membranes or (k in self._read and k not in sent)
        }
        self._record = record

    @property
    def outputs(self) -> tuple[Int64Array, ...]:
        """``RunResult.outputs``."""
        return tuple(
            self._values[k].astype(np.int64) if k in self._by_spikes else self._membranes[k]
            for k in self._read
        )

    @property
    def values(self) -> tuple[Int32Array, ...] | None:
        """``RunResult.values``."""
        return tuple(self._values.values()) if self._record.values else None

    @property
    def trains(self) -> tuple[Int32Array, ...] | None:
        """``RunResult.trains``."""
        return None if self._trains is None else tuple(self._trains)

    @property
    def membranes(self) -> tuple[Int64Array, ...] | None:
        """``RunResult.membranes``."""
        return tuple(self._membranes.values()) if self._record.membranes else None

    def put_values(self, block: Block, rows: slice, values: Array) -> None:
        """Keeps the values ``(S, n)`` of a block."""
        if block.population in self._values:
            self._values[block.population][rows, block.places] = values[:, : block.size]

    def add_sent(self, block: Block, rows: slice, step: int, sent: Array, weight: int) -> None:
        """Adds what a block sent in one step, ``(S, n)``, to its values, and keeps it."""
        if block.population in self._values:
            self._values[block.population][rows, block.places] += sent[:, : block.size] * np.int32(weight)
        if self._trains is not None:
            self._trains[block.population][rows, step, block.places] = sent[:, : block.size]

    def put_membranes(self, block: Block, rows: slice, membranes: Array) -> None:
        """Keeps the membranes at firing ``(S, n)`` of a block."""
        if block.population in self._membranes:
            self._membranes[block.population][rows, block.places] = membranes[:, : block.size]

    def wants_values(self, block: Block) -> bool:
        """Returns whether values of the block are kept."""
        return block.population in self._values

    def wants_sent(self, block: Block) -> bool:
        """Returns whether what the block sends in each step is kept."""
        return self._trains is not None or self.wants_values(block)

    def wants_membranes(self, block: Block) -> bool:
        """Returns whether membranes of the block are kept."""
        return block.population in self._membranes


class Arrivals:
    """Adds up what arrives in a block, for a tile of samples."""

    def __init__(self, loaded: Loaded, samples: int) -> None:
        self._program = loaded.patterns, loaded.segments, loaded.weights, loaded.gid0, loaded.sizes
        self._samples = samples
        self._rows = np.empty(loaded.longest_link, np.uint64)

    def add(self, group: LinkGroup, values: Array, alive: Array, acc: Array, *, narrow: bool = False) -> None:
        """Adds Σ weight · value over the links of a group.

        Args:
            group: Links into the block.
            values: ``(S · M,)`` int32: what every neuron sends.
            alive: ``(B,)`` uint8: 0 where all values of a block are zero.
            acc: ``(S · n,)`` int32 or int64, added to.
            narrow: Whether four products add up in 16 bits.
        """
        if len(group.resting):
            scratch = self._rows, np.empty(self._rows.size, np.int16 if narrow else acc.dtype)
            rows = jit(kernels.accumulate_rows)
            rows(group.resting, *self._program, values, alive, acc, *scratch, self._samples)
        if len(group.moving):
            moving = jit(kernels.accumulate_moving)
            moving(group.moving, *self._program, values, alive, acc, self._samples)


def views(flat: Array, blocks: Sequence[Block], samples: int) -> list[Array]:
    """Returns the part of each block of an array over neurons, ``(S · n,)``."""
    return [flat[samples * b.gid0 : samples * (b.gid0 + b.n)] for b in blocks]


def input_values(loaded: Loaded, encoded: Sequence[Int64Array], rows: slice) -> dict[int, Int64Array]:
    """Returns the values ``(S, n)`` of each input block, by its index."""
    ports = {port.population: q for port, q in zip(loaded.program.inputs, encoded, strict=True)}
    return {b.index: ports[b.population][rows] for b in loaded.blocks if b.is_input}
