"""What one neuron reads, and what a core of the chip lets it read: both known before quantisation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from nmcompiler.ir.distinct import distinct
from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape
from nmcompiler.ir.layers import Layer
from nmcompiler.passes.columns import to_groups
from nmcompiler.target.model import CoreType, Target

__all__ = ["Reads", "Room"]

_AXONS_OF_A_SIGNED_WEIGHT = 2  # in a crossbar: one of a type that adds, one of a type that takes away


@dataclass(frozen=True)
class Reads:
    """What the neuron of a layer that reads most takes of a core.

    Attributes:
        fan_in: Synapses.
        axons: Input axons: source neurons, or pixels of the sources. Two edges from one source count twice.
    """

    fan_in: int
    axons: int


@dataclass(frozen=True)
class Room:
    """What one neuron may read, for each kind of core of a chip; a layer needs one kind that holds it.

    Attributes:
        kinds: Largest fan-in and largest number of input axons, infinite where the chip states none.
        pixels: Whether an axon is a pixel whose channel travels along, or one neuron.
        signs: Whether spikes carry a sign; where not, a signed source has two neurons for one value.
    """

    kinds: tuple[tuple[float, float], ...]
    pixels: bool
    signs: bool

    @classmethod
    def of(cls, target: Target) -> Room:
        """Returns the room on a chip."""
        axons = 1 if target.crossbar is None else _AXONS_OF_A_SIGNED_WEIGHT
        kinds = tuple(_kind(kind, target.weight_bits, axons) for kind in target.core_types)
        return cls(kinds, target.axon_unit == "pixel", target.signed_spikes)

    def holds(self, reads: Reads) -> bool:
        """Whether some kind of core takes a neuron that reads so much."""
        return any(reads.fan_in <= fan_in and reads.axons <= axons for fan_in, axons in self.kinds)

    def within(self, other: Room) -> bool:
        """Whether all that this one holds, the other holds as well."""
        counts_more = (other.pixels or not self.pixels) and (other.signs or not self.signs)
        return counts_more and all(any(a <= c and b <= d for c, d in other.kinds) for a, b in self.kinds)

    def reads(self, edges: Iterable[tuple[Layer, Kernel]], target: Shape) -> Reads:
        """Returns what a layer with these sources and kernels reads.

        A pool over n positions is read as ``1 + ⌈log2 n⌉`` populations (``max_tree``), or as one.
        """
        fan_in = np.zeros(target[2], np.int64)
        axons = np.zeros(target[2], np.int64)
        for source, kernel in edges:
            pool = source.max_pool
            parted = pool is not None and not pool.joined
            terms = 1 + math.ceil(math.log2(math.prod(pool.size))) if pool and parted else 1
            unsigned = source.is_input or source.activation.lower >= 0
            halves = terms if unsigned or self.signs else 2 * terms
            fan_in += halves * _sources(kernel, source.shape, target, pixels=False)
            if self.pixels:  # both halves are channels of one pixel
                axons += terms * _sources(kernel, source.shape, target, pixels=True)
            else:
                axons += halves * _sources(kernel, source.shape, target, pixels=False)
        return Reads(int(fan_in.max()), int(axons.max()))


def _kind(kind: CoreType, weight_bits: int, axons: int) -> tuple[float, float]:
    """Returns the largest fan-in and number of sources, each of which takes some axons."""
    limits = kind.limits
    stored = math.inf if limits.synapse_bits is None else limits.synapse_bits // weight_bits
    fan_in = math.inf if limits.fan_in is None else limits.fan_in
    return min(fan_in, stored), math.inf if limits.input_axons is None else limits.input_axons // axons


def _sources(kernel: Kernel, source: Shape, target: Shape, *, pixels: bool) -> Array:
    """Returns ``(c,)`` int64: how many sources the neuron of a channel that reads most has."""
    channels = target[2]
    count = np.zeros(channels, np.int64)
    if isinstance(kernel, Dense | Conv) and kernel.pruned and not pixels:
        each = np.count_nonzero(to_groups(kernel), axis=1).ravel()
        first = kernel.target_channel if isinstance(kernel, Conv) else 0
        np.maximum.at(count, (first + np.arange(len(each))) % channels, each)
    elif isinstance(kernel, Dense):
        count[:] = math.prod(source[:2]) if pixels else math.prod(source)
    elif isinstance(kernel, Conv):
        taps, per_group = math.prod(kernel.weight.shape[:2]), kernel.weight.shape[2]
        first = kernel.target_channel
        count[first : first + kernel.target_channels] = taps if pixels else taps * per_group
    else:
        # A pair of target and source that occurs twice is one synapse, as the mapper counts.
        columns = kernel.columns // source[2] if pixels else kernel.columns
        pairs = distinct(kernel.rows * math.prod(source) + columns)
        of_neuron = np.bincount(pairs // math.prod(source), minlength=math.prod(target))
        count[:] = of_neuron.reshape(-1, channels).max(axis=0)
    return count
