"""Sums that cannot be negative say so, and need no sign on the chip."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from nmcompiler.ir.layers import Clip, Layer, Model
from nmcompiler.passes.base import EXACT, Context, Keeps, Note, PassResult
from nmcompiler.passes.draft import Draft

__all__ = ["Rectify"]


@dataclass(frozen=True)
class Rectify:
    """Gives a ReLU to linear layers whose sources, weights and bias are never negative.

    Averages, joins and pools of rectified values are such layers. As unsigned values they need half the
    levels, and their max pools read no position twice. Layers that are read out are left alone.
    """

    name: ClassVar[str] = "rectify"
    keeps: ClassVar[Keeps] = EXACT

    def run(self, graph: Model, context: Context) -> PassResult[Model]:
        """Returns the model in which no layer is signed without need."""
        draft, notes = Draft(graph), []
        for layer in graph.graph:  # sources first
            if layer.activation.lower < 0 and layer.name not in draft.ports and _positive(draft, layer.name):
                draft.layers[layer.name] = replace(layer, activation=Clip(0.0, layer.activation.upper))
                notes.append(Note(layer.name, "is never negative, and needs no sign"))
        changed = bool(notes)
        return PassResult(draft.model() if changed else graph, changed, tuple(notes))


def _positive(draft: Draft, name: str) -> bool:
    """Whether the sum of a layer is never negative, whatever the inputs are."""
    layer: Layer = draft.layers[name]
    edges = draft.sources[name]
    return (
        not layer.is_input
        and layer.function is None
        and layer.activation.upper >= 0
        and bool(np.all(layer.bias >= 0))
        and all(draft.layers[source].activation.lower >= 0 for source, _ in edges)
        and all(bool(np.all(link.kernel.weight >= 0)) for _, link in edges)
    )
