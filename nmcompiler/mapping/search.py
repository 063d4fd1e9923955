"""Cutting one population: the grid with the fewest boxes that all fit on a core."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from nmcompiler.ir.kernels import Array, Shape
from nmcompiler.mapping.needs import PopulationNeeds
from nmcompiler.mapping.reach import Cuts, cut, segment_max, segment_sums
from nmcompiler.target.model import Limits

__all__ = ["Outputs", "grid_needs", "search"]

# What a single neuron needs, which no cut lowers.
_OF_ONE_NEURON = ("fan_in", "destinations")


@dataclass(frozen=True, eq=False)
class Outputs:
    """Where the neurons of one population must send.

    Attributes:
        cores: ``(h, w, c)`` int64 number of destination cores of each neuron.
        built: ``(h, w, c)`` int64 how many times each neuron is built so that it reaches all its axons; None
            where once is enough for all.
    """

    cores: Array
    built: Array | None = None

    def output_axons(self, cuts: Cuts) -> Array:
        """Returns the (neuron, destination core) pairs of each box of a grid."""
        return segment_sums(self.cores, cuts)

    def destinations(self, cuts: Cuts) -> Array:
        """Returns the most destination cores of one neuron for each box of a grid."""
        return segment_max(self.cores, cuts)

    def neurons(self, cuts: Cuts) -> Array | None:
        """Returns the neurons of each box of a grid with their copies; None where there are none."""
        return None if self.built is None else segment_sums(self.built, cuts)


def grid_needs(needs: PopulationNeeds, outputs: Outputs) -> Mapping[str, Callable[[Cuts], Array]]:
    """Returns, by resource, what each box of a grid costs; the cheapest to compute first."""
    target = needs.target

    def compartments(cuts: Cuts) -> Array:
        built = outputs.neurons(cuts)
        return (needs.neurons(cuts) if built is None else built) * target.compartments_per_neuron

    return {
        "neurons": compartments,
        "state_bits": lambda cuts: compartments(cuts) * target.membrane_bits,
        "synapse_bits": needs.synapse_bits,
        "output_axons": outputs.output_axons,
        "input_axons": needs.input_axons,
        "thresholds": needs.thresholds,
        "fan_in": lambda cuts: segment_max(needs.fan_in, cuts),
        "destinations": outputs.destinations,
    }


def search(
    needs: PopulationNeeds, outputs: Outputs, limits: Limits, channel_parts: int | None = None
) -> Cuts | None:
    """Returns the grid with the fewest boxes that all fit, or None where there is none.

    Of equal numbers of boxes, the one with the fewest cuts of channels, then of columns, wins. Where there
    is a bound ``channel_parts``, channels are cut into no more parts.
    """
    whole = cut(needs.shape, (1, 1, 1))
    tests, fewest = [], 1
    for resource, cost in grid_needs(needs, outputs).items():
        limit = getattr(limits, resource)
        if limit is None:
            continue
        used = cost(whole).item()
        if used <= limit:
            continue  # no box needs more than the whole population
        if resource in _OF_ONE_NEURON:
            return None
        fewest = max(fewest, -(-used // max(limit, 1)))  # the boxes of a grid together need at least as much
        tests.append((cost, limit))
    for parts in _grids(needs.shape, fewest, channel_parts):
        cuts = cut(needs.shape, parts)
        if all(int(cost(cuts).max()) <= limit for cost, limit in tests):
            return cuts
    return None


def _grids(shape: Shape, fewest: int, channel_parts: int | None) -> Iterator[Shape]:
    """Yields the grids of at least ``fewest`` boxes, the best first."""
    y, x, c = np.meshgrid(*(_part_counts(n) for n in shape), indexing="ij")
    boxes = y * x * c
    allowed = (boxes >= fewest) & (c <= (channel_parts or shape[2]))
    grids = np.stack([boxes, c, x, y])[:, allowed]
    for _, nc, nx, ny in grids[:, np.lexsort(grids[::-1])].T.tolist():
        yield ny, nx, nc


def _part_counts(length: int) -> Array:
    """Returns the numbers of parts worth trying: the fewest for each size of the largest part."""
    return np.unique(-(-length // np.arange(1, length + 1)))
