"""The synapses of a block of a placed program, in the rows that the kernels read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nmcompiler.errors import InputFileError
from nmcompiler.program.layout import BlockKind
from nmcompiler.sim import kernels
from nmcompiler.sim.load import Block, Loaded

__all__ = ["Rows", "synapse_rows"]

Ints: TypeAlias = npt.NDArray[np.int64]
Words: TypeAlias = npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Rows:
    """Synapses of a block, one row for each neuron that sends to it; P rows, E stretches, W weights.

    Attributes:
        source: ``(P,)`` int64: number of the neuron that sends.
        arrives: ``(P,)`` int64: the step of the program in which its first spikes arrive.
        starts: ``(P + 1,)`` uint64: first stretch of each row.
        first: ``(E,)`` uint64: first weight of each stretch.
        into: ``(E,)`` uint64: first target neuron in the block.
        length: ``(E,)`` uint64: synapses of each stretch.
        weights: ``(W,)`` int64: the program's weights, as they count in a membrane.
    """

    source: Ints
    arrives: Ints
    starts: Words
    first: Words
    into: Words
    length: Words
    weights: Ints

    @property
    def stretches(self) -> tuple[Words, Words, Words, Words]:
        """``starts``, ``first``, ``into`` and ``length``, as kernels take them."""
        return self.starts, self.first, self.into, self.length

    def largest(self, peaks: npt.NDArray[Any], neurons: int) -> int:
        """Returns the largest sum of magnitudes that a neuron of the block can receive at once.

        Args:
            peaks: ``(M,)``: largest magnitude that each neuron of the program sends at once.
            neurons: Neurons of the block.
        """
        row, weight, target = self.synapses
        total = np.zeros(neurons, np.int64)
        np.add.at(total, target, np.abs(self.weights[weight]) * peaks[self.source[row]])
        return int(total.max(initial=0))

    @property
    def synapses(self) -> tuple[Ints, Ints, Ints]:
        """Row, weight and target neuron of every synapse."""
        row = np.repeat(np.arange(len(self.source)), np.diff(self.starts).astype(np.int64))
        stretch, step = _expanded(self.length.astype(np.int64))
        return (
            row[stretch],
            self.first.astype(np.int64)[stretch] + step,
            self.into.astype(np.int64)[stretch] + step,
        )


def synapse_rows(loaded: Loaded, block: Block) -> Rows:
    """Returns the synapses of a block, in the order of the neurons that send.

    Raises:
        InputFileError: Its synapses share weights, or are bits: no array has such.
    """
    program = loaded.program
    kind = BlockKind(int(program.column("kind")[block.index]))
    if kind in (BlockKind.SHARED_CONV, BlockKind.TYPED_CROSSBAR):
        raise InputFileError(
            f"block {block.index} of the program stores its synapses as {kind.name}",
            allowed="a weight of its own for every synapse, as analog neurons have",
            hint="compile it again for this chip",
        )
    links = np.asarray(loaded.links_of(block.index)).astype(np.int64)
    link, axon = _expanded(links[:, kernels.AXONS])
    order = np.lexsort((axon, links[link, kernels.FIRST], links[link, kernels.SOURCE]))
    link, axon = link[order], axon[order]
    gid0 = np.array([b.gid0 for b in loaded.blocks], np.int64)
    fires = np.array([b.slot.fire_start for b in loaded.blocks], np.int64)
    patterns = loaded.patterns.astype(np.int64)
    segments = loaded.segments.astype(np.int64)
    pattern = links[link, kernels.PATTERN]
    count = patterns[pattern + 1] - patterns[pattern]
    row, step = _expanded(count)
    segment = segments[patterns[pattern[row]] + step]
    weight0, weights = int(loaded.weight0[block.index]), int(program.column("weight_n")[block.index])
    at = links[link[row]]
    held = loaded.weights[weight0 : weight0 + weights].astype(np.int64)
    return Rows(
        source=gid0[links[link, kernels.SOURCE]] + links[link, kernels.FIRST] + axon,
        arrives=fires[links[link, kernels.SOURCE]] + links[link, kernels.DELAY],
        starts=np.concatenate([[0], np.cumsum(count)]).astype(np.uint64),
        first=_words(
            at[:, kernels.WEIGHT] + axon[row] * at[:, kernels.WEIGHT_STRIDE] + segment[:, 0] - weight0
        ),
        into=_words(at[:, kernels.INTO] + axon[row] * at[:, kernels.TARGET_STRIDE] + segment[:, 1]),
        length=_words(segment[:, 2]),
        weights=held << int(program.column("shift")[block.index]),
    )


def _words(values: Ints) -> Words:
    return np.ascontiguousarray(values.astype(np.uint64))


def _expanded(counts: Ints) -> tuple[Ints, Ints]:
    """Returns, for entries that stand for ``counts`` each, the entry and the position of every one."""
    entry = np.repeat(np.arange(len(counts)), counts)
    return entry, np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
