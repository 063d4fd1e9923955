"""What a program uses of each core, counted in the program itself and not taken from the mapper's word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nmcompiler.ir.cores import HOST
from nmcompiler.ir.distinct import distinct
from nmcompiler.program.layout import BlockKind, Program
from nmcompiler.program.slices import block_turns
from nmcompiler.target.model import RESOURCES, Limits

__all__ = [
    "BlockFacts",
    "CoreUsage",
    "arriving",
    "block_facts",
    "block_stretches",
    "core_usage",
    "fan_out",
    "own_weights",
    "pixels",
    "synapse_memory",
]

Ints: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class BlockFacts:
    """Counts of each block, ``(blocks,)`` int64 each.

    Attributes:
        synapses: Synapses, those of weight 0 included.
        zero_synapses: Synapses of weight 0.
        fan_in: Synapses of the neuron that has most, those among them that a bias takes (``bias.synapses`` of
            the target), which are none of ``synapses``.
        stored_weights: Weights in the block's synapse memory; of a typed crossbar its bits.
        synapse_bits: Bits of the block's synapse memory.
    """

    synapses: Ints
    zero_synapses: Ints
    fan_in: Ints
    stored_weights: Ints
    synapse_bits: Ints


@dataclass(frozen=True, eq=False)
class CoreUsage:
    """Used and limit of every resource.

    Attributes:
        used: ``(cores,)`` int64 by resource name.
        limits: The limits of each core.
    """

    used: Mapping[str, Ints]
    limits: tuple[Limits, ...]

    def rows(self) -> list[tuple[int, str, int, int | None]]:
        """Returns ``(core, resource, used, limit)`` for every core and resource."""
        return [
            (core, name, int(self.used[name][core]), getattr(limits, name))
            for core, limits in enumerate(self.limits)
            for name in RESOURCES
        ]

    def broken(self) -> list[tuple[int, str, int, int]]:
        """Returns the rows whose limit is exceeded."""
        return [
            (c, name, used, limit)
            for c, name, used, limit in self.rows()
            if limit is not None and used > limit
        ]


@dataclass(frozen=True, eq=False)
class _Stretches:
    """The synapses of one block as stretches: an axon meets neighbouring targets with neighbouring weights.

    ``(K,)`` int64 each: ``axon`` on the block's core, ``weight`` and ``target`` in the block, ``length``.
    """

    axon: Ints
    weight: Ints
    target: Ints
    length: Ints


def block_stretches(program: Program, block: int) -> _Stretches:
    """Returns the synapses of a block, of a typed crossbar its crossings."""
    first, count = int(program.column("run0")[block]), int(program.column("run_n")[block])
    runs = program.arrays["runs"][first : first + count].astype(np.int64)
    patterns = program.arrays["patterns"].astype(np.int64)
    segments = program.arrays["segments"].astype(np.int64)
    run, step = _expanded(patterns[runs[:, 2] + 1] - patterns[runs[:, 2]])
    segment = patterns[runs[run, 2]] + step
    row, axon = _expanded(runs[run, 1])
    run, segment = run[row], segment[row]
    return _Stretches(
        axon=runs[run, 0] + axon,
        weight=runs[run, 4] + axon * runs[run, 5] + segments[segment, 0],
        target=runs[run, 3] + axon * runs[run, 6] + segments[segment, 1],
        length=segments[segment, 2],
    )


def _expanded(counts: Ints) -> tuple[Ints, Ints]:
    """Returns, for rows that stand for ``counts`` entries each, the row and the position of every entry."""
    row = np.repeat(np.arange(len(counts)), counts)
    return row, np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def _zeros_before(program: Program, block: int) -> Ints:
    """Returns how many weights of the block before each position are 0, ``(weights + 1,)``."""
    first, count = int(program.column("weight0")[block]), int(program.column("weight_n")[block])
    weights = program.arrays["weights"][first : first + count]
    return np.concatenate(([0], np.cumsum(weights == 0)))


def _synapses(program: Program, block: int, stretches: _Stretches) -> Ints:
    """Returns the synapses of each stretch: all of it, or in a typed crossbar the bits that are set."""
    if program.column("kind")[block] != BlockKind.TYPED_CROSSBAR:
        return stretches.length
    zeros = _zeros_before(program, block)
    synapses: Ints = stretches.length - zeros[stretches.weight + stretches.length] + zeros[stretches.weight]
    return synapses


def block_facts(program: Program) -> BlockFacts:
    """Counts the synapses of each block from its runs."""
    rows = [_count(program, b) for b in range(len(program.arrays["blocks"]))]
    columns = np.asarray(rows, np.int64).reshape(-1, 3).T
    stored = program.column("weight_n")
    return BlockFacts(columns[0], columns[1], columns[2], stored, _bits(program, stored))


def _count(program: Program, block: int) -> tuple[int, int, int]:
    """Returns synapses, synapses of weight 0, and the largest fan-in of a block."""
    if program.column("kind")[block] == BlockKind.TYPED_CROSSBAR:
        return _count_bits(program, block)
    stretches, zeros = block_stretches(program, block), _zeros_before(program, block)
    change = np.zeros(int(program.column("n")[block]) + 1, np.int64)
    np.add.at(change, stretches.target, 1)
    np.add.at(change, stretches.target + stretches.length, -1)
    fan_in = np.cumsum(change)[:-1] + _bias_synapses(program, block)
    zero = int((zeros[stretches.weight + stretches.length] - zeros[stretches.weight]).sum())
    return int(stretches.length.sum()), zero, int(fan_in.max(initial=0))


def _bias_synapses(program: Program, block: int) -> Ints:
    """Returns the synapses that the bias of each neuron of a block takes, ``(n,)``; of an input none."""
    each = 0 if program.target.bias is None else program.target.bias.synapses
    first, count, n, levels = (int(program.column(k)[block]) for k in ("param0", "param_n", "n", "levels"))
    if not each or program.column("kind")[block] == BlockKind.INPUT:
        return np.zeros(n, np.int64)
    at = first + np.arange(n) % count
    theta, start, current = (program.arrays[k][at].astype(np.int64) for k in ("theta", "v0", "current"))
    if program.coding == "rate":
        return np.where(current != 0, each, 0)
    # In codes with windows a bias is part of the start, which has half of the threshold where there is one.
    usual = int(program.fires_when == "gt") + (theta // 2 if levels else 0)
    return np.where(start != usual, each, 0)


def _count_bits(program: Program, block: int) -> tuple[int, int, int]:
    """Returns the bits that are set in a typed crossbar, none of weight 0, and the most at one neuron."""
    stretches, n = block_stretches(program, block), int(program.column("n")[block])
    row, step = _expanded(stretches.length)
    place = int(program.column("weight0")[block]) + stretches.weight[row] + step
    bits = program.arrays["weights"][place] != 0
    fan_in = np.bincount((stretches.target[row] + step)[bits], minlength=n) + _bias_synapses(program, block)
    return int(bits.sum()), 0, int(fan_in.max(initial=0))


def fan_out(program: Program) -> tuple[Ints, Ints]:
    """Returns the synapses that a spike of each neuron reaches, and those of them whose weight is not 0.

    ``(neurons,)`` int64 each, in the order of the neurons' global numbers.
    """
    core = program.column("core")
    reached = np.zeros((2, program.neurons), np.int64)
    for c, mine in enumerate(program.routes_by_core):
        axons = np.zeros((2, int((mine[:, 3] + mine[:, 1]).max(initial=0))), np.int64)
        for block in np.flatnonzero(core == c):
            stretches, zeros = block_stretches(program, int(block)), _zeros_before(program, int(block))
            zero = zeros[stretches.weight + stretches.length] - zeros[stretches.weight]
            fed = stretches.axon < axons.shape[1]
            synapses = _synapses(program, int(block), stretches)
            np.add.at(axons[0], stretches.axon[fed], synapses[fed])
            np.add.at(axons[1], stretches.axon[fed], (stretches.length - zero)[fed])
        row, step = _expanded(mine[:, 1])
        for k in (0, 1):
            np.add.at(reached[k], mine[row, 0] + step, axons[k][mine[row, 3] + step])
    return reached[0], reached[1]


def own_weights(program: Program) -> Ints:
    """Returns the weights that each block takes of its core's synapse memory, ``(blocks,)`` int64.

    Boxes of one population and the same channels share their kernels: only the first takes memory.
    """
    kind, core, population, c0, channels = (
        program.column(k) for k in ("kind", "core", "population", "c0", "channels")
    )
    taken, kernels = program.column("weight_n").copy(), set()
    for b in np.flatnonzero(kind != BlockKind.INPUT):
        key = (core[b], population[b], c0[b], channels[b])
        if kind[b] == BlockKind.SHARED_CONV and key in kernels:
            taken[b] = 0
        kernels.add(key)
    return taken


def arriving(program: Program, sent: npt.NDArray[Any], group: Ints, groups: int) -> npt.NDArray[np.float64]:
    """Returns the synaptic operations that events cause, ``(groups, blocks)`` by the block of the synapses.

    Args:
        program: The program.
        sent: ``(neurons,)`` events of each neuron.
        group: ``(neurons,)`` the group in which the events of a neuron are counted.
        groups: Number of groups.
    """
    core = program.column("core")
    found = np.zeros((groups, len(core)))
    for c, mine in enumerate(program.routes_by_core):
        width = int((mine[:, 3] + mine[:, 1]).max(initial=0))
        row, step = _expanded(mine[:, 1])
        gid, axon = mine[row, 0] + step, mine[row, 3] + step
        events = np.bincount(group[gid] * width + axon, sent[gid], groups * width).reshape(groups, width)
        for block in np.flatnonzero(core == c):
            stretches = block_stretches(program, int(block))
            fed = stretches.axon < width
            synapses = _synapses(program, int(block), stretches)[fed]
            reached = np.bincount(stretches.axon[fed], synapses, width)
            found[:, block] = events @ reached
    return found


def synapse_memory(program: Program) -> Ints:
    """Returns the bits that each block takes of its core's synapse memory, ``(blocks,)`` int64."""
    return _bits(program, own_weights(program))


