"""What a box of a population costs on a core, in every resource of the vocabulary.

- ``neurons``: neurons of the box, with their copies where one reaches few axons, × the compartments that
  each takes. ``state_bits``: these compartments × membrane bits.
- ``input_axons``: distinct source neurons (or source pixels, where the channel travels along) that the box
  reads. Spikes that travel for different times need axons of their own, and so have, in a crossbar, those
  that reach it on axons of different types. A source may take several (``axons_per_source``).
- ``synapse_bits``: synapses × weight bits; where the target shares weights, a convolution stores the
  kernels of the box's channels once if that is less. Boxes of a population with the same channels share
  the kernels on a core where all its projections are convolutions.
- ``thresholds``: distinct θ; a read-out has none.
- ``fan_in``: most synapses of one neuron, those among them that a bias takes (``BiasFormat.synapses``). A
  synapse of weight 0 is a synapse.
- ``output_axons``: (neuron, destination core) pairs, the own core included. ``destinations``: most
  destination cores of one neuron. Both depend on where the consumers lie.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nmcompiler.ir.cores import Box, Traffic
from nmcompiler.ir.kernels import Array, Shape
from nmcompiler.ir.network import Population
from nmcompiler.ir.spiking import Spiking
from nmcompiler.ir.typed import held_types
from nmcompiler.mapping.reach import Cuts, Reach, Union, grid_box, reach
from nmcompiler.target.model import Target

__all__ = ["AxonKey", "NetworkNeeds", "PopulationNeeds", "Wire", "network_needs"]

AxonKey = tuple[str, int, int]
"""Source population, delay and type of axon: what shares input axons on a core."""


@dataclass(frozen=True, eq=False)
class Wire:
    """One projection into a population, as far as axons of one type bring it.

    Attributes:
        key: Source population, steps that its spikes travel, and type of the axons.
        source_shape: Shape of the source population.
        reach: Geometry of the kernel.
    """

    key: AxonKey
    source_shape: Shape
    reach: Reach


@dataclass(frozen=True, eq=False)
class PopulationNeeds:
    """Needs of the boxes of one population.

    Attributes:
        population: The population.
        wires: Its projections.
        theta: Thresholds, broadcastable to the shape, or None where it has none.
        biased: Whether neurons have a bias, likewise.
        target: The chip.
    """

    population: Population
    wires: tuple[Wire, ...]
    theta: Array | None
    biased: Array
    target: Target

    @property
    def name(self) -> str:
        """Name of the population."""
        return self.population.name

    @property
    def shape(self) -> Shape:
        """Shape of the population."""
        return self.population.shape

    @cached_property
    def fan_in(self) -> Array:
        """Synapses of each neuron, those that hold its bias among them, ``(h, w, c)`` int64."""
        bias = self.target.bias
        each = 0 if bias is None else bias.synapses
        total = np.array(np.broadcast_to(each * self.biased, self.shape), np.int64)
        for wire in self.wires:
            total += wire.reach.fan_in
        return total

    @cached_property
    def _known(self) -> dict[tuple[Hashable, ...], Array]:
        """What grids need, by what and their boundaries: partitions of several kinds ask for the same."""
        return {}

    def _once(self, what: Hashable, cuts: Cuts, made: Callable[[], Array]) -> Array:
        """Returns what a grid needs, made the first time that it is asked for."""
        key = (what, *(bounds.tobytes() for bounds in cuts))
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = made()
        return found

    @cached_property
    def by_key(self) -> Mapping[AxonKey, tuple[Wire, ...]]:
        """The projections that share input axons."""
        keys = dict.fromkeys(w.key for w in self.wires)
        return {key: tuple(w for w in self.wires if w.key == key) for key in keys}

    @cached_property
    def source_shapes(self) -> Mapping[AxonKey, Shape]:
        """The shape of the source of each key."""
        return {w.key: w.source_shape for w in self.wires}

    @cached_property
    def distinct_thresholds(self) -> int:
        """Distinct θ of the whole population."""
        return 0 if self.theta is None else len(np.unique(self.theta))

    def neurons(self, cuts: Cuts) -> Array:
        """Returns the number of neurons of each box of a grid."""
        return self._once("neurons", cuts, lambda: _sizes(cuts))

    def stored(self, wire: Wire, cuts: Cuts) -> tuple[Array, Array | None]:
        """Returns the bits of one projection for each box of a grid: a weight a synapse, and the kernel once.

        The second, ``(1, 1, channel parts)``, is None where the target or the kernel does not share weights.
        """
        bits = self.target.weight_bits
        if self.target.kernel_memory == "power_of_two":
            return self._allocated(wire, cuts)
        single = wire.reach.synapses(cuts) * bits
        kernel = wire.reach.kernel
        if kernel is None or not self.target.weight_sharing:
            return single, None
        return single, np.add.reduceat(kernel, cuts[2][:-1])[None, None, :] * bits

    def _allocated(self, wire: Wire, cuts: Cuts) -> tuple[Array, Array | None]:
        """Returns what ``stored`` does where every source channel takes a power of two of weights.

        A dense layer is stored as a kernel that covers its whole source.
        """
        height, width, channels = wire.source_shape
        kernel = wire.reach.kernel
        if kernel is None:
            neurons = self.neurons(cuts)
            each = wire.reach.synapses(cuts) // np.maximum(neurons, 1)  # 1 where the layer only joins others
            dense = each >= height * width * channels
            covered = channels * _power_of_two(height * width * neurons)
            single = np.where(dense, covered, _power_of_two(wire.reach.synapses(cuts)))
            return single * self.target.weight_bits, None
        read = np.maximum(wire.reach.channels(cuts), 1)
        weights = np.add.reduceat(kernel, cuts[2][:-1])
        once = (read * _power_of_two(-(-weights // read)))[None, None, :] * self.target.weight_bits
        parts = tuple(len(bounds) - 1 for bounds in cuts)
        return np.broadcast_to(once, parts), once

    def synapse_bits(self, cuts: Cuts) -> Array:
        """Returns the bits of synapse memory of each box of a grid, alone on a core."""
        return self._once("synapse_bits", cuts, lambda: self._synapse_bits(cuts))

    def _synapse_bits(self, cuts: Cuts) -> Array:
        total = np.zeros(tuple(len(bounds) - 1 for bounds in cuts), np.int64)
        for wire in self.wires:
            single, once = self.stored(wire, cuts)
            total += single if once is None else np.minimum(single, once)
        return total

    def input_axons(self, cuts: Cuts) -> Array:
        """Returns the number of input axons of each box of a grid, alone on a core."""
        parts = tuple(len(bounds) - 1 for bounds in cuts)
        total = np.zeros(parts, np.int64)
        for key in self.by_key:
            total += self.axons(key, cuts)
        return total * self.target.axons_per_source

    def axons(self, key: AxonKey, cuts: Cuts) -> Array:
        """Returns the axons of one key that each box of a grid reads, alone on a core."""
        return self._once(key, cuts, lambda: self.sources(key, cuts, pixels=self.target.axon_unit == "pixel"))

    def neurons_read(self, key: AxonKey, cuts: Cuts) -> int:
        """Returns the source neurons of one key that the boxes of a grid read, summed over the boxes."""
        return int(self._once(("neurons", key), cuts, lambda: self.sources(key, cuts, pixels=False)).sum())

    def sources(self, key: AxonKey, cuts: Cuts, *, pixels: bool) -> Array:
        """Returns the source neurons of one key, or source pixels, that each box of a grid reads."""
        return self._unions[key].sources(cuts, pixels=pixels)

    @cached_property
    def _unions(self) -> Mapping[AxonKey, Union]:
        return {
            key: Union([w.reach for w in wires], wires[0].source_shape) for key, wires in self.by_key.items()
        }

    def read(self, key: AxonKey, box: Box) -> Array:
        """Returns the source neurons that a box reads with one delay, as a bool mask of the source."""
        wires = self.by_key[key]
        mask = np.zeros(wires[0].source_shape, bool)
        for wire in wires:
            wire.reach.mark(mask, box)
        return mask

    def thetas(self, box: Box) -> frozenset[int]:
        """Returns the distinct θ of a box."""
        if self.theta is None:
            return frozenset()
        ranges = ((box.y0, box.y1), (box.x0, box.x1), (box.c0, box.c1))
        index = tuple(
            slice(a, b) if n > 1 else slice(None) for (a, b), n in zip(ranges, self.theta.shape, strict=True)
        )
        return frozenset(int(t) for t in np.unique(self.theta[index]))

    def thresholds(self, cuts: Cuts) -> Array:
        """Returns the number of distinct θ of each box of a grid."""
        parts = tuple(len(bounds) - 1 for bounds in cuts)
        if self.distinct_thresholds <= 1:
            return np.full(parts, self.distinct_thresholds, np.int64)
        return self._once("thresholds", cuts, lambda: self._thresholds(cuts))

    def _thresholds(self, cuts: Cuts) -> Array:
        parts = tuple(len(bounds) - 1 for bounds in cuts)
        counts = [len(self.thetas(grid_box(cuts, index))) for index in np.ndindex(*parts)]
        return np.array(counts, np.int64).reshape(parts)


def _sizes(cuts: Cuts) -> Array:
    y, x, c = (np.diff(bounds) for bounds in cuts)
    product: Array = y[:, None, None] * x[None, :, None] * c
    return product


def _power_of_two(values: Array) -> Array:
    """Returns the smallest powers of two that are not smaller."""
    rounded: Array = np.int64(1) << np.ceil(np.log2(np.maximum(values, 1))).astype(np.int64)
    return rounded


@dataclass(frozen=True, eq=False)
class NetworkNeeds:
    """Needs of a whole network.

    Attributes:
        spiking: The network.
        target: The chip.
        populations: Needs of every population but the inputs, in topological order.
        later: Those of a later pass over the chips, which the host feeds with what it keeps of these.
        traffic: Expected spikes of one sample; None to count each neuron once.
    """

    spiking: Spiking
    target: Target
    populations: Mapping[str, PopulationNeeds]
    traffic: Traffic | None = None
    later: tuple[PopulationNeeds, ...] = ()

    def rate(self, source: str) -> float:
        """Returns the expected spikes of one sample of a population, the mean of its neurons."""
        return 1.0 if self.traffic is None else float(np.mean(self.traffic.spikes[source]))

    @property
    def sources(self) -> tuple[Population, ...]:
        """All populations, inputs included, in topological order."""
        return tuple(self.spiking.network.graph)


def _wires(spiking: Spiking, population: Population, target: Target) -> tuple[Wire, ...]:
    """Returns what a population reads; in a crossbar every edge once for each type that its weights need."""
    graph = spiking.network.graph
    code = None if target.crossbar is None else held_types(spiking.network, population.name, target)
    wires = []
    for edge in graph.in_edges(population.name):
        shape = graph.node(edge.source).shape
        reached = reach(edge.payload.kernel, shape, population.shape)
        delay = spiking.schedule.delay(edge.source, edge.target)
        for kind in (0,) if code is None else code.used[edge.source]:
            wires.append(Wire((edge.source, delay, kind), shape, reached))
    return tuple(wires)


def _biased(spiking: Spiking, population: Population) -> Array:
    """Returns which neurons of a population hold a bias: its part of a step in ``rate`` may be none."""
    held = spiking.neurons[population.name].current if spiking.coding == "rate" else population.bias
    biased: Array = held != 0
    return biased


def network_needs(spiking: Spiking, target: Target, traffic: Traffic | None = None) -> NetworkNeeds:
    """Returns the needs of every population of a network on a chip, with expected spikes where known."""
    graph = spiking.network.graph
    needs = {}
    for population in graph:
        if population.role == "input":
            continue
        wires = _wires(spiking, population, target)
        theta = spiking.neurons[population.name].theta if population.sends else None
        if theta is not None:
            theta = np.asarray(theta).reshape((1,) * (3 - np.ndim(theta)) + np.shape(theta))
        needs[population.name] = PopulationNeeds(
            population, wires, theta, _biased(spiking, population), target
        )
    return NetworkNeeds(spiking, target, needs, traffic)
