"""What a whole layer, and the whole network, needs of cores, wherever the layers were cut.

Counted in the placed program, so that it is known of every program. It is what no partition can share out:
every neuron lies somewhere, with the copies that it needs to be read; every source that is read takes an
axon of some core, one for every delay and type; every neuron that is read takes an output axon; every weight
is stored once, as part of a kernel where the chip stores kernels once; every θ is held somewhere. Need over
limit is the fewest cores by that resource alone. The bound that the mapper states (``cores.lower_bound``) may
be another: it is made before the program.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nmcompiler.ir.distinct import distinct
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
    blocks, axons = layer_blocks(program), _Axons.of(program)
    every = _union(axons.read.values())
    neurons = program.boxed + _by_block(program, axons.copies(every))
    sending = _by_block(program, axons.sources(every) > 0)
    thetas = {k: _thetas(program, mine) for k, mine in blocks.items()}
    layers = {}
    for k, mine in blocks.items():
        compartments = int(neurons[mine].sum()) * program.target.compartments_per_neuron
        layers[k] = {
            "neurons": compartments,
            "input_axons": axons.needed(axons.read[k]),
            "output_axons": int(sending[mine].sum()),
            "synapse_bits": _stored(program, facts, mine),
            "state_bits": compartments * program.target.membrane_bits,
            "thresholds": len(thetas[k]),
        }
    network = {name: sum(layer[name] for layer in layers.values()) for name in SHARED_OUT}
    return Needs(
        layers, {**network, "input_axons": axons.needed(every), "thresholds": len(_union(thetas.values()))}
    )


@dataclass(frozen=True, eq=False)
class _Axons:
    """What layers read, as codes: a source's number times ``kinds``, plus one of the kinds of axons.

    Attributes:
        program: The program.
        kinds: Pairs of a delay and a type of axon; spikes of a source on axons of two kinds never share one.
        read: The distinct codes of each layer, by its number.
    """

    program: Program
    kinds: int
    read: Mapping[int, Ints]

    @classmethod
    def of(cls, program: Program) -> _Axons:
        """Returns what the layers of a program read; a copy counts as the neuron that it is a copy of."""
        core, population = program.column("core"), program.column("population")
        original = np.arange(program.neurons)
        original[program.table("copies")[:, 0]] = program.table("copies")[:, 1]
        types = 1 + int(program.table("axon_types")[:, 3].max(initial=0))
        kinds = types * (1 + int(program.arrays["routes"][:, 4].max(initial=0)))
        found: dict[int, list[Ints]] = {k: [] for k in layer_blocks(program)}
        for c, mine in enumerate(program.routes_by_core):
            gid, axon = _ranges(mine[:, 0], mine[:, 1]), _ranges(mine[:, 3], mine[:, 1])
            width = int(axon.max(initial=-1)) + 1
            kind = np.repeat(mine[:, 4], mine[:, 1]) * types + _axon_types(program, c, width)[axon]
            codes = original[gid] * kinds + kind
            on_core = np.flatnonzero(core == c)
            for k in np.unique(population[on_core]):
                read = np.zeros(width, bool)
                for block in on_core[population[on_core] == k]:
                    axons = block_stretches(program, int(block)).axon
                    read[axons[axons < width]] = True
                found[int(k)].append(codes[read[axon]])
        return cls(program, kinds, {k: _union(parts) for k, parts in found.items()})

    def sources(self, codes: Ints) -> Ints:
        """Returns how many axons of different kinds bring each neuron, ``(neurons,)``."""
        return np.bincount(codes // self.kinds, minlength=self.program.neurons)

    def needed(self, codes: Ints) -> int:
        """Returns the input axons that codes take at the least, each on one core."""
        if self.program.target.axon_unit == "pixel" and len(codes):
            gid, kind = np.divmod(codes, self.kinds)
            codes = np.unique(np.stack([*pixels(self.program, gid), kind]), axis=1)[0]
        return len(codes) * self.program.target.axons_per_source

    def copies(self, codes: Ints) -> Ints:
        """Returns how many copies each neuron needs where its spikes reach few axons, ``(neurons,)``."""
        reach = self.program.target.axon_fan_out
        count = self.sources(codes)
        copies: Ints = np.zeros_like(count) if reach is None else np.maximum(-(-count // reach) - 1, 0)
        return copies


def _axon_types(program: Program, core: int, axons: int) -> Ints:
    """Returns the type of each axon of a core, 0 where axons have none."""
    types = np.zeros(axons, np.int64)
    table = program.table("axon_types")
    for _, first, count, kind in table[table[:, 0] == core].tolist():
        types[first : first + count] = kind
    return types


def _union(parts: Iterable[npt.NDArray[Any]]) -> Ints:
    """Returns the distinct numbers of several arrays."""
    return distinct(np.concatenate([*parts, np.zeros(0, np.int64)]))


def _by_block(program: Program, counts: npt.NDArray[np.generic]) -> Ints:
    """Returns the sums of counts of neurons over each block, ``(blocks,)`` int64."""
    sums = np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))
    first = program.column("gid0")
    counted: Ints = sums[first + program.column("n")] - sums[first]
    return counted


def _stored(program: Program, facts: BlockFacts, blocks: Ints) -> int:
    """Returns the bits of a layer's weights; in a typed crossbar the bits that are set, and the weights.

    Where the chip stores kernels once, every box holds the kernels of its channels, or its synapses one by
    one if those are fewer: no more than any partition needs for these channels. What boxes of disjoint
    channels hold adds up, so the boxes are chosen that hold most together.
    """
    target = program.target
    if target.crossbar is not None:
        types = {int(b): int(t) for b, t, _ in program.table("crossbars")}
        weights = sum(int(program.boxed[b]) * types.get(int(b), 0) for b in blocks)
        return int(facts.synapses[blocks].sum()) + weights * target.crossbar.weight_bits
    if not target.weight_sharing:
        return int(facts.synapse_bits[blocks].sum())
    first = program.column("c0")[blocks]
    end = first + program.column("channels")[blocks]
    best: dict[int, int] = {0: 0}  # most bits of boxes of disjoint channels below a channel
    most = 0
    held = zip(end.tolist(), first.tolist(), facts.synapse_bits[blocks].tolist(), strict=True)
    for to, start, bits in sorted(held):
        before = max(total for channel, total in best.items() if channel <= start)
        most = max(most, before + bits)
        best[to] = most
    return most


def _thetas(program: Program, blocks: Ints) -> Ints:
    """Returns the distinct thresholds of a layer; a read-out has none."""
    first, count, levels = (program.column(k) for k in ("param0", "param_n", "levels"))
    return _union(program.arrays["theta"][first[b] : first[b] + count[b]] for b in blocks if levels[b] > 0)


def _ranges(first: Ints, count: Ints) -> Ints:
    """Returns ``first, first + 1, …``, ``count`` of each, one after the other."""
    before = np.cumsum(count) - count
    numbers: Ints = np.repeat(first - before, count) + np.arange(int(count.sum()))
    return numbers
