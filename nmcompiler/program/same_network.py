"""Whether two programs hold the same integer network, whatever their codes, chips and placements.

Both networks are read back from cores and routes (``lift``) and compared number by number: shapes, levels,
signs, thresholds, biases, and the sum of all synapses between every two neurons. Populations are compared in
the order of the programs, so networks that differ in nothing but that order are not found equal; names decide
nothing. In a free-running code the chip holds currents and starts in place of the network's biases, so
thresholds and biases come there from the golden network, which counts only where ``lift`` has proved it to be
the program's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nmcompiler.errors import NotVerified
from nmcompiler.ir.kernels import Array, Shape
from nmcompiler.ir.network import Population
from nmcompiler.program import lifted as reading
from nmcompiler.program.layout import Program
from nmcompiler.program.lift import lift
from nmcompiler.program.lifted import Lifted, LiftedPopulation, sum_synapses
from nmcompiler.program.usage import block_facts

__all__ = ["NetworkComparison", "PopulationDifference", "compare_networks", "same_arrays", "same_ports"]


@dataclass(frozen=True)
class PopulationDifference:
    """How many numbers of one population differ.

    Attributes:
        number: The number of the population.
        weights: Pairs of neurons, into this population, whose synapses have another sum.
        thresholds: Neurons with another threshold.
        biases: Neurons with another bias.
        levels: Whether the largest value or the sign differs.
    """

    number: int
    weights: int
    thresholds: int
    biases: int
    levels: bool

    def __bool__(self) -> bool:
        """Returns whether anything differs."""
        return bool(self.weights or self.thresholds or self.biases or self.levels)


@dataclass(frozen=True)
class NetworkComparison:
    """The verdict.

    Attributes:
        same: Whether the integer networks are equal; None where the programs do not tell.
        reason: Why they are not, or why it cannot be told, as a clause; empty where they are equal.
        differing: The populations that differ, ascending; empty too where their shapes cannot be matched.
    """

    same: bool | None
    reason: str = ""
    differing: tuple[PopulationDifference, ...] = ()


@dataclass(frozen=True, eq=False)
class _Values:
    """The numbers of a population's neurons in the integer network, None where the program does not tell."""

    levels: int
    signed: bool | None
    theta: Array | None
    bias: Array | None


@dataclass(frozen=True, eq=False)
class _Held:
    """The integer network that one program holds."""

    lifted: Lifted
    values: tuple[_Values, ...]
    load: tuple[int, ...]  # synapses into each population
    boxes: tuple[int, ...]  # neurons of each block that are no copies
    doubt: str  # why an unseen difference is possible

    @property
    def shapes(self) -> tuple[tuple[Shape, bool], ...]:
        return tuple((p.shape, p.is_input) for p in self.lifted.populations)


def compare_networks(a: Program, b: Program, *, proved: tuple[bool, bool]) -> NetworkComparison:
    """Returns whether two programs hold the same integer network.

    Args:
        a: A program.
        b: Another.
        proved: Whether ``check_lift`` found each to be its golden network.
    """
    if same_arrays(a, b):
        return NetworkComparison(True)
    held = []
    for program, trusted in zip((a, b), proved, strict=True):
        try:
            held.append(_held(program, trusted))
        except NotVerified as error:
            return NetworkComparison(None, error.sentence())
    one, other = held
    if len(one.shapes) != len(other.shapes):
        counts = f"{len(one.shapes)} populations against {len(other.shapes)}"
        return NetworkComparison(False, f"the networks have {counts}")
    for number, (first, second) in enumerate(zip(one.shapes, other.shapes, strict=True)):
        if first != second:
            return NetworkComparison(
                False, f"population {number} is {_form(*first)} against {_form(*second)}"
            )
    differing = tuple(filter(None, (_difference(one, other, n) for n in range(len(one.shapes)))))
    if differing:
        return NetworkComparison(False, "numbers differ", differing)
    doubt = one.doubt or other.doubt
    return NetworkComparison(None, doubt) if doubt else NetworkComparison(True)


def same_arrays(a: Program, b: Program) -> bool:
    """Returns whether everything that decides a spike is equal: arrays, clock and registers."""
    header = [
        (p.coding, p.fires_when, p.membrane_bits, p.dynamics, tuple(p.window_starts), p.total_steps)
        for p in (a, b)
    ]
    return (
        header[0] == header[1]
        and a.arrays.keys() == b.arrays.keys()
        and all(np.array_equal(a.arrays[name], b.arrays[name]) for name in a.arrays)
        and [p.encoding for p in a.inputs] == [p.encoding for p in b.inputs]
        and same_ports(a, b)
    )


