"""The network that the integers stand for: the golden network's populations with real weights and biases.

It is made from the layer graph and the golden network's scales and thresholds alone, along the rules by
which populations follow from layers, so that each integer has a real number to be compared with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from nmcompiler.evaluate.linear import apply
from nmcompiler.ir.kernels import Array, Kernel
from nmcompiler.ir.layers import Layer, Model
from nmcompiler.ir.network import Network, Population, PopulationGraph, Projection
from nmcompiler.ir.relays import plan_of
from nmcompiler.passes.base import Context, Pass
from nmcompiler.passes.draft import compact
from nmcompiler.passes.kernel_algebra import scale_sources, scale_targets
from nmcompiler.passes.max_tree import Term, Values, joined, max_tree, read
from nmcompiler.passes.relays import Relays

__all__ = ["Mismatch", "Reference", "input_units", "reference"]


class Mismatch(Exception):
    """The golden network has not the populations that follow from the layer graph; never leaves the room."""


@dataclass(frozen=True, eq=False)
class Reference:
    """Real weights and biases in the units of a golden network.

    Attributes:
        network: Populations of the golden network's names and shapes; kernels and biases are float64.
        bounds: By population ``(lowest, highest)``, each ``(c,)``: where the float network clips, in units
            of q; inputs and read-outs are not clipped.
    """

    network: Network
    bounds: Mapping[str, tuple[Array, Array]]

    def values(self, samples: Mapping[str, Array]) -> dict[str, Array]:
        """Returns what every population would hold without any rounding or saturation.

        Args:
            samples: ``(N, *shape)`` real values by input port.

        Returns:
            ``(N, h, w, c)`` float64 by population, in units of q; for a read-out its accumulator.
        """
        values = input_units(self.network, samples)
        for population in self.network.graph:
            if population.role == "input":
                values[population.name] = self.clipped(population.name, values[population.name])
            else:
                values[population.name] = self.of_sources(population.name, values)
        return values

    def of_sources(self, name: str, values: Mapping[str, Array]) -> Array:
        """Returns what a population would hold if its sources hold ``values``, ``(N, h, w, c)`` in q."""
        population = self.network.graph.node(name)
        edges = self.network.graph.in_edges(name)
        total: Array = np.zeros((len(next(iter(values.values()))), *population.shape)) + population.bias
        for edge in edges:
            source = values[edge.source].astype(np.float64, copy=False)
            total += apply(edge.payload.kernel, source, population.shape)
        return self.clipped(name, total / population.theta)

    def clipped(self, name: str, values: Array) -> Array:
        """Returns values ``(…, c)`` in units of q as the float network clips them."""
        lowest, highest = self.bounds[name]
        result: Array = np.clip(values, lowest, highest)
        return result


def reference(
    model: Model, golden: Network, legalise: tuple[Pass[Network], ...], context: Context
) -> Reference:
    """Returns the real network of a golden one.

    Args:
        model: The layer graph after the passes that simplify it.
        golden: The integer network.
        legalise: The passes from network to network that the backend asks for.
        context: For the passes.

    Raises:
        Mismatch: The populations of the two differ.
    """
    network = _Builder(model, golden).network()
    for step in legalise:
        if isinstance(step, Relays):  # which of them pay was decided on the integers
            step = replace(step, plan=plan_of(golden))
        network = step.run(network, context).graph
    _check(network, golden)
    layers = {layer.name: layer for layer in model.graph}
    bounds = {p.name: _bounds(p, layers.get(p.name)) for p in network.graph}
    return Reference(network, bounds)


def input_units(network: Network, samples: Mapping[str, Array]) -> dict[str, Array]:
    """Returns ``(x − offset) / scale`` by input population, ``(N, h, w, c)`` float64, not rounded."""
    values = {}
    for port in network.inputs:
        population = network.graph.node(port.node)
        x = np.asarray(samples[port.name], np.float64)
        flat = x.reshape(len(x), -1)[:, port.order].reshape(len(x), *population.shape)
        values[port.node] = (flat - population.offset) / population.scale
    return values


@dataclass
class _Builder:
    """Populations made from layers, with real numbers, before any legalising pass."""

    model: Model
    golden: Network
    graph: PopulationGraph = field(default_factory=PopulationGraph)
    signals: dict[str, Values] = field(default_factory=dict)

    def network(self) -> Network:
        for layer in self.model.graph:
            self.signals[layer.name] = self._signal(layer)
        return Network(self.golden.name, self.graph, self.model.inputs, self.model.outputs)

    def _signal(self, layer: Layer) -> Values:
        if layer.name not in self.golden.graph:  # a layer that only pools: its tree reads its source
            edges = self.model.graph.in_edges(layer.name)
            if layer.max_pool is None or len(edges) != 1:
                raise Mismatch(f"the network has no population for layer '{layer.name}'")
            source = self.signals[edges[0].source]
            return self._pooled(layer, source)
        population = self._population(layer)
        self.graph.add(population)
        for source_name, kernel in self._kernels(layer, population):
            self.graph.connect(source_name, layer.name, Projection(kernel))
        values = Values(
            (Term(layer.name),),
            population.shape,
            population.levels,
            population.signed,
            population.scale,
            population.offset,
        )
        return values if layer.max_pool is None else self._pooled(layer, values)

    def _pooled(self, layer: Layer, values: Values) -> Values:
        pool = layer.max_pool
        assert pool is not None
        made = max_tree(self.graph, layer.name, values, pool, layer.shape, layer.origin)
        return joined(self.graph, layer.name, made, layer.origin) if pool.joined else made

    def _population(self, layer: Layer) -> Population:
        found = self.golden.graph.node(layer.name)
        h, w, c = layer.sum_shape
        if found.shape not in ((h, w, c), (h, w, 2 * c)):
            raise Mismatch(f"population '{layer.name}' has the shape {found.shape}, its layer {(h, w, c)}")
        halves = found.shape[2] == 2 * c
        theta = np.broadcast_to(found.theta, (*found.theta.shape[:2], found.shape[2]))[..., :c]
        made = replace(
            found,
            shape=(h, w, c),
            theta=compact(theta),
            scale=found.scale[:c],
            offset=found.offset[:c],
            signed=found.signed or halves,
        )
        return replace(made, bias=self._bias(layer, made))

    def _bias(self, layer: Layer, population: Population) -> Array:
        """Returns the bias with what the offsets of the inputs add, in the accumulator's unit."""
        bias = np.asarray(layer.bias, np.float64)
        for edge in self.model.graph.in_edges(layer.name):
            values = self.signals[edge.source]
            if np.any(values.offset):
                constant = np.broadcast_to(values.offset, (1, *values.shape)).astype(np.float64)
                bias = bias + apply(edge.payload.kernel, constant, population.shape)[0]
        result: Array = bias * population.theta / population.scale
        return result

    def _kernels(self, layer: Layer, population: Population) -> list[tuple[str, Kernel]]:
        unit = _per_channel(population.theta) / population.scale
        found = []
        for edge in self.model.graph.in_edges(layer.name):
            values = self.signals[edge.source]
            kernel = scale_sources(edge.payload.kernel, values.scale, values.shape)
            scaled = scale_targets(kernel, unit, population.shape)
            found += read(self.graph, scaled, values, population.shape)
        return found


