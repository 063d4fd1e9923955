"""A network without the helpers of exact partial sums: its populations read again what their layers read."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from nmcompiler.ir.kernels import Array, Dense, Kernel, Shape
from nmcompiler.ir.layers import Model
from nmcompiler.ir.network import Network, Population, PopulationGraph, Projection
from nmcompiler.passes.draft import Draft, compact
from nmcompiler.passes.kernel_algebra import add_sparse, is_identity, to_sparse

__all__ = ["whole", "with_pools_of"]

_Edges: TypeAlias = list[tuple[str, Projection]]


def whole(network: Network, layers: Container[str]) -> Network:
    """Returns the network from which ``SplitExact`` made this one; values of its populations are the same.

    A helper h passes on its sum, ``p_h = Σ w·q + b_h``, so that its only reader p accumulates what it would
    with the synapses of h beside its own, and ``b_h`` added to its bias.

    Args:
        network: A network that may have helpers.
        layers: Names that are those of layers: no helper has one.
    """
    graph = PopulationGraph()
    held: dict[str, tuple[Array, _Edges]] = {}
    for population in network.graph:
        bias, edges = np.asarray(population.bias), _Edges()
        own = network.graph.in_edges(population.name)
        for edge in own:
            added, read = held.get(edge.source, (0, [(edge.source, edge.payload)]))
            bias, edges = bias + added, edges + read
        if _is_helper(network, population, layers):
            held[population.name] = bias, edges
            continue
        if any(edge.source in held for edge in own):
            edges = _joined(network, population, edges)
        graph.add(replace(population, bias=compact(bias)))
        for source, projection in edges:
            graph.connect(source, population.name, projection)
    return replace(network, graph=graph)


def with_pools_of(model: Model, network: Network) -> Model:
    """Returns the model in which those pools are joined that the network has a population for.

    They are where a reader has too few synapses for the terms of a pool (``with_joined_pools``).
    """
    draft = Draft(model)
    for layer in model.graph:
        name, pool = f"{layer.name}.max", layer.max_pool
        if pool is not None and name in network.graph and name not in model.graph:
            draft.layers[layer.name] = replace(layer, max_pool=replace(pool, joined=True))
    return draft.model()


def _is_helper(network: Network, population: Population, layers: Container[str]) -> bool:
    edges = network.graph.out_edges(population.name)
    if population.name in layers or population.role != "hidden" or len(edges) != 1:
        return False
    reader = network.graph.node(edges[0].target)
    # Helpers of one population may also read each other.
    stem = population.name.rpartition(".part")[0]
    named = bool(stem) and (reader.name == stem or reader.name.startswith(f"{stem}.part"))
    passes_on = is_identity(edges[0].payload.kernel, population.shape, reader.shape)
    return named and passes_on and bool((population.theta == 1).all())


def _joined(network: Network, population: Population, edges: _Edges) -> _Edges:
    """Returns one edge for each source and operand slot; kernels that were cut apart are added up."""
    parts: dict[tuple[str, int], list[Kernel]] = {}
    for source, projection in edges:
        parts.setdefault((source, projection.slot), []).append(projection.kernel)
    return [
        (source, Projection(_sum(kernels, network.graph.node(source).shape, population.shape), slot))
        for (source, slot), kernels in parts.items()
    ]


def _sum(kernels: list[Kernel], source: Shape, target: Shape) -> Kernel:
    """Returns the sum of linear maps: into a vector as a matrix, as layers have it, else as a list."""
    if len(kernels) == 1:
        return kernels[0]
    total = to_sparse(kernels[0], source, target)
    for kernel in kernels[1:]:
        total = add_sparse(total, to_sparse(kernel, source, target))
    if target[:2] != (1, 1):
        return total
    weight = np.zeros((target[2], int(np.prod(source))), total.weight.dtype)
    weight[total.rows, total.columns] = total.weight
    return Dense(weight)
