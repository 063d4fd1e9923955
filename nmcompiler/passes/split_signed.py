"""Signed values as an on half and an off half, for chips whose spikes carry no sign."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from nmcompiler.ir.kernels import Array, Dense, Kernel, Shape, Sparse
from nmcompiler.ir.layers import OutputPort
from nmcompiler.ir.network import Network, Population, PopulationGraph, Projection
from nmcompiler.passes.base import EXACT, Context, Keeps, Note, PassResult

__all__ = ["SplitSigned", "read_halves"]

_TIE = 2.0**-40  # share of a scale by which the off half of an input moves so that ties fall the same way


@dataclass(frozen=True)
class SplitSigned:
    """Doubles the channels of every signed population: the first half sends max(q, 0), the second max(−q, 0).

    The off half has weights −w and starts at ``−b + θ − 1 − θ//2``, because ⌊·⌋ is not symmetric:
    ``−⌊v/θ⌋ = ⌊(−v + θ − 1)/θ⌋`` (SEMANTICS §1). Readers take the on half with w and the off half with −w;
    an output is its on half less its off half.
    """

    name: ClassVar[str] = "split-signed"
    keeps: ClassVar[Keeps] = EXACT

    def run(self, graph: Network, context: Context) -> PassResult[Network]:
        """Returns the network in which no population sends signed values."""
        split = {p.name for p in graph.graph if p.signed and p.sends}
        if not split:
            return PassResult(graph, False)
        populations = PopulationGraph()
        for p in graph.graph:
            populations.add(_halves(p) if p.name in split else p)
        for edge in graph.graph.edges():
            ends = graph.graph.node(edge.source).shape, graph.graph.node(edge.target).shape
            kernels = [edge.payload.kernel]
            if edge.source in split:
                kernels = [k for kernel in kernels for k in read_halves(kernel, ends[0])]
            if edge.target in split:
                kernels = [k for kernel in kernels for k in _write_halves(kernel, ends[1])]
            for kernel in kernels:
                populations.connect(edge.source, edge.target, Projection(kernel, edge.payload.slot))
        inputs = tuple(
            replace(port, order=_twice(port.order, graph.graph.node(port.node).shape))
            if port.node in split
            else port
            for port in graph.inputs
        )
        outputs = tuple(
            _halved(port, graph.graph.node(port.node).shape[2]) if port.node in split else port
            for port in graph.outputs
        )
        network = replace(graph, graph=populations, inputs=inputs, outputs=outputs)
        return PassResult(
            network, True, tuple(Note(n, "split into an on and an off half") for n in sorted(split))
        )


def _halves(p: Population) -> Population:
    h, w, c = p.shape
    bias, theta = (_spread(value, c) for value in np.broadcast_arrays(p.bias, p.theta))
    off = -bias + theta - 1 - 2 * (theta // 2)
    is_input = p.role == "input"
    return replace(
        p,
        shape=(h, w, 2 * c),
        bias=p.bias if is_input else np.concatenate([bias, off], axis=-1),
        lead=p.lead if p.lead.shape[2] == 1 else np.concatenate([p.lead, p.lead], axis=-1),
        theta=p.theta if is_input else np.concatenate([theta, theta], axis=-1),
        signed=False,
        scale=np.concatenate([p.scale, -p.scale]),
        # The host rounds ties up. −x would round them the other way, so the off half moves by a hair.
        offset=np.concatenate([p.offset, p.offset - _TIE * p.scale if is_input else p.offset]),
    )


def _spread(value: Array, channels: int) -> Array:
    return np.array(np.broadcast_to(value, (*value.shape[:2], channels)))


def read_halves(kernel: Kernel, source: Shape) -> list[Kernel]:
    """Returns kernels on the doubled channels of the source."""
    h, w, c = source
    if isinstance(kernel, Dense):
        weight = kernel.weight.reshape(len(kernel.weight), h, w, c)
        both = np.concatenate([weight, -weight], axis=-1)
        return [Dense(both.reshape(len(weight), -1))]
    if isinstance(kernel, Sparse):
        on = kernel.columns // c * 2 * c + kernel.columns % c
        return [_joined(kernel.rows, on, kernel.rows, on + c, kernel.weight)]
    off = replace(kernel, weight=-kernel.weight, source_channel=kernel.source_channel + c)
    if kernel.groups == 1 and kernel.weight.shape[2] == c:
        return [replace(kernel, weight=np.concatenate([kernel.weight, off.weight], axis=2))]
    return [kernel, off]


def _write_halves(kernel: Kernel, target: Shape) -> list[Kernel]:
    """Returns kernels into the doubled channels of the target."""
    h, w, c = target
    if isinstance(kernel, Dense):
        weight = kernel.weight.reshape(h, w, c, -1)
        both = np.concatenate([weight, -weight], axis=2)
        return [Dense(both.reshape(2 * h * w * c, -1))]
    if isinstance(kernel, Sparse):
        on = kernel.rows // c * 2 * c + kernel.rows % c
        return [_joined(on, kernel.columns, on + c, kernel.columns, kernel.weight)]
    off = replace(kernel, weight=-kernel.weight, target_channel=kernel.target_channel + c)
    if kernel.groups == 1 and kernel.weight.shape[3] == c:
        return [replace(kernel, weight=np.concatenate([kernel.weight, off.weight], axis=3))]
    return [kernel, off]


def _joined(rows: Array, columns: Array, more_rows: Array, more_columns: Array, weight: Array) -> Sparse:
    return Sparse(
        np.concatenate([rows, more_rows]),
        np.concatenate([columns, more_columns]),
        np.concatenate([weight, -weight]),
    )


def _halved(port: OutputPort, channels: int) -> OutputPort:
    """Returns a port that reads the on half less the off half of a population that had ``channels``."""
    on = port.order // channels * 2 * channels + port.order % channels
    return replace(port, order=on, off=on + channels)


def _twice(order: Array, shape: Shape) -> Array:
    places = order.reshape(*shape)
    return np.concatenate([places, places], axis=-1).reshape(-1)
