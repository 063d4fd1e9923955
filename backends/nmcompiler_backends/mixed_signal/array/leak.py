"""Says where membranes forget so fast that spikes are lost on their way to a threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nmcompiler.ir.network import Network
from nmcompiler.passes.base import EXACT, Context, Keeps, Note, PassResult

__all__ = ["LEAST_TAU_STEPS", "LeakWarning"]

LEAST_TAU_STEPS = 4.0
"""Time constant in steps from which on a rate loses nothing, measured: counts are off by 2 % of T."""


@dataclass(frozen=True)
class LeakWarning:
    """Changes nothing; warns once where the time constant is too short.

    The leak towards half of the threshold gives back what a constant drive loses. It cannot give back a sum
    that decays while spikes that belong together arrive one after the other.
    """

    name: ClassVar[str] = "leak-warning"
    keeps: ClassVar[Keeps] = EXACT

    def run(self, graph: Network, context: Context) -> PassResult[Network]:
        """Returns the network as it is."""
        array = context.target.neuron_array
        tau = None if array is None else array.tau_steps
        if tau is None or tau >= LEAST_TAU_STEPS:
            return PassResult(graph, False)
        text = (
            f"forgets: its membranes leak with a time constant of {tau:g} steps, and below "
            f"{LEAST_TAU_STEPS:g} spikes are lost; make steps shorter, or tau_steps longer"
        )
        first = next((p.name for p in graph.graph if p.role == "hidden"), None)
        notes = () if first is None else (Note(first, text, by_target=True, warning=True),)
        return PassResult(graph, False, notes)
