"""Every limit of a core that a layer breaks, where a mapper stops at the first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nmcompiler.ir.layers import Model
from nmcompiler.ir.spiking import Spiking
from nmcompiler.mapping.bounds import unavoidable
from nmcompiler.mapping.needs import PopulationNeeds, network_needs
from nmcompiler.mapping.reach import cut
from nmcompiler.target import Limits, Target
from nmcompiler.target.model import RESOURCES

__all__ = ["LayerLimit", "layer_limits", "too_few_cores", "too_many_neurons"]


@dataclass(frozen=True)
class LayerLimit:
    """A limit that even one neuron of a layer breaks."""

    layer: str
    resource: str
    used: int
    limit: int
    reason: str


def layer_limits(spiking: Spiking, target: Target) -> tuple[LayerLimit, ...]:
    """Returns all limits that some neuron of a layer breaks, wherever the layers are cut.

    Destinations and output axons depend on where the consumers lie, and are not among them. Of several
    kinds of cores, those limits count that the kind which comes nearest to holding the layer breaks.
    """
    found = []
    for needs in network_needs(spiking, target).populations.values():
        used = _of_one_neuron(needs, target)
        kinds = [_exceeded(used, kind.limits) for kind in target.core_types]
        nearest = min(kinds, key=lambda over: max((u / max(n, 1) for u, n in over.values()), default=0.0))
        for resource, (amount, limit) in nearest.items():
            what = target.words(resource)
            reason = f"layer '{needs.name}' needs {amount} {what} where {target.name} has {limit}"
            found.append(LayerLimit(needs.name, resource, amount, limit, reason))
    return tuple(found)


def too_many_neurons(model: Model, target: Target, chips: int) -> LayerLimit | None:
    """Returns the shortage of cores that the sizes of the layers alone make sure of, or None.

    It needs no integer network, whose making takes long where a network is far too large.
    """
    sizes = {
        layer.name: math.prod(layer.sum_shape)
        for layer in model.graph
        if not layer.is_input and layer.max_pool is None  # a pool may need no population of its own
    }
    compartments = sum(sizes.values()) * target.compartments_per_neuron
    cores = _short_of(target, chips, {"neurons": compartments})
    return (
        None if cores is None else _shortage(max(sizes, key=lambda name: sizes[name]), *cores, target, chips)
    )


def too_few_cores(spiking: Spiking, target: Target, chips: int) -> LayerLimit | None:
    """Returns the shortage of cores that no partition can avoid, or None where there may be enough.

    It takes a moment, where a mapper would cut a large network into thousands of pieces to find out.
    """
    needs = network_needs(spiking, target)
    cores = _short_of(target, chips, unavoidable(needs))
    if cores is None:
        return None
    by_size = cores[1] in ("neurons", "state_bits")
    layer = max(
        needs.populations.values(), key=lambda p: p.population.size if by_size else int(p.fan_in.sum())
    )
    return _shortage(layer.name, *cores, target, chips)


def _short_of(target: Target, chips: int, amounts: Mapping[str, int]) -> tuple[int, str, str] | None:
    """Returns the cores needed at least, the resource that needs them, and what unequal cores hold of it."""
    available = target.cores_per_chip * chips
    worst: tuple[int, str, str] | None = None
    for resource, amount in amounts.items():
        limits = [(getattr(kind.limits, resource), kind.count * chips) for kind in target.core_types]
        together = sum(n * (limit or 0) for limit, n in limits)
        if any(limit is None for limit, _ in limits) or amount <= together:
            continue
        # So many there would be if all that are missing were of the largest kind.
        cores = available + -(-(amount - together) // max(1, *(limit for limit, _ in limits)))
        worst = max(worst or (0, "", ""), (cores, resource, _unequal(limits, amount, together)))
    return worst


def _shortage(layer: str, cores: int, resource: str, unequal: str, target: Target, chips: int) -> LayerLimit:
    available = target.cores_per_chip * chips
    what = target.words(resource)
    reason = (
        f"layer '{layer}' and the rest need at least {cores} cores, for their {what} alone, "
        f"where {target.name} with {chips} chip{'s' if chips > 1 else ''} has {available}{unequal}"
    )
    return LayerLimit(layer, "cores", cores, available, reason)


def _unequal(limits: Sequence[tuple[int, int]], amount: int, together: int) -> str:
    """Returns what cores of different kinds hold of a resource, as a clause; empty where they are alike."""
    sizes = sorted({limit for limit, _ in limits})
    if len(sizes) == 1:
        return ""
    kinds = ", ".join(f"{sum(n for limit, n in limits if limit == size)} with {size:,}" for size in sizes)
    return f" ({kinds}: {together:,} together, and {amount:,} are needed)"


def _exceeded(used: Mapping[str, int], limits: Limits) -> dict[str, tuple[int, int]]:
    both = ((resource, used.get(resource, 0), getattr(limits, resource)) for resource in RESOURCES)
    return {r: (amount, limit) for r, amount, limit in both if limit is not None and amount > limit}


def _of_one_neuron(needs: PopulationNeeds, target: Target) -> dict[str, int]:
    """Returns what the most demanding neuron of a population needs, by resource."""
    fan_in = int(needs.fan_in.max(initial=0))
    used = {
        "neurons": target.compartments_per_neuron,
        "state_bits": target.compartments_per_neuron * target.membrane_bits,
        "fan_in": fan_in,
        "thresholds": min(needs.distinct_thresholds, 1),
    }
    # A neuron has no more axons and no more synapses than inputs: only beyond that they must be counted.
    counted = {
        "input_axons": (fan_in, needs.input_axons),
        "synapse_bits": (fan_in * target.weight_bits, needs.synapse_bits),
    }
    for resource, (most, count) in counted.items():
        limits = [getattr(kind.limits, resource) for kind in target.core_types]
        if any(limit is not None and most > limit for limit in limits):
            used[resource] = int(np.max(count(cut(needs.shape, needs.shape))))
    return used
