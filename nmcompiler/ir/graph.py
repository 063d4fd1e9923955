"""A thin typed wrapper around ``networkx.MultiDiGraph``.

Nodes and edges carry one frozen payload each. Parallel edges are kept: ``Add(x, x)`` has two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import networkx as nx

__all__ = ["Edge", "Graph"]


class _Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)
E = TypeVar("E")


@dataclass(frozen=True)
class Edge(Generic[E]):
    """A payload with its two ends."""

    source: str
    target: str
    payload: E


class Graph(Generic[N, E]):
    """A directed multigraph of named payloads.

    Order is part of the value: nodes keep the order in which they were added, in-edges theirs, and
    ``names()`` is the topological order that breaks ties by it, so that equal inputs give equal outputs.
    """

    def __init__(self) -> None:
        self._graph: nx.MultiDiGraph[str] = nx.MultiDiGraph()
        self._connected = 0  # the key of the next edge: networkx loses the order of in-edges in copies

    @property
    def nx(self) -> nx.MultiDiGraph[str]:
        """The graph itself, for networkx's algorithms; payloads are under the key ``payload``."""
        return self._graph

    def __len__(self) -> int:
        return self._graph.number_of_nodes()

    def __contains__(self, name: object) -> bool:
        return name in self._graph

    def add(self, node: N) -> None:
        """Adds a node, or raises ``ValueError`` where the name is taken."""
        if node.name in self._graph:
            raise ValueError(f"node '{node.name}' exists already")
        self._graph.add_node(node.name, payload=node)

    def replace(self, node: N) -> None:
        """Puts ``node`` in the place of the node of the same name; edges stay."""
        if node.name not in self._graph:
            raise KeyError(node.name)
        self._graph.nodes[node.name]["payload"] = node

    def remove(self, name: str) -> None:
        """Removes a node and its edges."""
        self._graph.remove_node(name)

    def connect(self, source: str, target: str, payload: E) -> None:
        """Adds an edge between two nodes that exist."""
        for name in (source, target):
            if name not in self._graph:
                raise KeyError(name)
        self._graph.add_edge(source, target, key=self._connected, payload=payload)
        self._connected += 1

    def disconnect(self, target: str) -> None:
        """Removes all in-edges of a node."""
        self._graph.remove_edges_from(list(self._graph.in_edges(target, keys=True)))

    def node(self, name: str) -> N:
        """Returns the payload of a node."""
        payload: N = self._graph.nodes[name]["payload"]
        return payload

    def names(self) -> tuple[str, ...]:
        """Returns the names in topological order, ties in the order of adding."""
        rank = {name: i for i, name in enumerate(self._graph.nodes)}
        return tuple(nx.lexicographical_topological_sort(self._graph, key=rank.__getitem__))

    def __iter__(self) -> Iterator[N]:
        return (self.node(name) for name in self.names())

    def in_edges(self, name: str) -> tuple[Edge[E], ...]:
        """Returns the edges that end at a node in the order of adding, those of one source together."""
        edges = sorted(self._graph.in_edges(name, keys=True, data=True), key=lambda edge: edge[2])
        first: dict[str, int] = {}
        for source, _, key, _ in edges:
            first.setdefault(source, key)
        edges.sort(key=lambda edge: first[edge[0]])
        return tuple(Edge(s, t, d["payload"]) for s, t, _, d in edges)

    def out_edges(self, name: str) -> tuple[Edge[E], ...]:
        """Returns the edges that start at a node."""
        return tuple(Edge(s, t, d["payload"]) for s, t, d in self._graph.out_edges(name, data=True))

    def edges(self) -> tuple[Edge[E], ...]:
        """Returns all edges, target by target in topological order."""
        return tuple(edge for name in self.names() for edge in self.in_edges(name))

    def predecessors(self, name: str) -> tuple[str, ...]:
        """Returns the distinct sources of a node, in the order of adding."""
        return tuple(dict.fromkeys(e.source for e in self.in_edges(name)))

    def successors(self, name: str) -> tuple[str, ...]:
        """Returns the distinct targets of a node."""
        return tuple(dict.fromkeys(e.target for e in self.out_edges(name)))

    def copy(self) -> Graph[N, E]:
        """Returns a graph with the same payloads that can be changed on its own."""
        other: Graph[N, E] = Graph()
        other._graph = self._graph.copy()
        other._connected = self._connected
        return other
