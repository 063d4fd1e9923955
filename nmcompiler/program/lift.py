"""Reads the integer network back from a placed program and compares it with the golden one.

This needs no data, so it runs at every compile: it is what 'proved on the placed program' means.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nmcompiler.errors import NotVerified
from nmcompiler.ir.kernels import Array, Kernel, Shape
from nmcompiler.ir.network import Population
from nmcompiler.ir.spiking import Spiking
from nmcompiler.program.expand import Synapses, expand
from nmcompiler.program.layout import BLOCK_COLUMNS, BlockKind, Program
from nmcompiler.program.lifted import Block, BlockSynapses, Lifted, LiftedPopulation, sum_synapses
from nmcompiler.program.slices import block_turns
from nmcompiler.program.structure import fault

__all__ = ["LiftReport", "Lifted", "LiftedPopulation", "check_lift", "difference", "lift"]


@dataclass(frozen=True)
class LiftReport:
    """What lift found.

    Attributes:
        ok: Whether the program is the golden network.
        message: The first difference, or a sentence that there is none.
        populations: Populations read.
        synapses: Synapses of the golden network that were found, those of weight 0 left out.
    """

    ok: bool
    message: str
    populations: int
    synapses: int


def lift(program: Program) -> Lifted:
    """Returns the integer network that a program computes.

    Raises:
        NotVerified: The program's numbers point at things that do not exist, blocks overlap or leave
            holes, or blocks of one population differ.
    """
    message = fault(program)
    if message is not None:
        raise NotVerified(f"the program cannot be read back: {message}")
    rows = program.arrays["blocks"].astype(np.int64)
    population = program.column("population")
    numbers = range(int(population.max()) + 1)
    return Lifted(program, tuple(_population(program, n, rows[population == n]) for n in numbers))


def _population(program: Program, number: int, rows: Array) -> LiftedPopulation:
    column = {name: rows[:, i] for i, name in enumerate(BLOCK_COLUMNS)}
    for name in ("levels", "signed", "window", "fire_start", "steps", "shift"):
        if (column[name] != column[name][0]).any():
            raise NotVerified(f"blocks of population {number} differ in {name}")
    host = column["kind"] == BlockKind.INPUT
    if host.any() and not host.all():
        raise NotVerified(f"blocks of population {number} lie partly on the host")
    shape = tuple(
        int((column[a] + column[b]).max()) for a, b in (("y0", "height"), ("x0", "width"), ("c0", "channels"))
    )
    boxed = column["height"] * column["width"] * column["channels"]
    if np.prod(np.array(shape, np.float64)) != boxed.sum():
        raise NotVerified(f"blocks of population {number} overlap or leave holes")
    covered = np.zeros(shape, np.bool_)
    values = {name: np.zeros(shape, np.int64) for name in ("theta", "v0", "current")}
    for row in rows:
        block = dict(zip(BLOCK_COLUMNS, row.tolist(), strict=True))
        place = tuple(
            slice(block[a], block[a] + block[b])
            for a, b in (("y0", "height"), ("x0", "width"), ("c0", "channels"))
        )
        covered[place] = True
        entry = block["param0"] + np.arange(block["n"]) % block["param_n"]
        box = (block["height"], block["width"], block["channels"])
        size = int(np.prod(box))
        for name, array in values.items():
            array[place] = program.arrays[name][entry[:size]].reshape(box)
        _same_copies(program, number, block["gid0"] + size, block["gid0"], entry)
    if not covered.all():
        raise NotVerified(f"blocks of population {number} overlap or leave holes")
    above = int(program.fires_when == "gt" and not host[0])
    times = {name: int(column[name][0]) for name in ("levels", "signed", "window", "fire_start", "steps")}
    return LiftedPopulation(
        number=number,
        shape=(shape[0], shape[1], shape[2]),
        is_input=bool(host[0]),
        shift=int(column["shift"][0]),
        theta=values["theta"],
        v0=values["v0"] - above,
        current=values["current"],
        **times,
    )


def _same_copies(program: Program, population: int, first: int, gid0: int, entry: Array) -> None:
    """Raises where a copy, the first of a block being ``first``, has other parameters than its original."""
    copies = program.table("copies")
    low, end = np.searchsorted(copies[:, 0], [first, gid0 + len(entry)])
    mine = copies[low:end] - gid0
    for name in ("theta", "v0", "current"):
        values = program.arrays[name][entry]
        differs = np.flatnonzero(values[mine[:, 0]] != values[mine[:, 1]])
        if len(differs):
            copy, original = mine[differs[0]].tolist()
            raise NotVerified(
                f"{name} of a copy in population {population} is {values[copy]}, and {values[original]} of "
                f"the neuron that it is a copy of"
            )


def check_lift(program: Program, spiking: Spiking) -> LiftReport:
    """Returns whether a program is exactly the spiking network, and the first difference where it is not.

    Compared are every synapse with its delay, θ, bias, start, current, levels, sign, time of firing, the
    clock, and the tables of the ports.
    """
    try:
        lifted = lift(program)
    except NotVerified as error:
        return LiftReport(False, error.sentence(), 0, 0)
    count = len(lifted.populations)
    for message in _facts(lifted, spiking):
        return LiftReport(False, message, count, 0)
    synapses = _Comparison(lifted, spiking)
    for message in synapses.differences():
        return LiftReport(False, message, count, 0)
    sentence = f"the placed program is the integer network: {count} populations, {synapses.count} synapses"
    return LiftReport(True, sentence, count, synapses.count)


def difference(lifted: Lifted, spiking: Spiking) -> str | None:
    """Returns the first difference between a lifted and a golden network, or None."""
    for message in _facts(lifted, spiking):
        return message
    return next(_Comparison(lifted, spiking).differences(), None)


def _facts(lifted: Lifted, spiking: Spiking) -> Iterator[str]:
    """Yields the differences in everything but the synapses."""
    golden = tuple(spiking.network.graph)
    yield from _clock(lifted.program, spiking)
    if len(golden) != len(lifted.populations):
        yield f"the program has {len(lifted.populations)} populations, the network {len(golden)}"
        return
    for found, population in zip(lifted.populations, golden, strict=True):
        yield from _population_differences(found, population, spiking)
    yield from _port_differences(lifted.program, spiking)
    yield from _crossbar_faults(lifted.program)


def _crossbar_faults(program: Program) -> Iterator[str]:
    """Yields what a core of the chip could not be: type weights too wide, neurons that reach too much."""
    crossbar, fan_out = program.target.crossbar, program.target.axon_fan_out
    typed = program.table("crossbars")
    if crossbar is None:
        if len(typed):
            yield "the program has typed crossbars, which the chip has not"
        return
    if (program.column("kind") != BlockKind.INPUT).sum() != len(typed):
        yield "the program has blocks that are no typed crossbars, which the chip has alone"
        return
    shift, n = program.column("shift"), program.column("n")
    low, high = -(1 << crossbar.weight_bits - 1), (1 << crossbar.weight_bits - 1) - 1
    for block, types, first in typed.tolist():
        held = program.table("type_weights")[first : first + n[block] * types] << shift[block]
        if types > crossbar.axon_types or held.min(initial=0) < low or held.max(initial=0) > high:
            yield f"block {block} has {types} type weights from {held.min()} to {held.max()}"
    if fan_out is not None:
        on_chip = np.repeat(program.column("kind") != BlockKind.INPUT, n)
        most = int(_reached_axons(program)[on_chip].max(initial=0))
        if most > fan_out:
            yield f"a neuron reaches {most} axons, and one of the chip at most {fan_out}"


def _reached_axons(program: Program) -> Array:
    """Returns the axons that each neuron reaches, ``(neurons,)``; the host is one for all later passes."""
    _, n, core, _, _ = routes = program.arrays["routes"].astype(np.int64).T
    gid = np.repeat(routes[0] - np.cumsum(n) + n, n) + np.arange(n.sum())
    turn = np.repeat(block_turns(program), program.column("n"))
    later = np.repeat(program.turns[core], n) > turn[gid]
    now, kept = (np.bincount(gid[which], minlength=program.neurons) for which in (~later, later))
    reached: Array = now + (kept > 0)
    return reached


def _clock(program: Program, spiking: Spiking) -> Iterator[str]:
    schedule = spiking.schedule
    pairs = {
        "coding": (program.coding, spiking.coding),
        "coding of the schedule": (program.coding, schedule.coding),
        "window_starts": (tuple(program.window_starts), tuple(schedule.window_starts)),
        "total_steps": (program.total_steps, schedule.total_steps),
        "fires_when": (program.fires_when, program.target.fires_when),
        "membrane_bits": (program.membrane_bits, program.target.membrane_bits),
        "reset": (program.dynamics.reset, spiking.dynamics.reset),
        "membrane_floor": (program.dynamics.floor, spiking.dynamics.floor),
        "compares": (program.dynamics.compares, spiking.dynamics.compares),
        "ties": (program.dynamics.ties, spiking.dynamics.ties),
    }
    for name, (found, expected) in pairs.items():
        if found != expected:
            yield f"{name} of the program is {found}, not {expected}"


def _population_differences(
    found: LiftedPopulation, population: Population, spiking: Spiking
) -> Iterator[str]:
    slot = spiking.schedule.slots[population.name]
    neurons = spiking.neurons.get(population.name)
    pairs = {
        "shape": (found.shape, tuple(population.shape)),
        "place on the host": (found.is_input, population.role == "input"),
        "levels": (found.levels, population.levels),
        "levels of the slot": (found.levels, slot.levels),
        "signed": (found.signed, int(slot.signed) if neurons is None else neurons.signed),
        "window": (found.window, slot.window),
        "fire_start": (found.fire_start, slot.fire_start),
        "steps": (found.steps, slot.steps),
        "shift": (found.shift, 0 if neurons is None else neurons.shift),
    }
    for name, (value, expected) in pairs.items():
        if value != expected:
            yield f"{name} of population '{population.name}' is {value}, not {expected}"
            return
    zero = np.zeros((1, 1, 1), np.int64)
    arrays: dict[str, tuple[Array, Array]] = {
        "theta": (found.theta, population.theta << found.shift if neurons is None else neurons.theta),
        "v0": (found.v0, zero if neurons is None else neurons.v0),
        "current": (found.current, zero if neurons is None else neurons.current),
    }
    if spiking.schedule.windows > 1:
        # In codes with windows the neurons hold the integer network itself, whatever the code made of it.
        arrays |= {"bias": (found.bias, population.bias), "threshold": (found.theta, population.theta)}
    for name, (values, wanted) in arrays.items():
        place = np.argwhere(values != np.broadcast_to(wanted, values.shape))
        if len(place):
            y, x, c = place[0].tolist()
            golden = np.broadcast_to(wanted, values.shape)[y, x, c]
            yield (
                f"{name} of population '{population.name}' at row {y}, column {x}, channel {c} is "
                f"{values[y, x, c]}, not {golden}"
            )


def _port_differences(program: Program, spiking: Spiking) -> Iterator[str]:
    network = spiking.network
    numbers = {name: i for i, name in enumerate(network.graph.names())}
    if len(program.inputs) != len(network.inputs) or len(program.outputs) != len(network.outputs):
        yield "the program has another number of inputs or outputs than the network"
        return
    for given, port in zip(program.inputs, network.inputs, strict=True):
        node = network.graph.node(port.node)
        same = (
            (given.name, given.shape, given.population) == (port.name, tuple(port.shape), numbers[port.node])
            and given.encoding == spiking.input_encoding
            and np.array_equal(given.order, port.order)
            and np.array_equal(given.scale, node.scale)
            and np.array_equal(given.offset, node.offset)
        )
        if not same:
            yield f"input '{port.name}' differs from the network's in name, shape, population or tables"
    for out, wanted in zip(program.outputs, network.outputs, strict=True):
        node = network.graph.node(wanted.node)
        same = (
            (out.name, out.shape, out.population) == (wanted.name, tuple(wanted.shape), numbers[wanted.node])
            and np.array_equal(out.order, wanted.order)
            and np.array_equal(_or_none(out.off), _or_none(wanted.off))
            and bool((np.abs(node.scale) == abs(out.scale)).all())
            and out.scale == node.scale[0]
            and out.host_ops == tuple(wanted.host_ops)
        )
        if not same:
            yield f"output '{wanted.name}' differs from the network's in name, shape, population or tables"


def _or_none(order: Array | None) -> Array:
    """Returns an order, an empty one where there is none."""
    return np.zeros(0, np.int64) if order is None else order


class _Comparison:
    """Compares all synapses; ``count`` grows with those that agree."""

    def __init__(self, lifted: Lifted, spiking: Spiking) -> None:
        self.lifted = lifted
        self.spiking = spiking
        self.populations = tuple(spiking.network.graph)
        self.numbers = {p.name: i for i, p in enumerate(self.populations)}
        self.count = 0

    def differences(self) -> Iterator[str]:
        """Yields the differences, at most one for each range of neurons."""
        for block in self.lifted.blocks:
            for start, stop, found in self.lifted.ranges(block):
                message = self._compare(block, start, stop, found)
                if message is not None:
                    yield message

    def _compare(self, block: Block, start: int, stop: int, found: BlockSynapses) -> str | None:
        golden = self._golden(block, start, stop)
        packed = [self._packed(s) for s in (found, golden)]
        if packed[0] is not None and packed[1] is not None and np.array_equal(packed[0], packed[1]):
            self.count += len(packed[0])
            return None
        a = sum_synapses(found.target, found.source, found.weight)
        b = sum_synapses(golden.target, golden.source, golden.weight)
        if all(np.array_equal(x, y) for x, y in zip(a, b, strict=True)):
            self.count += len(a[0])
            return None
        return self._describe(block, start, a, b)

    def _packed(self, synapses: BlockSynapses) -> Array | None:
        """Returns the synapses as sorted whole numbers (target, source, weight), zeros dropped.

        Equal lists are equal networks. None where a number does not fit 63 bits.
        """
        codes = (self._max_delay + 1) * len(self.lifted.place)
        kept = synapses.weight != 0
        weight: Array = synapses.weight[kept] + (1 << 15)
        target = synapses.target[kept]
        if not len(weight):
            return weight
        if weight.min() < 0 or weight.max() >= 1 << 16 or (int(target.max()) + 1) * codes >= 1 << 47:
            return None
        packed: Array = target * codes
        packed += synapses.source[kept]
        packed <<= 16
        packed |= weight
        packed.sort()
        return packed

    @cached_property
    def _max_delay(self) -> int:
        delays = self.lifted.program.arrays["routes"][:, 4]
        return max(int(delays.max(initial=1)), *self.spiking.schedule.delays.values(), 1)

    def _golden(self, block: Block, start: int, stop: int) -> BlockSynapses:
        """Returns the synapses that a range of a block's neurons should have, by direct formula."""
        population = self.populations[block.population]
        parts: list[tuple[Array, Array, Array]] = [(np.zeros(0, np.int64),) * 3]
        for edge in self.spiking.network.graph.in_edges(population.name):
            number = self.numbers[edge.source]
            shape: Shape = self.populations[number].shape
            target, source, weight = _expanded(
                edge.payload.kernel, shape, population.shape, block.flat[start:stop]
            )
            delay = self.spiking.schedule.delay(edge.source, population.name)
            code = delay * len(self.lifted.place) + int(self.lifted.first_place[number])
            parts.append((target, source + code, weight))
        return BlockSynapses(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _describe(
        self, block: Block, start: int, found: tuple[Array, Array, Array], golden: tuple[Array, Array, Array]
    ) -> str:
        """Returns a sentence about the first synapse that differs."""
        sides = [
            dict(zip(zip(t.tolist(), s.tolist(), strict=True), w.tolist(), strict=True))
            for t, s, w in (found, golden)
        ]
        key = min(k for k in sides[0].keys() | sides[1].keys() if sides[0].get(k) != sides[1].get(k))
        delay, place = divmod(key[1], len(self.lifted.place))
        number = int(np.searchsorted(self.lifted.first_place, place, side="right")) - 1
        source, target = self.populations[number], self.populations[block.population]
        position = int(block.flat[start + key[0]])
        place -= int(self.lifted.first_place[number])
        return (
            f"the synapse from '{source.name}' {_where(source.shape, place)} "
            f"to '{target.name}' {_where(target.shape, position)} with delay {delay} has weight "
            f"{sides[0].get(key, 0)}, not {sides[1].get(key, 0)}"
        )


def _expanded(kernel: Kernel, source: Shape, target: Shape, chosen: Array) -> Synapses:
    """Returns ``expand`` for targets that may be wanted several times: a neuron and its copies."""
    once, which, count = np.unique(chosen, return_inverse=True, return_counts=True)
    if len(once) == len(chosen):
        return expand(kernel, source, target, chosen)
    index, columns, weight = expand(kernel, source, target, once)
    order = np.argsort(which, kind="stable")  # the places in `chosen` of each target, one after another
    first = np.cumsum(count) - count
    again = np.repeat(np.arange(len(index)), count[index])
    step = np.arange(len(again)) - np.repeat(np.cumsum(count[index]) - count[index], count[index])
    return order[first[index[again]] + step], columns[again], weight[again]


def _where(shape: Shape, flat: int) -> str:
    y, x, c = (int(i) for i in np.unravel_index(flat, shape))
    return f"(row {y}, column {x}, channel {c})"
