"""Weights of 0 are no synapses where a neuron would else have more than the chip allows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape, Sparse
from nmcompiler.ir.network import Network, Population, PopulationGraph, Projection
from nmcompiler.mapping.reach import reach
from nmcompiler.passes.base import EXACT, Context, Keeps, Note, PassResult
from nmcompiler.passes.fan_in import FanIn
from nmcompiler.passes.kernel_algebra import to_sparse

__all__ = ["DropZeros", "fan_in_of"]


@dataclass(frozen=True)
class DropZeros:
    """Makes lists of synapses of the kernels into a population that has too many, without those of weight 0.

    A core stores a dense layer or a convolution with all its weights. Layers that were pruned, by the
    compiler or when they were trained, have fewer synapses than that, and fit where others would not.
    """

    name: ClassVar[str] = "drop-zeros"
    keeps: ClassVar[Keeps] = EXACT

    def run(self, graph: Network, context: Context) -> PassResult[Network]:
        """Returns the network in which no weight of 0 makes a population have too many synapses."""
        limit = FanIn.of(context.target)
        if limit is None:
            return PassResult(graph, False)
        populations, notes = PopulationGraph(), []
        for p in graph.graph:
            populations.add(p)
            edges = graph.graph.in_edges(p.name)
            shapes = [graph.graph.node(edge.source).shape for edge in edges]
            kernels = [edge.payload.kernel for edge in edges]
            bias = limit.bias * (p.bias != 0)
            if edges and int((fan_in_of(kernels, shapes, p) + bias).max()) > limit.most:
                listed = [_listed(k, s, p.shape) for k, s in zip(kernels, shapes, strict=True)]
                if any(new is not old for new, old in zip(listed, kernels, strict=True)):
                    kernels = listed
                    notes.append(Note(p.name, "stores no weights of 0", by_target=True))
            for edge, kernel in zip(edges, kernels, strict=True):
                populations.connect(edge.source, p.name, Projection(kernel, edge.payload.slot))
        if not notes:
            return PassResult(graph, False)
        return PassResult(replace(graph, graph=populations), True, tuple(notes))


def fan_in_of(kernels: list[Kernel], sources: list[Shape], population: Population) -> Array:
    """Returns the synapses of each neuron, ``(h, w, c)`` int64, those of weight 0 included."""
    total = np.zeros(population.shape, np.int64)
    for kernel, source in zip(kernels, sources, strict=True):
        total += reach(kernel, source, population.shape).fan_in
    return total


def _listed(kernel: Kernel, source: Shape, target: Shape) -> Kernel:
    """Returns the synapses whose weight is not 0; the kernel itself where those are all."""
    if np.all(kernel.weight) or not isinstance(kernel, Dense | Conv):
        return kernel
    listed = to_sparse(kernel, source, target)
    real = listed.weight != 0
    return Sparse(listed.rows[real], listed.columns[real], listed.weight[real])
