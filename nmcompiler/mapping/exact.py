"""Proofs that no partition has fewer cores, by SciPy's HiGHS.

The programme counts neurons and channels only, and leaves out everything that depends on where pieces lie:
each core k holds ``n[p, k]`` neurons of population p, in ``c[p, k]`` of its channels and with ``s[p, k]``
bits of synapses, all free as long as::

    Σ_k n[p, k] = neurons of p              n[p, k] ≤ c[p, k] · neurons of a channel
    Σ_k s[p, k] ≥ bits that p stores        s[p, k] ≥ c[p, k] · bits of the neuron of p that stores fewest
    n[p, k] ≤ z[p, k] · neurons of p        Σ_p z[p, k] ≤ populations of a core

and the sums over p fit a core. Every partition into pieces of any shape, in any packing, is a solution. Where
there is none for some number of cores, every partition of the network therefore has more: the proof holds for
all of them and not for one way to cut. Where there is one, nothing is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nmcompiler.ir.kernels import Array
from nmcompiler.mapping.bounds import stored
from nmcompiler.mapping.needs import NetworkNeeds, PopulationNeeds
from nmcompiler.target.model import Limits

__all__ = ["MOST_CORES", "proved_more_than"]

MOST_CORES = 12
"""Cores up to which a proof is tried."""

_SECONDS = 30.0
_KINDS = 4  # variables for each population and core: n, c, s, z


def proved_more_than(needs: NetworkNeeds, cores: int) -> bool:
    """Returns whether every partition of a network is proved to have more than some cores.

    False says nothing: there may be such a partition, or the solver ran out of time, or the target has cores
    of several types, for which nothing is tried.
    """
    from scipy.optimize import LinearConstraint, milp

    types = needs.target.core_types
    if len(types) > 1 or cores > MOST_CORES:
        return False
    if cores < 1:
        return True
    rows, low, high = _rows(needs, cores, types[0].limits)
    sizes, count = _sizes(needs), len(needs.populations)
    upper = np.tile(
        np.stack([sizes.neurons, sizes.channels, np.full(count, np.inf), np.ones(count)]).T, (cores, 1)
    )
    found = milp(
        np.zeros(upper.size),
        integrality=np.tile([1, 1, 0, 1], count * cores),
        bounds=(np.zeros(upper.size), upper.reshape(-1)),
        constraints=LinearConstraint(rows, low, high),
        options={"time_limit": _SECONDS},
    )
    return bool(found.status == 2)


@dataclass(frozen=True, eq=False)
class _Sizes:
    """Of each population: neurons, channels, bits stored at least, and bits of its smallest neuron."""

    neurons: Array
    channels: Array
    stored: Array
    channel_bits: Array


def _sizes(needs: NetworkNeeds) -> _Sizes:
    populations = list(needs.populations.values())
    return _Sizes(
        np.array([p.population.size for p in populations], float),
        np.array([p.shape[2] for p in populations], float),
        np.array([stored(p) for p in populations], float),
        np.array([_channel_bits(p) for p in populations], float),
    )


def _channel_bits(population: PopulationNeeds) -> int:
    """Returns the fewest bits that a neuron stores of which no other of its channel is on the core."""
    total = np.zeros(population.shape, np.int64)
    for wire in population.wires:
        kernel = wire.reach.kernel if population.target.weight_sharing else None
        fan_in = np.broadcast_to(wire.reach.fan_in, population.shape)
        total += fan_in if kernel is None else np.minimum(fan_in, kernel)
    return int(total.min()) * population.target.weight_bits


def _rows(needs: NetworkNeeds, cores: int, limits: Limits) -> tuple[Array, Array, Array]:
    """Returns the rows of the programme, with their least and largest values."""
    sizes, target = _sizes(needs), needs.target
    count = len(needs.populations)
    rows: list[Array] = []
    low: list[float] = []
    high: list[float] = []

    def row(least: float, most: float) -> Array:
        rows.append(np.zeros((cores, count, _KINDS)))
        low.append(least)
        high.append(most)
        return rows[-1]

    for p in range(count):
        row(sizes.neurons[p], sizes.neurons[p])[:, p, 0] = 1
        row(sizes.stored[p], np.inf)[:, p, 2] = 1
        for k in range(cores):
            row(-np.inf, 0)[k, p, :2] = 1, -sizes.neurons[p] / sizes.channels[p]
            row(-np.inf, 0)[k, p, 1:3] = sizes.channel_bits[p], -1
            row(-np.inf, 0)[k, p, [0, 3]] = 1, -sizes.neurons[p]
    each = target.compartments_per_neuron
    for k in range(cores):
        if limits.neurons is not None:
            row(0, limits.neurons // each)[k, :, 0] = 1
        if limits.state_bits is not None:
            row(0, limits.state_bits // (each * target.membrane_bits))[k, :, 0] = 1
        if limits.synapse_bits is not None:
            row(0, limits.synapse_bits)[k, :, 2] = 1
        if target.populations_per_core is not None:
            row(0, target.populations_per_core)[k, :, 3] = 1
    return np.stack(rows).reshape(len(rows), -1), np.array(low), np.array(high)
