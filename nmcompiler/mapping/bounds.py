"""How many cores any partition needs at least, from needs that do not depend on where layers are cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from nmcompiler.ir.cores import Box
from nmcompiler.ir.kernels import Array
from nmcompiler.mapping.needs import AxonKey, NetworkNeeds, PopulationNeeds
from nmcompiler.mapping.reach import axons
from nmcompiler.target.model import Limits, Target

__all__ = ["lower_bound", "stored", "unavoidable", "usable"]


def usable(target: Target) -> tuple[Limits, ...]:
    """Returns the limits of each type of core, without compartments left over by whole neurons."""
    each = target.compartments_per_neuron
    return tuple(
        t.limits if t.limits.neurons is None else replace(t.limits, neurons=t.limits.neurons // each * each)
        for t in target.core_types
    )


def unavoidable(needs: NetworkNeeds) -> Mapping[str, int]:
    """Returns, by resource, what all cores of any partition use together at the least.

    Every neuron lies somewhere, with all its compartments; every source that is read occupies an axon of
    some core, and every neuron that is read an output axon; every projection is stored at least once, as its
    kernel where that may be shared; every θ is needed on some core.
    """
    read: dict[AxonKey, Array] = {}
    thetas: set[int] = set()
    for population in needs.populations.values():
        whole = Box.whole(population.shape)
        for key in population.by_key:
            mask = population.read(key, whole)
            read[key] = mask | read[key] if key in read else mask
        thetas |= population.thetas(whole)
    neurons = sum(p.population.size for p in needs.populations.values()) + _copies(needs, read)
    compartments = neurons * needs.target.compartments_per_neuron
    return {
        "neurons": compartments,
        "state_bits": compartments * needs.target.membrane_bits,
        "synapse_bits": sum(stored(p) for p in needs.populations.values()),
        "input_axons": needs.target.axons_per_source
        * sum(axons(m, pixels=needs.target.axon_unit == "pixel") for m in read.values()),
        "output_axons": _sending(needs, read),
        "thresholds": len(thetas),
    }


def _copies(needs: NetworkNeeds, read: Mapping[AxonKey, Array]) -> int:
    """Returns how many copies of neurons there are at the least: every axon is on one core or more."""
    if needs.target.axon_fan_out is None:
        return 0
    more = 0
    for name in needs.populations:
        masks = [mask for key, mask in read.items() if key[0] == name]
        if masks:
            axons_of_each = np.sum(masks, axis=0, dtype=np.int64)
            more += int(np.maximum(-(-axons_of_each // needs.target.axon_fan_out) - 1, 0).sum())
    return more


def _sending(needs: NetworkNeeds, read: Mapping[AxonKey, Array]) -> int:
    """Returns the number of neurons on cores that any core reads."""
    any_delay: dict[str, Array] = {}
    for (source, _, _), mask in read.items():
        if source in needs.populations:
            any_delay[source] = mask | any_delay[source] if source in any_delay else mask
    return sum(int(np.count_nonzero(m)) for m in any_delay.values())


def stored(population: PopulationNeeds) -> int:
    """Returns the fewest bits for the synapses of a population, channel by channel.

    Either some core stores the kernel of a channel, or every core stores its synapses one by one. Where
    memory is taken in powers of two, which a larger box may fill better, only the weights are counted.
    """
    if population.target.kernel_memory != "weights":
        target = replace(population.target, kernel_memory="weights", weight_sharing=True)
        population = replace(population, target=target)
    h, w, c = population.shape
    cuts = np.array([0, h]), np.array([0, w]), np.arange(c + 1)
    return int(population.synapse_bits(cuts).sum())


def lower_bound(needs: NetworkNeeds, target: Target, chips: int) -> int:
    """Returns the cores that any partition needs on up to ``chips`` chips, at least 1.

    For each resource: the fewest cores, the largest first, that together hold what is unavoidable. Where
    all cores together are too few, their number is returned.
    """
    each = target.populations_per_core
    bound = max(1, 0 if each is None else -(-len(needs.populations) // each))
    limits = usable(target)
    for resource, amount in unavoidable(needs).items():
        sizes = [
            (getattr(limit, resource), t.count * chips)
            for t, limit in zip(target.core_types, limits, strict=True)
        ]
        bound = max(bound, _fewest(amount, sizes))
    return bound


def _fewest(amount: int, sizes: list[tuple[int | None, int]]) -> int:
    """Returns the fewest cores of given (limit, count) that hold an amount."""
    if any(limit is None for limit, _ in sizes):
        return 1
    used = 0
    for limit, count in sorted(((s or 0, n) for s, n in sizes), reverse=True):
        fit = min(count, -(-amount // max(limit, 1)))
        used += fit
        amount -= fit * limit
        if amount <= 0:
            break
    return used
