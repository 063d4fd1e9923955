"""What both paths share: the arrays of a tile of samples, and what a tile hands back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nmcompiler.sim.load import Block, Loaded
from nmcompiler.sim.result import Array, Int32Array, Int64Array, Record

__all__ = ["Store", "TileCounters", "input_values", "views"]


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
    """Recorded values of all samples, by population; tiles write disjoint rows."""

    def __init__(self, loaded: Loaded, samples: int, record: Record) -> None:
        sizes = loaded.population_sizes
        steps = loaded.program.total_steps
        read = {o.population for o in loaded.program.outputs}
        self._values = [np.zeros((samples, n), np.int32) for n in sizes] if record.values else None
        self._trains = [np.zeros((samples, steps, n), np.int32) for n in sizes] if record.trains else None
        self._membranes = {
            k: np.zeros((samples, n), np.int64) for k, n in enumerate(sizes) if record.membranes or k in read
        }
        self._record = record
        self.outputs = tuple(self._membranes[o.population] for o in loaded.program.outputs)

    @property
    def values(self) -> tuple[Int32Array, ...] | None:
        """``RunResult.values``."""
        return None if self._values is None else tuple(self._values)

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
        if self._values is not None:
            self._values[block.population][rows, block.positions] = values

    def add_sent(self, block: Block, rows: slice, step: int, sent: Array, weight: int) -> None:
        """Adds what a block sent in one step, ``(S, n)``, to its values, and keeps it."""
        if self._values is not None:
            self._values[block.population][rows, block.positions] += sent * np.int32(weight)
        if self._trains is not None:
            self._trains[block.population][rows, step, block.positions] = sent

    def put_membranes(self, block: Block, rows: slice, membranes: Array) -> None:
        """Keeps the membranes at firing ``(S, n)`` of a block."""
        if block.population in self._membranes:
            self._membranes[block.population][rows, block.positions] = membranes

    def wants_membranes(self, block: Block) -> bool:
        """Returns whether membranes of the block are kept."""
        return block.population in self._membranes


def views(flat: Array, blocks: Sequence[Block], samples: int) -> list[Array]:
    """Returns the part of each block of an array over neurons, ``(S · n,)``."""
    return [flat[samples * b.gid0 : samples * (b.gid0 + b.n)] for b in blocks]


def input_values(loaded: Loaded, encoded: Sequence[Int64Array], rows: slice) -> dict[int, Int64Array]:
    """Returns the values ``(S, n)`` of each input block, by its index."""
    ports = {port.population: q for port, q in zip(loaded.program.inputs, encoded, strict=True)}
    return {b.index: ports[b.population][rows] for b in loaded.blocks if b.is_input}
