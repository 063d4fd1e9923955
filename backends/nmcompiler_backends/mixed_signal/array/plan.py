"""What every chip with the same program shares: its loaded program, and the synapses of every block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from nmcompiler.errors import InputFileError, NotVerified
from nmcompiler.program.layout import Program
from nmcompiler.sim.certificate import Certificate
from nmcompiler.sim.engine import Simulator
from nmcompiler.sim.load import Block, Loaded
from nmcompiler.target import NeuronArray
from nmcompiler_backends.mixed_signal.array.synapses import Rows, synapse_rows

__all__ = ["BlockPlan", "Plan", "plan_of"]

Ints: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class BlockPlan:
    """One block on the array.

    Attributes:
        block: The block.
        rows: Its synapses.
        begin: The step of the program from which on its neurons integrate.
        largest: The largest sum that a neuron can receive at once, in the program's whole numbers.
        sources: Rows of ``blocks`` that it reads.
        exact: Whether it is computed by the router, in which nothing varies.
        copies: How many synapses hold each of its weights, and each of its biases.
    """

    block: Block
    rows: Rows
    begin: int
    largest: int
    sources: tuple[int, ...]
    exact: bool
    copies: int

    @property
    def waits(self) -> int:
        """Steps that its neurons integrate before they may fire."""
        return self.block.slot.fire_start - self.begin


@dataclass(frozen=True, eq=False)
class Plan:
    """A program on arrays.

    Attributes:
        loaded: The program, for kernels.
        certificate: Which of its blocks cannot saturate.
    """

    loaded: Loaded
    certificate: Certificate

    @property
    def array(self) -> NeuronArray:
        """What the target says of its arrays."""
        array = self.loaded.program.target.neuron_array
        assert array is not None
        return array

    @cached_property
    def blocks(self) -> Mapping[int, BlockPlan]:
        """Every block that is no input, by its row in ``blocks``.

        Raises:
            InputFileError: The program is none that an array can run.
            NotVerified: A value of the program may leave its range, or a spike come at a time that it does
                not weigh.
        """
        if self.loaded.coding.windowed and not self.certificate.windowed:
            raise NotVerified(
                "a sum may leave its range, or a digit arrive when it weighs something else",
                asked="the neuron array of this program",
                hint="compile it again; only programs whose certificate holds run on arrays",
            )
        return {b.index: self._planned(b) for b in self.loaded.blocks if not b.is_input}

    @cached_property
    def outputs(self) -> tuple[int, ...]:
        """Rows of ``blocks`` whose membranes are the result."""
        return tuple(b.index for b in self.loaded.blocks if b.is_readout)

    @cached_property
    def peaks(self) -> Ints:
        """``(M,)``: the largest value of each neuron."""
        return np.repeat([b.levels for b in self.loaded.blocks], [b.n for b in self.loaded.blocks])

    def _planned(self, block: Block) -> BlockPlan:
        rows, slot = synapse_rows(self.loaded, block), block.slot
        if len(rows.source) and rows.source.max() >= block.gid0:
            raise InputFileError(f"block {block.index} of the program reads one that comes after it")
        if block.signed and not block.is_readout and not self.loaded.coding.windowed:
            raise InputFileError(
                f"block {block.index} of the program sends signed spikes, which analog neurons have not",
                hint="compile it again for this chip",
            )
        begin = min(int(rows.arrives.min(initial=slot.fire_start)), slot.fire_start)
        shift = int(self.loaded.program.column("shift")[block.index])
        first = np.array([b.gid0 for b in self.loaded.blocks])
        sources = np.unique(np.searchsorted(first, rows.source, side="right") - 1)
        return BlockPlan(
            block=block,
            rows=rows,
            begin=begin,
            largest=rows.largest(self.peaks, block.n) >> shift,
            sources=tuple(sources.tolist()),
            exact=self._exact(block, rows, 1 << shift),
            copies=self._copies(block, rows),
        )

    def _copies(self, block: Block, rows: Rows) -> int:
        """Returns how often the fan-in of a neuron has room for the synapses of every neuron of a block."""
        program = self.loaded.program
        place = program.arrays["cores"][int(program.column("core")[block.index])]
        kind = program.target.core_type(int(place[1]) * program.target.mesh.columns + int(place[2]))
        limit = program.target.core_types[kind].limits.fan_in
        if limit is None:
            return self.array.synapse_copies
        taken = int(np.bincount(rows.synapses[2], minlength=1).max()) + 1  # its bias is one of them
        return max(1, min(self.array.synapse_copies, limit // taken))

    def _exact(self, block: Block, rows: Rows, unit: int) -> bool:
        """Returns whether a block only adds and subtracts few enough whole numbers of its sources."""
        mine = slice(block.gid0, block.gid0 + block.n)
        theta, current = self.loaded.theta[mine], self.loaded.current[mine]
        start = 0 if self.loaded.coding.windowed else unit // 2
        plain = (theta == unit).all() and (self.loaded.v0[mine] - self.loaded.above == start).all()
        if block.is_readout or not plain or current.any() or (np.abs(rows.weights) != unit).any():
            return False
        terms = np.bincount(rows.synapses[2], minlength=1).max()
        return bool(terms <= self.array.digital_terms)


@lru_cache(maxsize=2)
def plan_of(program: Program) -> Plan:
    """Returns the plan of a program; those of the last programs are kept, since chips are many.

    Raises:
        InputFileError: The program is damaged.
    """
    digital = Simulator(program)
    return Plan(digital._loaded, digital.certificate)
