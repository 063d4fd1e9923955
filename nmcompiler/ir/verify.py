"""What must hold of a layer graph and of an integer network: short tables of (predicate, sentence)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias, TypeVar

import networkx as nx
import numpy as np

from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape
from nmcompiler.ir.layers import InputPort, Layer, Model, OutputPort
from nmcompiler.ir.network import Network, Population

__all__ = ["complaints"]

T = TypeVar("T")
Rules: TypeAlias = tuple[tuple[Callable[[T], bool], str], ...]


def complaints(graph: Model | Network) -> tuple[str, ...]:
    """Returns a sentence for everything that is wrong with a model or a network; none is well."""
    if not nx.is_directed_acyclic_graph(graph.graph.nx):
        return ("the graph has a cycle",)
    if isinstance(graph, Model):
        found = list(_broken(_LAYER, ((n.name, n) for n in graph.graph)))
        sums = {n.name: n.sum_shape for n in graph.graph}
        shapes = {n.name: n.shape for n in graph.graph}
        edges = [(e.source, e.target, e.payload.kernel) for e in graph.graph.edges()]
    else:
        found = list(_broken(_POPULATION, ((p.name, p) for p in graph.graph)))
        found += _roles(graph)
        sums = shapes = {p.name: p.shape for p in graph.graph}
        edges = [(e.source, e.target, e.payload.kernel) for e in graph.graph.edges()]
        fractions = [(s, t) for s, t, kernel in edges if kernel.weight.dtype.kind != "i"]
        found += [f"the weights of '{s}' → '{t}' are no integers" for s, t in fractions]
    for source, target, kernel in edges:
        fault = _kernel_fault(kernel, shapes[source], sums[target])
        if fault:
            found.append(f"the edge '{source}' → '{target}' {fault}")
    ports: list[InputPort | OutputPort] = [*graph.inputs, *graph.outputs]
    for port in ports:
        fault = _port_fault(port, shapes)
        if fault:
            found.append(f"port '{port.name}' {fault}")
    return tuple(found)


_LAYER: Rules[Layer] = (
    (lambda n: min(n.sum_shape) > 0 and min(n.shape) > 0, "has an empty shape"),
    (lambda n: _broadcasts(n.bias, n.sum_shape), "has a bias that does not broadcast to its shape"),
    (lambda n: bool(np.all(np.isfinite(n.bias))), "has a bias that is not finite"),
    (lambda n: n.activation.lower <= n.activation.upper, "clips to an empty range"),
    (lambda n: n.max_pool is not None or n.shape == n.sum_shape, "changes its shape without a pool"),
)

_POPULATION: Rules[Population] = (
    (lambda p: min(p.shape) > 0, "has an empty shape"),
    (lambda p: p.bias.dtype.kind == "i", "has a bias that is no integer"),
    (lambda p: p.theta.dtype.kind == "i", "has a threshold that is no integer"),
    (lambda p: _broadcasts(p.bias, p.shape), "has a bias that does not broadcast to its shape"),
    (lambda p: _broadcasts(p.theta, p.shape), "has thresholds that do not broadcast to its shape"),
    (lambda p: bool(np.all(p.theta >= 1)), "has a threshold below 1"),
    (lambda p: p.lead.dtype.kind == "i", "has a lead that is no integer"),
    (lambda p: _broadcasts(p.lead, p.shape), "has a lead that does not broadcast to its shape"),
    (lambda p: p.levels >= int(p.role != "readout"), "has no levels"),
    (lambda p: p.scale.shape == p.offset.shape == (p.shape[2],), "has not one scale and offset per channel"),
    (lambda p: bool(np.all(np.isfinite(p.scale) & (p.scale != 0))), "has a scale that is 0 or not finite"),
    (lambda p: p.role == "input" or not np.any(p.offset), "has an offset although it is no input"),
    (
        lambda p: p.role != "readout" or len(np.unique(np.abs(p.scale))) == 1,
        "is a read-out with several scales",
    ),
    (
        lambda p: p.fires or bool(np.all(p.theta == 1)),
        "does not fire and has thresholds",
    ),
)


def _broken(rules: Rules[T], named: Iterable[tuple[str, T]]) -> Iterable[str]:
    for name, value in named:
        for holds, sentence in rules:
            if not holds(value):
                yield f"'{name}' {sentence}"


def _roles(network: Network) -> list[str]:
    found = []
    read = {port.node for port in network.outputs}
    fed = {port.node for port in network.inputs}
    for p in network.graph:
        if p.role == "input" and network.graph.in_edges(p.name):
            found.append(f"'{p.name}' is an input with sources")
        if p.role == "readout" and network.graph.out_edges(p.name):
            found.append(f"'{p.name}' is a read-out that others read")
        if (p.role == "readout") != (p.name in read):
            found.append(f"'{p.name}' and the output ports disagree about what is read out")
        if (p.role == "input") != (p.name in fed):
            found.append(f"'{p.name}' and the input ports disagree about what is fed")
    return found


def _broadcasts(value: Array, shape: Shape) -> bool:
    return value.shape in {(1, 1, 1), (1, 1, shape[2]), shape}


def _kernel_fault(kernel: Kernel, before: Shape, after: Shape) -> str:
    """Returns what is wrong with a kernel between two shapes, empty for nothing."""
    if not np.all(np.isfinite(kernel.weight)):
        return "has weights that are not finite"
    if isinstance(kernel, Dense):
        wanted = (int(np.prod(after)), int(np.prod(before)))
        return "" if kernel.weight.shape == wanted else f"has {kernel.weight.shape} weights, not {wanted}"
    if isinstance(kernel, Conv):
        if kernel.groups < 1 or kernel.target_channels % kernel.groups:
            return "has groups that do not divide its channels"
        read = kernel.source_channel + kernel.source_channels <= before[2] and kernel.source_channel >= 0
        written = kernel.target_channel + kernel.target_channels <= after[2] and kernel.target_channel >= 0
        return "" if read and written else "reads or writes channels that do not exist"
    if not kernel.rows.shape == kernel.columns.shape == kernel.weight.shape:
        return "has lists of different length"
    inside = _within(kernel.rows, after) and _within(kernel.columns, before)
    return "" if inside else "has synapses outside its ends"


def _within(positions: Array, shape: Shape) -> bool:
    return bool(np.all((positions >= 0) & (positions < int(np.prod(shape)))))


def _port_fault(port: InputPort | OutputPort, shapes: dict[str, Shape]) -> str:
    if port.node not in shapes:
        return f"names '{port.node}', which does not exist"
    elements = int(np.prod(port.shape))
    size = int(np.prod(shapes[port.node]))
    wanted, limit = (size, elements) if isinstance(port, InputPort) else (elements, size)
    if port.order.shape != (wanted,):
        return f"orders {port.order.shape} elements, not ({wanted},)"
    if not np.all((port.order >= 0) & (port.order < limit)):
        return "orders elements that do not exist"
    off = port.off if isinstance(port, OutputPort) else None
    if off is not None and not (off.shape == (wanted,) and np.all((off >= 0) & (off < limit))):
        return "subtracts elements that do not exist"
    return ""
