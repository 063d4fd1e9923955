"""A program in memory: flat integer arrays and a small header. ``docs/program-format.md`` is its text.

Everything that decides a spike is in the arrays and in the header fields of ``Program``; ``names``,
``golden`` and ``source`` only serve people and checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from nmcompiler.ir.layers import HostOp
from nmcompiler.ir.spiking import Spiking
from nmcompiler.target.model import USUAL, Dynamics, InputEncoding, Target

__all__ = [
    "ARRAYS",
    "BLOCK_COLUMNS",
    "CROSSBAR_ARRAYS",
    "PASS_ARRAYS",
    "ROUTE_COLUMNS",
    "RUN_COLUMNS",
    "SEGMENT_COLUMNS",
    "BlockKind",
    "IntArray",
    "Names",
    "Program",
    "ProgramInput",
    "ProgramOutput",
]

IntArray: TypeAlias = npt.NDArray[np.integer[Any]]


class BlockKind(IntEnum):
    """How the synapses of a block are stored."""

    INPUT = 0  # neurons of the host, no synapses
    DENSE = 1  # one weight per synapse, whole rows
    SPARSE = 2  # one weight per synapse, rows with gaps
    SHARED_CONV = 3  # one kernel for all positions of the box
    TYPED_CROSSBAR = 4  # one bit per axon and neuron, and a weight per neuron and type of axon


BLOCK_COLUMNS: tuple[str, ...] = (
    "kind",  # BlockKind
    "core",  # row of `cores`, −1 for the host
    "population",  # number of the population
    "gid0",  # global number of the first neuron
    "n",  # neurons = height · width · channels, in a typed crossbar with their copies
    "y0",  # the box in its population
    "x0",
    "c0",
    "height",
    "width",
    "channels",
    "levels",  # L, 0 for a read-out
    "signed",  # 0; 1: spikes carry a sign; 2: a spike may be taken back (rate)
    "window",
    "fire_start",
    "steps",
    "param0",  # first entry in `theta`, `v0`, `current`
    "param_n",  # neuron i of the block uses entry param0 + i % param_n
    "weight0",  # first entry in `weights`
    "weight_n",
    "run0",  # first row in `runs`
    "run_n",
    "shift",  # arriving weights are multiplied by 2^shift
)
RUN_COLUMNS: tuple[str, ...] = (
    "axon0",  # first input axon on the block's core
    "n",  # axons
    "pattern",  # row of `patterns`
    "target0",  # first target neuron in the block
    "weight0",  # offset into the block's weights
    "weight_stride",  # step of the weight offset from axon to axon
    "target_stride",  # step of the target from axon to axon
)
SEGMENT_COLUMNS: tuple[str, ...] = ("weight", "target", "length")
ROUTE_COLUMNS: tuple[str, ...] = (
    "gid0",  # first source neuron
    "n",  # consecutive source neurons
    "core",  # destination core
    "axon0",  # first destination axon
    "delay",  # steps from sending to arriving, at least 1
)

# name -> (dtype, columns; 0 for a vector)
ARRAYS: Mapping[str, tuple[str, int]] = {
    "cores": ("<i4", 3),  # chip, row, column
    "blocks": ("<i8", len(BLOCK_COLUMNS)),
    "runs": ("<i4", len(RUN_COLUMNS)),
    "patterns": ("<i4", 0),  # (patterns + 1,) first row in `segments`
    "segments": ("<i4", len(SEGMENT_COLUMNS)),
    "weights": ("<i2", 0),
    "theta": ("<i8", 0),
    "v0": ("<i8", 0),
    "current": ("<i8", 0),
    "routes": ("<i4", len(ROUTE_COLUMNS)),
}

# Only in programs of several passes over the chips.
PASS_ARRAYS: Mapping[str, tuple[str, int]] = {
    "passes": ("<i4", 0),  # of each core: the pass in which it is loaded
}

# Only in programs with typed crossbars: all four, or none.
CROSSBAR_ARRAYS: Mapping[str, tuple[str, int]] = {
    "axon_types": ("<i4", 4),  # core, first axon, axons, type
    "crossbars": ("<i8", 3),  # block, types, first entry in `type_weights`
    "type_weights": ("<i2", 0),  # of neuron i for type t: entry weight0 + i · types + t
    "copies": ("<i4", 2),  # neuron, the neuron of its block that it is a copy of
}


@dataclass(frozen=True, eq=False)
class ProgramInput:
    """How the host turns samples into values of the input neurons.

    ``q = clip(floor((x[order] − offset) / scale + 1/2), −levels if signed else 0, levels)``, with ``scale``
    and ``offset`` per channel of the input population.

    Attributes:
        name: Name of the ONNX input.
        shape: Shape of one sample.
        population: Number of the input population.
        order: ``(n,)`` int64: input neuron i takes flat element ``order[i]`` of the sample.
        scale: ``(channels,)`` float64.
        offset: ``(channels,)`` float64.
        encoding: How the values enter the chip.
    """

    name: str
    shape: tuple[int, ...]
    population: int
    order: IntArray
    scale: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]
    encoding: InputEncoding


@dataclass(frozen=True, eq=False)
class ProgramOutput:
    """How the host turns what it reads from the chip into results.

    ``y[j] = scale · (r[order[j]] − r[off[j]])``, r in the flat order of the read-out population: the values
    that it sends where it has levels, else its membranes over ``2**shift`` (``Program.fraction_bits``).

    Attributes:
        name: Name of the ONNX output.
        shape: Shape of one sample.
        population: Number of the read-out population.
        order: ``(n,)`` int64.
        scale: One for all outputs.
        host_ops: What the host computes from that value, in order, to get the ONNX output.
        off: ``(n,)`` int64: the off halves; None where a value has no halves, and nothing is subtracted.
    """

    name: str
    shape: tuple[int, ...]
    population: int
    order: IntArray
    scale: float
    host_ops: tuple[HostOp, ...] = ()
    off: IntArray | None = None

    def read(self, results: IntArray) -> IntArray:
        """Returns whole numbers ``(N, n)`` of the output from the results ``(N, size)`` of its population.

        They count ``scale / 2**Program.fraction_bits(population)`` each.
        """
        read = results[:, self.order]
        return read if self.off is None else read - results[:, self.off]


@dataclass(frozen=True)
class Names:
    """For people: name, operator and ONNX nodes of each population, by number."""

    populations: tuple[str, ...]
    ops: tuple[str, ...]
    origins: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, eq=False)
class Program:
    """A placed program.

    Attributes:
        coding: Name of the spike code.
        fires_when: ``ge`` or ``gt``.
        membrane_bits: Bits of the registers, the sign included.
        window_starts: First step of each window.
        total_steps: Steps of one sample.
        arrays: The arrays of ``ARRAYS``, where there are typed crossbars those of ``CROSSBAR_ARRAYS``, and
            where there are several passes those of ``PASS_ARRAYS``.
        inputs: Ports of the host to the chip.
        outputs: Ports of the chip to the host.
        target: The chip it was made for.
        report: Facts of the compilation that cannot be read from the program, JSON values by name (the
            keys of ``nmc compile --json``); they decide no spike.
        names: Names for people, or None.
        golden: The spiking network that the program must compute, or None.
        source: Bytes of the ONNX file, or None.
        extra: Images of the backend, by path below ``extra/``.
        dynamics: How neurons reset, how low they go, and when they compare.
    """

    coding: str
    fires_when: Literal["ge", "gt"]
    membrane_bits: int
    window_starts: tuple[int, ...]
    total_steps: int
    arrays: Mapping[str, IntArray]
    inputs: tuple[ProgramInput, ...]
    outputs: tuple[ProgramOutput, ...]
    target: Target
    report: Mapping[str, Any] = field(default_factory=dict)
    names: Names | None = None
    golden: Spiking | None = None
    source: bytes | None = None
    extra: Mapping[str, bytes] = field(default_factory=dict)
    dynamics: Dynamics = USUAL

    def with_ties(self, seed: int) -> Program:
        """Returns the program with another order of events that come in the same step."""
        dynamics = replace(self.dynamics, ties=seed)
        golden = None if self.golden is None else replace(self.golden, dynamics=dynamics)
        return replace(self, dynamics=dynamics, golden=golden)

    @property
    def output_levels(self) -> int | None:
        """Largest value of the outputs; None where they are read from membranes."""
        read = np.isin(self.column("population"), [port.population for port in self.outputs])
        return int(self.column("levels")[read].max(initial=0)) or None

    def fraction_bits(self, population: int) -> int:
        """Returns the fractional bits of a population's results: the shift of membranes, 0 of values sent."""
        first = int(np.argmax(self.column("population") == population))
        return 0 if self.column("levels")[first] else int(self.column("shift")[first])

    def table(self, name: str) -> npt.NDArray[np.int64]:
        """Returns an array of ``CROSSBAR_ARRAYS``, an empty one where the program has no crossbars."""
        return self._tables[name]

    @cached_property
    def _tables(self) -> Mapping[str, npt.NDArray[np.int64]]:
        """The arrays of ``CROSSBAR_ARRAYS``, converted once: they are read core by core."""
        return {
            name: np.asarray(self.arrays.get(name, np.zeros((0, columns) if columns else 0)), dtype=np.int64)
            for name, (_, columns) in CROSSBAR_ARRAYS.items()
        }

    @cached_property
    def routes_by_core(self) -> tuple[npt.NDArray[np.int64], ...]:
        """For each core the routes that lead to it, ``(k, 5)``, in the order of ``routes``."""
        routes = np.asarray(self.arrays["routes"], dtype=np.int64)
        ordered = routes[np.argsort(routes[:, 2], kind="stable")]
        cores = len(self.arrays["cores"])
        return tuple(np.split(ordered, np.searchsorted(ordered[:, 2], np.arange(cores + 1))))[1:-1]

    @property
    def boxed(self) -> npt.NDArray[np.int64]:
        """``(blocks,)``: neurons of each block less their copies: those of its box."""
        sides = (self.column("height"), self.column("width"), self.column("channels"))
        return np.asarray(sides[0] * sides[1] * sides[2], dtype=np.int64)

    def column(self, name: str) -> npt.NDArray[np.int64]:
        """Returns one column of ``blocks``."""
        return np.asarray(self.arrays["blocks"][:, BLOCK_COLUMNS.index(name)], dtype=np.int64)

    @cached_property
    def turns(self) -> npt.NDArray[np.int64]:
        """``(cores,)``: the pass over the chips in which each core is loaded."""
        alone = np.zeros(len(self.arrays["cores"]), np.int64)
        return np.asarray(self.arrays.get("passes", alone), dtype=np.int64)

    @property
    def passes(self) -> int:
        """Number of passes over the chips."""
        return int(self.turns.max(initial=0)) + 1

    def with_arrays(self, **arrays: IntArray) -> Program:
        """Returns the program with some arrays exchanged."""
        return replace(self, arrays={**self.arrays, **arrays})

    @property
    def neurons(self) -> int:
        """Number of neurons, inputs included."""
        return int(self.column("n").sum())
