"""Chips that differ from one another, as whoever calibrates them sees them.

What a chip drew is its own secret: a session shows what a host can read off it, spikes and codes of ADCs,
and sets what it can trim. Compensation is written against that alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from nmcompiler.program.layout import IntArray, Program
from nmcompiler.sim import Simulator
from nmcompiler.sim.result import Array, Int64Array

__all__ = [
    "Calibration",
    "ChipSession",
    "Compensation",
    "Measurement",
    "Per",
    "TrimRange",
    "VariableBackend",
]

Per: TypeAlias = Literal["neuron", "tile", "column", "pair"]
"""What has a code of its own: a neuron; a tile of a block; a column of a tile of a block; a pair of a neuron
that drives a read-out and that read-out.

Arrays of codes stand in the order of neurons (inputs included), or of blocks and of tiles in each. Columns
stand tile by tile, pairs read-out block by block: ``(drivers, n)`` in flat order, drivers by their number.
"""


@dataclass(frozen=True)
class TrimRange:
    """What one kind of trim can be set to.

    Attributes:
        lowest: Lowest code.
        highest: Highest code.
        default: Code of a chip that nobody trimmed.
        step: What one code is worth, in ``unit``.
        unit: What is counted: ``of the range``, ``of the threshold``, ``units of weights``.
        per: What has a code of its own.
        count: How many codes there are.
    """

    lowest: int
    highest: int
    default: int
    step: float
    unit: str
    per: Per
    count: int


@dataclass(frozen=True, eq=False)
class Measurement:
    """What a host can read off a chip after running S samples on it, by row of ``blocks``.

    Attributes:
        spikes: ``(S, n)`` int64 of every block that sends, inputs included: spikes of each neuron, in
            ``phase`` the value that its digits spell, with its sign.
        adc: What ADCs read, in whole units of the program's weights, before any gain or offset of columns and
            outputs: ``(S, n)`` int64, or of a block on T tiles ``(S, T, n)``, added up over digits.
        peaks: Of blocks on tiles ``(T,)`` int64: the largest magnitude of one code of each tile.
    """

    spikes: Mapping[int, Int64Array]
    adc: Mapping[int, Int64Array]
    peaks: Mapping[int, Int64Array] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Samples, and what the golden network of the program answers to them; labels are never among it.

    Attributes:
        x: Samples ``(S, *shape)`` by input port.
        values: By row of ``blocks`` ``(S, n)`` int64: the integers that its neurons stand for; of blocks that
            send.
        membranes: By row of ``blocks`` ``(S, n)`` int64: membranes at firing, of membrane read-outs the
            result; of all blocks but inputs, in ``rate`` of membrane read-outs only.
        outputs: By output port ``(S, n)``: whole numbers, as ``ProgramOutput.read`` gives them.
    """

    x: Mapping[str, Array]
    values: Mapping[int, Int64Array]
    membranes: Mapping[int, Int64Array]
    outputs: Mapping[str, Array]


class ChipSession(Protocol):
    """One chip with a program in it; it never shows what it drew.

    Attributes:
        program: What the chip was given: intended integers.
    """

    program: Program

    @property
    def ranges(self) -> Mapping[str, TrimRange]:
        """What can be trimmed, by name."""
        ...

    @property
    def trim(self) -> Mapping[str, IntArray]:
        """The present codes ``(count,)``, by name."""
        ...

    def span(self, name: str, block: int) -> slice:
        """Returns where the codes of one block stand among those of a trim."""
        ...

    def configure(self, trim: Mapping[str, IntArray]) -> None:
        """Sets the codes ``(count,)`` of some trims; the others stay as they are.

        Raises:
            UsageError: There is no such trim, or a code is out of its range.
        """
        ...

    def measure(self, x: Mapping[str, Array], blocks: Collection[int] | None = None) -> Measurement:
        """Runs samples on the chip with its present trims, and returns what was read.

        Args:
            x: Samples ``(S, *shape)`` by input port.
            blocks: Rows of ``blocks`` whose ADCs are wanted; None for all. Spikes are read of every block
                that sends before the last of them, and of itself.
        """
        ...

    def simulator(self) -> Simulator:
        """Returns the simulator of the chip with its present trims."""
        ...


class Compensation(Protocol):
    """One way to make a chip behave more like its program.

    Attributes:
        name: ``threshold``, ``bias``, ``adc-range``, ``tile-scale``, ``column``, ``output``.
    """

    @property
    def name(self) -> str:
        """Identifier."""
        ...

    def apply(self, session: ChipSession, calibration: Calibration, blocks: Sequence[int]) -> None:
        """Trims one layer of the chip; all layers before it are trimmed already.

        The calibration samples are all that it may run, and what it measures all that it may know.

        Args:
            session: The chip.
            calibration: Samples, and the golden network's answers.
            blocks: Rows of ``blocks``, no inputs, that fire in the same window.
        """
        ...


@runtime_checkable
class VariableBackend(Protocol):
    """What a backend offers beside ``Backend`` where its chips differ from one another."""

    def sources(self, program: Program) -> tuple[str, ...]:
        """Returns what varies from chip to chip."""
        ...

    def session(
        self, program: Program, *, chip_seed: int, sources: Collection[str] | None = None
    ) -> ChipSession:
        """Returns a chip, not trimmed; ``sources`` are those that vary, None for all.

        Raises:
            UsageError: There is no such source.
        """
        ...

    def compensations(self, program: Program) -> tuple[Compensation, ...]:
        """Returns what its chips can be compensated by, in the order in which it is applied."""
        ...
