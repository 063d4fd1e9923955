"""Cutting one population: the grid with the fewest boxes that all fit on a core."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from nmcompiler.ir.kernels import Array
from nmcompiler.mapping.needs import PopulationNeeds
from nmcompiler.mapping.pack import Candidate
from nmcompiler.mapping.reach import Cuts, cut, grid_box, segment_max, segment_sums
from nmcompiler.target.model import Limits

__all__ = ["Outputs", "candidates", "grid_needs", "search"]

# What a whole population costs here bounds what any grid costs, and is cheaper to know.
_UNCUT = ("fan_in", "destinations", "thresholds")


@dataclass(frozen=True, eq=False)
class Outputs:
    """Where the neurons of one population must send.

    Attributes:
        cores: ``(h, w, c)`` int64 number of destination cores of each neuron.
    """

    cores: Array

    def output_axons(self, cuts: Cuts) -> Array:
        """Returns the (neuron, destination core) pairs of each box of a grid."""
        return segment_sums(self.cores, cuts)

    def destinations(self, cuts: Cuts) -> Array:
        """Returns the most destination cores of one neuron for each box of a grid."""
        return segment_max(self.cores, cuts)


def grid_needs(needs: PopulationNeeds, outputs: Outputs) -> Mapping[str, Callable[[Cuts], Array]]:
    """Returns, by resource, what each box of a grid costs; the cheapest to compute first."""
    return {
        "neurons": needs.neurons,
        "state_bits": needs.state_bits,
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
    tests = []
    for resource, cost in grid_needs(needs, outputs).items():
        limit = getattr(limits, resource)
        if limit is None or (resource in _UNCUT and cost(whole).item() <= limit):
            continue
        if resource in ("fan_in", "destinations"):
            return None  # they are a neuron's own: no cut lowers them
        tests.append((cost, limit))
    for parts in _grids(needs, outputs, limits):
        if channel_parts is not None and parts[2] > channel_parts:
            continue
        cuts = cut(needs.shape, parts)
        if all(int(cost(cuts).max()) <= limit for cost, limit in tests):
            return cuts
    return None


def _grids(needs: PopulationNeeds, outputs: Outputs, limits: Limits) -> Iterator[tuple[int, int, int]]:
    """Yields the grids that plain sums allow, the best first."""
    ny, nx, nc = np.meshgrid(*(_part_counts(n) for n in needs.shape), indexing="ij")
    y, x, c = (-(-n // parts) for n, parts in zip(needs.shape, (ny, nx, nc), strict=True))
    pieces = ny * nx * nc
    allowed = np.ones(pieces.shape, bool)
    if limits.neurons is not None:
        allowed &= y * x * c <= limits.neurons
    if limits.output_axons is not None:
        allowed &= int(outputs.cores.sum()) <= pieces * limits.output_axons
    if limits.synapse_bits is not None and not needs.target.weight_sharing:
        allowed &= int(needs.fan_in.sum()) * needs.target.weight_bits <= pieces * limits.synapse_bits
    grids = np.stack([pieces, nc, nx, ny])[:, allowed]
    for _, k, j, i in grids[:, np.lexsort(grids[::-1])].T.tolist():
        yield i, j, k


def _part_counts(length: int) -> Array:
    """Returns the numbers of parts worth trying: the fewest for each size of the largest part."""
    return np.unique(-(-length // np.arange(1, length + 1)))


def candidates(needs: PopulationNeeds, outputs: Outputs, cuts: Cuts) -> Iterator[Candidate]:
    """Yields the boxes of a grid with their costs, in row-major order of the grid."""
    used = {resource: cost(cuts) for resource, cost in grid_needs(needs, outputs).items()}
    stored = [needs.stored(wire, cuts) for wire in needs.wires]
    for index in np.ndindex(used["neurons"].shape):
        box = grid_box(cuts, index)
        stores = tuple(
            (
                (needs.name, number, box.c0, box.c1),
                int(single[index]),
                None if once is None else int(once[0, 0, index[2]]),
            )
            for number, (single, once) in enumerate(stored)
        )
        yield Candidate(needs, box, {r: int(cost[index]) for r, cost in used.items()}, stores)
