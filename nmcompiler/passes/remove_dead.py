"""Layers that reach no output go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import networkx as nx

from nmcompiler.ir.layers import Model
from nmcompiler.passes.base import EXACT, Context, Keeps, Note, PassResult
from nmcompiler.passes.draft import Draft

__all__ = ["RemoveDead"]


@dataclass(frozen=True)
class RemoveDead:
    """Removes layers that no output depends on; inputs stay, since the file's ports name them."""

    name: ClassVar[str] = "remove-dead"
    keeps: ClassVar[Keeps] = EXACT

    def run(self, graph: Model, context: Context) -> PassResult[Model]:
        """Returns the model without its dead layers."""
        alive = {port.node for port in graph.outputs} | {port.node for port in graph.inputs}
        for port in graph.outputs:
            alive |= nx.ancestors(graph.graph.nx, port.node)
        dead = [name for name in graph.graph.names() if name not in alive]
        if not dead:
            return PassResult(graph, False)
        draft = Draft(graph)
        for name in dead:
            draft.remove(name)
        return PassResult(draft.model(), True, tuple(Note(n, "reaches no output") for n in dead))