def _bits(program: Program, stored: Ints) -> Ints:
    """Returns the bits of each block for what it stores: weights, or bits and the weights of its types."""
    bits = stored * program.target.weight_bits
    crossbar = program.target.crossbar
    if crossbar is not None:
        for block, types, _ in program.table("crossbars").tolist():
            bits[block] = stored[block] + program.column("n")[block] * types * crossbar.weight_bits
    return bits


def core_usage(program: Program, facts: BlockFacts | None = None) -> CoreUsage:
    """Counts what the program uses of each core."""
    facts = facts or block_facts(program)
    target, cores = program.target, program.arrays["cores"]
    core, n = program.column("core"), program.column("n")
    placed = core >= 0
    used = {name: np.zeros(len(cores), np.int64) for name in RESOURCES}
    np.add.at(used["neurons"], core[placed], n[placed] * target.compartments_per_neuron)
    used["state_bits"] = used["neurons"] * target.membrane_bits
    np.maximum.at(used["fan_in"], core[placed], facts.fan_in[placed])
    np.add.at(used["synapse_bits"], core[placed], synapse_memory(program)[placed])
    for c in range(len(cores)):
        used["thresholds"][c] = len(_thresholds(program, np.flatnonzero(core == c)))
    _count_axons(program, used)
    places = cores[:, 1].astype(np.int64) * target.mesh.columns + cores[:, 2]
    limits = tuple(target.core_types[target.core_type(int(p))].limits for p in places)
    return CoreUsage(used, limits)


