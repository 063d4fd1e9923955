"""Relays: populations that send what their source sends, a step or a window later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Sparse, elementwise
from nmcompiler.ir.network import Network, Population, PopulationGraph, Projection

__all__ = ["RelayPlan", "can_be_cut", "is_relay", "plan_of", "with_relays"]

RelayPlan: TypeAlias = Mapping[str, tuple[Mapping[str, tuple[int, int]], ...]]
"""By source, its relays: each with the populations that read it, and the flat range of their neurons."""

_OP = "Relay"


def with_relays(network: Network, plan: RelayPlan) -> tuple[Network, dict[str, str]]:
    """Returns a network in which some populations are read through relays, and their names by relay's name.

    A relay has the shape, levels and scale of its source, one synapse of weight 1 a neuron, θ = 1 and no
    bias: its values are those of the source, ``clip(floor((q + 0) / 1)) = q``.
    """
    graph = PopulationGraph()
    relays: dict[str, list[str]] = {}
    for p in network.graph:
        graph.add(p)
        for i in range(len(plan.get(p.name, ()))):
            relay = _relay(p, _unused(network, f"{p.name}.relay{i + 1 if i else ''}"))
            graph.add(relay)
            graph.connect(p.name, relay.name, Projection(elementwise(np.ones(p.shape[2], np.int64))))
            relays.setdefault(p.name, []).append(relay.name)
    for edge in network.graph.edges():
        if edge.source not in relays:
            graph.connect(edge.source, edge.target, edge.payload)
            continue
        size = network.graph.node(edge.target).size
        for name, read in zip(relays[edge.source], plan[edge.source], strict=True):
            if edge.target in read:
                kernel = _rows(edge.payload.kernel, read[edge.target], size)
                if kernel.weight.size:
                    graph.connect(name, edge.target, replace(edge.payload, kernel=kernel))
    return replace(network, graph=graph), {r: source for source, names in relays.items() for r in names}


def plan_of(network: Network) -> RelayPlan:
    """Returns what made the relays of a network: ``with_relays`` makes the same of the network without."""
    plan: dict[str, list[Mapping[str, tuple[int, int]]]] = {}
    for p in network.graph:
        if p.op != _OP or not is_relay(network, p.name):
            continue
        read: dict[str, tuple[int, int]] = {}
        for edge in network.graph.out_edges(p.name):
            first, end = _range(edge.payload.kernel, network.graph.node(edge.target).size)
            known = read.get(edge.target, (first, end))
            read[edge.target] = min(first, known[0]), max(end, known[1])
        plan.setdefault(network.graph.in_edges(p.name)[0].source, []).append(read)
    return {source: tuple(relays) for source, relays in plan.items()}


def can_be_cut(kernel: Kernel) -> bool:
    """Returns whether the synapses of some targets can be told from those of others."""
    return not isinstance(kernel, Conv)


def is_relay(network: Network, name: str) -> bool:
    """Returns whether a population is a relay of another that fires: by what it computes, not by its name."""
    p = network.graph.node(name)
    edges = network.graph.in_edges(name)
    if len(edges) != 1 or not p.fires or (p.theta != 1).any() or p.bias.any() or p.lead.any():
        return False
    source = network.graph.node(edges[0].source)
    alike = (source.shape, source.levels, source.signed) == (p.shape, p.levels, p.signed)
    return alike and source.fires and _copies(edges[0].payload.kernel, p.shape[2])


def _copies(kernel: Kernel, channels: int) -> bool:
    """Returns whether a kernel between equal shapes copies every value."""
    if not isinstance(kernel, Conv) or kernel.weight.shape != (1, 1, 1, channels):
        return False
    plain = kernel.groups == channels and kernel.stride == (1, 1) and kernel.padding == (0, 0)
    return plain and bool((kernel.weight == 1).all())


def _rows(kernel: Kernel, targets: tuple[int, int], size: int) -> Kernel:
    """Returns the synapses of the targets of a flat range, those of weight 0 included."""
    first, end = targets
    if targets == (0, size):
        return kernel
    if isinstance(kernel, Dense):
        rows, columns = np.indices((end - first, kernel.weight.shape[1]))
        weight: Array = kernel.weight[first:end].ravel()
        return Sparse(first + rows.ravel(), columns.ravel(), weight)
    if isinstance(kernel, Sparse):
        mine = (first <= kernel.rows) & (kernel.rows < end)
        return Sparse(kernel.rows[mine], kernel.columns[mine], kernel.weight[mine])
    raise TypeError("a convolution has the same synapses for all its targets")


def _range(kernel: Kernel, size: int) -> tuple[int, int]:
    """Returns the flat range of the targets of a kernel."""
    if isinstance(kernel, Sparse) and len(kernel.rows):
        return int(kernel.rows.min()), int(kernel.rows.max()) + 1
    return 0, size


def _relay(source: Population, name: str) -> Population:
    one = np.ones((1, 1, 1), np.int64)
    offset = np.zeros(source.shape[2])
    return replace(
        source, name=name, role="hidden", bias=0 * one, theta=one, lead=0 * one, offset=offset, op=_OP
    )


def _unused(network: Network, name: str) -> str:
    while name in network.graph:
        name += "_"
    return name