def _per_channel(theta: Array) -> Array:
    if theta.shape[:2] != (1, 1):
        raise Mismatch("a population has thresholds that differ within a channel")
    channels: Array = theta.reshape(-1).astype(np.float64)
    return channels


def _check(found: Network, golden: Network) -> None:
    names = found.graph.names(), golden.graph.names()
    if set(names[0]) != set(names[1]):
        raise Mismatch(f"populations {sorted(set(names[0]) ^ set(names[1]))[:3]} are in one network only")
    for population in found.graph:
        if population.shape != golden.graph.node(population.name).shape:
            raise Mismatch(f"population '{population.name}' has another shape than its layer")


def _bounds(population: Population, layer: Layer | None) -> tuple[Array, Array]:
    """Returns where the float network clips a population, ``(c,)`` each, in units of q."""
    channels = population.shape[2]
    endless = np.full(channels, np.inf)
    halves = layer is not None and channels == 2 * layer.sum_shape[2]
    if population.role == "readout":
        return (np.zeros(channels) if halves else -endless), endless
    if layer is None:  # a population of a pool's tree, or of a pass: it rectifies
        return (-endless if population.signed else 0 * population.scale), endless
    size = np.abs(population.scale)
    if layer.is_input:
        return (np.zeros(channels) if halves else -endless), endless
    if not halves:
        return layer.activation.lower / size, layer.activation.upper / size
    half = channels // 2
    highest = np.concatenate([np.full(half, layer.activation.upper), np.full(half, -layer.activation.lower)])
    return np.zeros(channels), highest / size