def same_ports(a: Program, b: Program) -> bool:
    """Returns whether samples become integers, and integers results, in the same way; names are not read."""
    ports = [(p.inputs, p.outputs) for p in (a, b)]
    if len(ports[0][0]) != len(ports[1][0]) or len(ports[0][1]) != len(ports[1][1]):
        return False
    given = all(
        (x.population, tuple(x.shape)) == (y.population, tuple(y.shape))
        and np.array_equal(x.order, y.order)
        and np.array_equal(x.scale, y.scale)
        and np.array_equal(x.offset, y.offset)
        for x, y in zip(ports[0][0], ports[1][0], strict=True)
    )
    return given and all(
        (x.population, tuple(x.shape), x.scale, x.host_ops)
        == (y.population, tuple(y.shape), y.scale, y.host_ops)
        and np.array_equal(x.order, y.order)
        and (x.off is None) == (y.off is None)
        and (x.off is None or y.off is None or np.array_equal(x.off, y.off))
        for x, y in zip(ports[0][1], ports[1][1], strict=True)
    )


def _held(program: Program, proved: bool) -> _Held:
    found = lift(program)
    windowed = len(program.window_starts) > 1
    golden = tuple(program.golden.network.graph) if program.golden is not None and proved else None
    values = []
    for number, population in enumerate(found.populations):
        if windowed or population.is_input:
            values.append(_as_placed(population))
        elif golden is not None:
            values.append(_as_golden(golden[number]))
        else:
            values.append(_Values(population.levels, None, None, None))
    counts = np.zeros(len(found.populations), np.int64)
    np.add.at(counts, program.column("population"), block_facts(program).synapses)
    doubt = "" if golden is not None else _doubt(program, windowed)
    return _Held(found, tuple(values), tuple(counts.tolist()), tuple(program.boxed.tolist()), doubt)


def _doubt(program: Program, windowed: bool) -> str:
    """Returns what lift cannot read from a program without a proved golden network."""
    if not windowed:
        return (
            "weights and levels are equal, but thresholds and biases of a free-running code stand only in a "
            "proved golden network, and a program carries none (compile without --no-source)"
        )
    if len(program.table("copies")):
        return (
            "no number differs, but synapses of copies are proved only against a golden network, and a "
            "program carries none (compile without --no-source)"
        )
    return ""


def _as_placed(population: LiftedPopulation) -> _Values:
    return _Values(population.levels, population.signed == 1, population.theta, population.bias)


def _as_golden(population: Population) -> _Values:
    theta, bias = (np.broadcast_to(x, population.shape) for x in (population.theta, population.bias))
    return _Values(population.levels, population.signed, theta, bias)


def _form(shape: Shape, is_input: bool) -> str:
    return f"{'an input of ' if is_input else ''}{' × '.join(map(str, shape))}"


def _difference(a: _Held, b: _Held, number: int) -> PopulationDifference:
    one, other = a.values[number], b.values[number]
    signs = {one.signed, other.signed} - {None}
    return PopulationDifference(
        number=number,
        weights=sum(_weights(a, b, number, *span) for span in _ranges(a, b, number)),
        thresholds=_unequal(one.theta, other.theta),
        biases=_unequal(one.bias, other.bias),
        levels=one.levels != other.levels or len(signs) > 1,
    )


def _unequal(a: Array | None, b: Array | None) -> int:
    return 0 if a is None or b is None else int((a != b).sum())


def _ranges(a: _Held, b: _Held, number: int) -> Iterator[tuple[int, int]]:
    """Yields ranges of a population's neurons, so small that the synapses into one fit memory."""
    count = int(np.prod(a.lifted.populations[number].shape))
    size = max(1, count * reading.CHUNK_SYNAPSES // max(a.load[number], b.load[number], 1))
    for start in range(0, count, size):
        yield start, min(start + size, count)


def _weights(a: _Held, b: _Held, number: int, start: int, stop: int) -> int:
    """Returns how many pairs of neurons have synapses of another sum, the target within a range.

    The synapses of one program are added to those of the other with the sign turned: what is equal vanishes.
    """
    one, other = (_synapses(held, number, start, stop) for held in (a, b))
    target, source = (np.concatenate([x, y]) for x, y in zip(one[:2], other[:2], strict=True))
    left, _, _ = sum_synapses(target, source, np.concatenate([one[2], -other[2]]))
    return len(left)


def _synapses(held: _Held, number: int, start: int, stop: int) -> tuple[Array, Array, Array]:
    """Returns the synapses into some neurons of a population: target, source and weight, delays left out.

    Targets are positions in the population, sources places in ``Lifted.place``. Copies are left out.
    """
    lifted = held.lifted
    parts: list[tuple[Array, Array, Array]] = [(np.zeros(0, np.int64),) * 3]
    for block, box in zip(lifted.blocks, held.boxes, strict=True):
        if block.population != number or block.core < 0:
            continue
        originals = block.flat[:box]  # ascending, as the flat order of any box is
        low, high = (int(x) for x in np.searchsorted(originals, [start, stop]))
        if low < high:
            found = lifted.synapses(block, low, high)
            place = found.source % len(lifted.place)
            parts.append((originals[low + found.target], place, found.weight))
    target, source, weight = (np.concatenate(x) for x in zip(*parts, strict=True))
    return target, source, weight
