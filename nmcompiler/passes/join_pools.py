"""Max pools become populations of their own where their terms would fill whole chips with weights.

A pool over n positions is the sum of ``1 + ⌈log2 n⌉`` terms (``max_tree``), and whoever reads it stores its
weights once for each. For a kernel that cores share that is little; a dense layer behind the last pool, which
in AlexNet and VGG is most of the network, takes three to five times its memory. A population that adds up the
terms costs one neuron a value and the window of one more layer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from nmcompiler.ir.kernels import Dense
from nmcompiler.ir.layers import Layer, Model
from nmcompiler.passes.base import EXACT, Context, Keeps, Note, PassResult
from nmcompiler.passes.draft import Draft
from nmcompiler.target.model import Target

__all__ = ["JoinPools"]


@dataclass(frozen=True)
class JoinPools:
    """Joins as few pools as bring the estimated number of chips down to what joining all that pay would.

    A pool pays where it saves a core. Networks of one chip stay as they are: a window less is worth
    more than a core there. Estimates count neurons and weights of each layer against the largest core.
    """

    name: ClassVar[str] = "join-pools"
    keeps: ClassVar[Keeps] = EXACT

    def run(self, graph: Model, context: Context) -> PassResult[Model]:
        """Returns the model with the pools that are to be joined marked, the same where there is none."""
        core = _Core.of(context.target)
        if core is None:
            return PassResult(graph, False)
        draft = Draft(graph)
        saved = {name: core.saved(draft, name) for name in draft.layers}
        paying = sorted((name for name, cores in saved.items() if cores >= 1), key=lambda name: -saved[name])
        total = sum(core.needed(draft, name) for name in draft.layers)
        chips = [core.chips(total - sum(saved[name] for name in paying[:n])) for n in range(len(paying) + 1)]
        joined = paying[: chips.index(min(chips))]
        for name in joined:
            pool = draft.layers[name].max_pool
            if pool is not None:
                draft.layers[name] = replace(draft.layers[name], max_pool=replace(pool, joined=True))
        notes = tuple(_note(name, saved[name]) for name in joined)
        return PassResult(draft.model() if joined else graph, bool(joined), notes)


def _note(name: str, cores: float) -> Note:
    text = (
        f"holds the result of its pool in neurons of its own, which saves about {cores:,.0f} cores of weights"
    )
    return Note(name, text, by_target=True)


@dataclass(frozen=True)
class _Core:
    """The largest core of a chip.

    Attributes:
        neurons: Neurons that it holds.
        weights: Weights that it stores.
        of_a_chip: Cores of a chip.
    """

    neurons: float
    weights: int
    of_a_chip: int

    @classmethod
    def of(cls, target: Target) -> _Core | None:
        """Returns None where weights are not what fills cores, or layers follow rules of their own."""
        stored = [kind.limits.synapse_bits for kind in target.core_types]
        special = (target.crossbar, target.conductance_tiles, target.neuron_array, target.network_limits)
        if target.layer_rules is not None or any(s is not None for s in special):
            return None
        bits = max((b for b in stored if b is not None), default=0)
        if None in stored or bits < target.weight_bits:
            return None
        held = [kind.limits.neurons for kind in target.core_types]
        most = math.inf if None in held else max(n for n in held if n is not None)
        return cls(most / target.compartments_per_neuron, bits // target.weight_bits, target.cores_per_chip)

    def chips(self, cores: float) -> int:
        """Returns how many chips so many cores fill."""
        return math.ceil(cores / self.of_a_chip)

    def needed(self, draft: Draft, name: str) -> float:
        """Returns about how many cores a layer takes, with the neurons of its pool."""
        layer = draft.layers[name]
        if layer.is_input:
            return 0.0
        pool = layer.max_pool
        tree = 0 if pool is None else layer.size * (math.prod(pool.size) - 1 + int(pool.joined))
        weights = sum(
            _terms(draft.layers[source]) * link.kernel.weight.size for source, link in draft.sources[name]
        )
        return max(math.prod(layer.sum_shape) / self.neurons, weights / self.weights) + tree / self.neurons

    def saved(self, draft: Draft, name: str) -> float:
        """Returns how many cores the joined pool of a layer saves in the dense layers that read it."""
        layer = draft.layers[name]
        weights = sum(
            (_terms(layer) - 1) * link.kernel.weight.size
            for edges in draft.sources.values()
            for source, link in edges
            if source == name and isinstance(link.kernel, Dense)
        )
        return weights / self.weights - layer.size / self.neurons if weights else 0.0


def _terms(layer: Layer) -> int:
    """Returns as how many populations a layer is read."""
    pool = layer.max_pool
    return 1 if pool is None or pool.joined else 1 + math.ceil(math.log2(math.prod(pool.size)))
