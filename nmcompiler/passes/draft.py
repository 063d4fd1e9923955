"""A layer graph under rewriting: layers and their in-edges in plain dictionaries."""

from __future__ import annotations

from dataclasses import replace

import networkx as nx
import numpy as np

from nmcompiler.ir.kernels import Array, Shape
from nmcompiler.ir.layers import Layer, LayerGraph, Link, Model

__all__ = ["Draft", "compact"]


def compact(value: Array) -> Array:
    """Returns ``value`` in the smallest of the shapes ``(1, 1, 1)``, ``(1, 1, c)`` and its own."""
    value = np.asarray(value)
    if value.size and np.all(value == value[:1, :1]):
        value = value[:1, :1]
        if np.all(value == value[..., :1]):
            value = value[..., :1]
    return np.ascontiguousarray(value)


class Draft:
    """A mutable copy of a model; ``model()`` makes it a value again.

    Attributes:
        layers: Layers by name, in the order of adding.
        sources: For every layer its in-edges ``(source, link)`` in order.
        ports: For every output port the layer that it reads.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self.layers: dict[str, Layer] = {layer.name: layer for layer in model.graph}
        self.sources: dict[str, list[tuple[str, Link]]] = {
            name: [(e.source, e.payload) for e in model.graph.in_edges(name)] for name in self.layers
        }
        self.ports: list[str] = [port.node for port in model.outputs]

    def consumers(self, name: str) -> list[str]:
        """Returns the distinct layers that read a layer."""
        return [n for n, edges in self.sources.items() if any(source == name for source, _ in edges)]

    def shape(self, name: str) -> Shape:
        """Returns the shape of a layer's result."""
        return self.layers[name].shape

    def remove(self, name: str) -> None:
        """Removes a layer that nothing reads."""
        del self.layers[name], self.sources[name]

    def rename(self, old: str, new: str) -> None:
        """Gives a layer the name of another that has been removed."""
        self.layers = {
            (new if n == old else n): (replace(layer, name=new) if n == old else layer)
            for n, layer in self.layers.items()
        }
        self.sources = {
            (new if n == old else n): [(new if s == old else s, link) for s, link in edges]
            for n, edges in self.sources.items()
        }
        self.ports = [new if n == old else n for n in self.ports]

    def model(self) -> Model:
        """Returns the model, its layers in topological order."""
        order: nx.DiGraph[str] = nx.DiGraph()
        order.add_nodes_from(self.layers)
        order.add_edges_from((s, n) for n, edges in self.sources.items() for s, _ in edges)
        rank = {name: i for i, name in enumerate(self.layers)}
        graph: LayerGraph = LayerGraph()
        for name in nx.lexicographical_topological_sort(order, key=rank.__getitem__):
            graph.add(self.layers[name])
            for source, link in self.sources[name]:
                graph.connect(source, name, link)
        outputs = tuple(
            replace(port, node=node) for port, node in zip(self._model.outputs, self.ports, strict=True)
        )
        return replace(self._model, graph=graph, outputs=outputs)
