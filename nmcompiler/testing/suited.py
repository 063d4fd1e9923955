"""Random networks in the number formats of a chip."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nmcompiler.ir.graph import Graph
from nmcompiler.ir.kernels import Array, with_weight
from nmcompiler.ir.network import Network, Population, PopulationGraph, Projection
from nmcompiler.mapping.reach import reach
from nmcompiler.target import BiasFormat, Target
from nmcompiler.testing.networks import random_network

__all__ = ["suited_network"]


_OUTPUT_LEVELS = 31


def suited_network(seed: int, target: Target, *, levels: int | None = None) -> Network:
    """Returns ``random_network(seed)`` with weights, thresholds and biases that the chip can hold.

    Thresholds that are too many or too large become their largest; weights are cut, biases rounded. The
    membrane is not looked at: see ``nmcompiler.ir.bounds.accumulator_bound``. Outputs are read as the chip
    prefers it.

    Args:
        seed: Equal seeds give equal networks.
        target: The chip.
        levels: L of every hidden population; None draws one for each.
    """
    outputs = 0 if target.readout[0] == "membrane" else levels or _OUTPUT_LEVELS
    network = random_network(seed, levels=levels, output_levels=outputs)
    graph: PopulationGraph = Graph()
    for population in network.graph:
        graph.add(population if population.role == "input" else _suited(population, target))
    for edge in network.graph.edges():
        kernel = edge.payload.kernel
        most = _largest_weight(network, edge.target, target)
        cut = with_weight(kernel, np.clip(kernel.weight, -most, most))
        graph.connect(edge.source, edge.target, Projection(cut, edge.payload.slot))
    return replace(network, graph=graph)


def _largest_weight(network: Network, name: str, target: Target) -> int:
    """Returns the largest weight into a population; in a crossbar it depends on its fan-in."""
    bits = target.weight_bits
    if target.crossbar is not None:
        fan_in = 0
        for edge in network.graph.in_edges(name):
            source, shape = network.graph.node(edge.source), network.graph.node(name).shape
            halves = 2 if source.signed and not target.signed_spikes else 1
            fan_in += halves * int(reach(edge.payload.kernel, source.shape, shape).fan_in.max())
        axons = target.core_types[0].limits.input_axons or fan_in * target.crossbar.axon_types
        bits = max(min(axons // max(fan_in, 1), target.crossbar.axon_types, bits), 2)
    return int(2 ** (bits - 1)) - 1


def _suited(population: Population, target: Target) -> Population:
    theta = np.minimum(population.theta, 2**target.threshold.bits - 1)
    axes = {"neuron": (), "channel": (0, 1), "population": (0, 1, 2)}[target.threshold.per]
    return replace(
        population, theta=theta.max(axis=axes, keepdims=True), bias=_bias(population.bias, target.bias)
    )


def _bias(bias: Array, form: BiasFormat | None) -> Array:
    """Returns the biases next to 0 that ``mantissa · 2**exponent`` can be; none where the chip has none."""
    if form is None:
        return np.zeros_like(bias)
    largest = 2 ** (form.mantissa_bits - 1) - 1
    size = np.minimum(np.abs(bias), largest << form.exponent_max)
    for exponent in range(1, form.exponent_max + 1):
        size = np.where(size > largest << (exponent - 1), size >> exponent << exponent, size)
    suited: Array = np.sign(bias) * size
    return suited
