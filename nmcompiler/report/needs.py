"""What a whole layer, and the whole network, needs of cores, wherever the layers were cut.

Counted in the placed program, so that it is known of every program. It is what no partition can share out:
every neuron lies somewhere, every source that is read takes an axon of some core, every neuron that is read
an output axon, every weight is stored once, as part of a kernel where the chip stores kernels once, and every
θ is held somewhere. Need over limit is the fewest cores by that resource alone. The bound that the mapper
states (``cores.lower_bound``) may be larger: it knows more than one resource at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from nmcompiler.program.layout import BlockKind, Program
from nmcompiler.program.usage import BlockFacts, block_stretches, pixels
from nmcompiler.target.model import Target

__all__ = ["SHARED_OUT", "Needs", "fewest_cores", "largest_limit", "layer_blocks", "needs_of"]

Ints: TypeAlias = npt.NDArray[np.int64]

SHARED_OUT: tuple[str, ...] = (
    "neurons",
    "input_axons",
    "output_axons",
    "synapse_bits",
    "state_bits",
    "thresholds",
)
"""The resources that a cut shares out; fan-in and destinations are those of one neuron, however it is cut."""


@dataclass(frozen=True)
class Needs:
    """Amounts by resource of ``SHARED_OUT``.

    Attributes:
        layers: Of each population that sits on cores, by its number.
        network: Of all of them: a source that several layers read is counted once.
    """

    layers: Mapping[int, Mapping[str, int]]
    network: Mapping[str, int]


def layer_blocks(program: Program) -> dict[int, Ints]:
    """Returns the blocks of each population that sits on cores."""
    placed = np.flatnonzero(program.column("kind") != BlockKind.INPUT)
    population = program.column("population")[placed]
    return {int(k): placed[population == k] for k in np.unique(population)}


def largest_limit(target: Target, resource: str) -> int | None:
    """Returns the limit of the core that holds most, None where some core has none."""
    limits = [getattr(kind.limits, resource) for kind in target.core_types]
    return None if None in limits else max(limits, default=None)


def fewest_cores(target: Target, resource: str, need: int) -> int | None:
    """Returns how many cores hold an amount of one resource at the least; None where nothing limits it."""
    limit = largest_limit(target, resource)
    return None if limit is None else max(1, -(-need // max(limit, 1)))


def needs_of(program: Program, facts: BlockFacts) -> Needs:
    """Counts what the layers need.

    Args:
        program: The program.
        facts: Counts of its blocks.
    """
    blocks, sources, sending = layer_blocks(program), _sources(program), _sending(program)
    thetas = {k: _thetas(program, mine) for k, mine in blocks.items()}
    layers = {}
    for k, mine in blocks.items():
        compartments = int(program.boxed[mine].sum()) * program.target.compartments_per_neuron
        layers[k] = {
            "neurons": compartments,
            "input_axons": _axons(program, [sources[k]]),
            "output_axons": int(sending[mine].sum()),
            "synapse_bits": _stored(program, facts, mine),
            "state_bits": compartments * program.target.membrane_bits,
            "thresholds": len(thetas[k]),
        }
    network = {name: sum(layer[name] for layer in layers.values()) for name in SHARED_OUT}
    network["input_axons"] = _axons(program, sources.values())
    network["thresholds"] = len(np.unique(np.concatenate([*thetas.values(), np.zeros(0, np.int64)])))
    return Needs(layers, {name: network[name] for name in SHARED_OUT})


def _sources(program: Program) -> dict[int, Ints]:
    """Returns the global numbers of the neurons that each layer reads, of copies those of the originals."""
    core, population = program.column("core"), program.column("population")
    original = np.arange(program.neurons)
    original[program.table("copies")[:, 0]] = program.table("copies")[:, 1]
    found: dict[int, list[Ints]] = {k: [] for k in layer_blocks(program)}
    for c, mine in enumerate(program.routes_by_core):
        gid, axon = _ranges(mine[:, 0], mine[:, 1]), _ranges(mine[:, 3], mine[:, 1])
        on_core = np.flatnonzero(core == c)
        for k in np.unique(population[on_core]):
            read = np.zeros(int(axon.max(initial=-1)) + 1, bool)
            for block in on_core[population[on_core] == k]:
                axons = block_stretches(program, int(block)).axon
                read[axons[axons < len(read)]] = True
            found[int(k)].append(original[gid[read[axon]]])
    return {k: np.unique(np.concatenate([*parts, np.zeros(0, np.int64)])) for k, parts in found.items()}


def _axons(program: Program, sources: Iterable[Ints]) -> int:
    """Returns the input axons that sources take at the least, each on one core."""
    gid = np.unique(np.concatenate([*sources, np.zeros(0, np.int64)]))
    if program.target.axon_unit == "pixel" and len(gid):
        gid = np.unique(pixels(program, gid), axis=1)[0]
    return len(gid) * program.target.axons_per_source


def _sending(program: Program) -> Ints:
    """Returns the neurons of each block that any core reads, copies left out, ``(blocks,)`` int64."""
    routes = np.asarray(program.arrays["routes"], np.int64)
    read = np.zeros(program.neurons, bool)
    read[_ranges(routes[:, 0], routes[:, 1])] = True
    read[program.table("copies")[:, 0]] = False
    sums = np.concatenate(([0], np.cumsum(read)))
    first = program.column("gid0")
    counted: Ints = sums[first + program.column("n")] - sums[first]
    return counted


def _stored(program: Program, facts: BlockFacts, blocks: Ints) -> int:
    """Returns the bits of a layer's weights; in a typed crossbar the bits that are set, and the weights.

    Boxes of the same channels share their kernels where the chip does; where they store their synapses one by
    one although it does, each box holds fewer than a kernel, and the largest is all that is certain.
    """
    target = program.target
    if target.crossbar is not None:
        types = {int(b): int(t) for b, t, _ in program.table("crossbars")}
        weights = sum(int(program.boxed[b]) * types.get(int(b), 0) for b in blocks)
        return int(facts.synapses[blocks].sum()) + weights * target.crossbar.weight_bits
    if not target.weight_sharing:
        return int(facts.synapse_bits[blocks].sum())
    kind, c0, channels = (program.column(k)[blocks] for k in ("kind", "c0", "channels"))
    most: dict[tuple[int, int], int] = {}
    for shared in (True, False):  # where a kernel is stored, it is all that its channels need
        for key in {*zip(c0.tolist(), channels.tolist(), strict=True)} - {*most}:
            mine = (c0 == key[0]) & (channels == key[1]) & ((kind == BlockKind.SHARED_CONV) == shared)
            if mine.any():
                most[key] = int(facts.synapse_bits[blocks[mine]].max())
    return sum(most.values())


def _thetas(program: Program, blocks: Ints) -> Ints:
    """Returns the distinct thresholds of a layer; a read-out has none."""
    first, count, levels = (program.column(k) for k in ("param0", "param_n", "levels"))
    held = [program.arrays["theta"][first[b] : first[b] + count[b]] for b in blocks if levels[b] > 0]
    return np.unique(np.concatenate([*held, np.zeros(0, np.int64)])).astype(np.int64)


def _ranges(first: Ints, count: Ints) -> Ints:
    """Returns ``first, first + 1, …``, ``count`` of each, one after the other."""
    before = np.cumsum(count) - count
    numbers: Ints = np.repeat(first - before, count) + np.arange(int(count.sum()))
    return numbers