def _thresholds(program: Program, blocks: npt.NDArray[np.intp]) -> Ints:
    """Returns the distinct thresholds of some blocks; read-outs compare with none."""
    first, count, levels = (program.column(k) for k in ("param0", "param_n", "levels"))
    values = [program.arrays["theta"][first[b] : first[b] + count[b]] for b in blocks if levels[b] > 0]
    return distinct(np.concatenate(values)) if values else np.zeros(0, np.int64)


def _count_axons(program: Program, used: dict[str, Ints]) -> None:
    """Counts input axons, output axons and destinations from the routes."""
    routes = program.arrays["routes"].astype(np.int64)
    if not len(routes):
        return
    row, step = _expanded(routes[:, 1])
    gid, core = routes[row, 0] + step, routes[row, 2]
    gid0, core_of = program.column("gid0"), program.column("core")
    source = pixels(program, gid) if program.target.axon_unit == "pixel" else gid[None]
    if program.target.crossbar is not None:  # a source takes an axon of every type that it needs
        source = (routes[row, 3] + step)[None]
    axons = np.unique(np.stack([core, *source, routes[row, 4]]), axis=1)
    np.add.at(used["input_axons"], axons[0], program.target.axons_per_source)
    turn = block_turns(program)[np.searchsorted(gid0, gid, side="right") - 1]
    # The host is one destination: it keeps what later passes read.
    pairs = np.unique(np.stack([gid, np.where(program.turns[core] > turn, HOST, core)]), axis=1)
    sender = core_of[np.searchsorted(gid0, pairs[0], side="right") - 1]
    on_chip = sender >= 0
    np.add.at(used["output_axons"], sender[on_chip], 1)
    _, first, destinations = np.unique(pairs[0], return_index=True, return_counts=True)
    senders = sender[first]
    np.maximum.at(used["destinations"], senders[senders >= 0], destinations[senders >= 0])


def pixels(program: Program, gid: Ints) -> Ints:
    """Returns population, row and column of neurons, ``(3, n)``.

    A pixel is one axon even where its channels lie on several cores: every spike carries its channel.
    """
    gid0, population, y0, x0, width, channels = (
        program.column(k) for k in ("gid0", "population", "y0", "x0", "width", "channels")
    )
    block = np.searchsorted(gid0, gid, side="right") - 1
    y, x = np.divmod((gid - gid0[block]) // channels[block], width[block])
    return np.stack([population[block], y0[block] + y, x0[block] + x])
