"""Shapes of the boxes of one population that are worth trying, the cheapest first.

What a shape costs is counted in cores: for every box the largest share that it takes of any resource of a
core, and for the layers before what their neurons need more of a core because they are read on several.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nmcompiler.ir.kernels import Array, Shape
from nmcompiler.mapping.needs import PopulationNeeds
from nmcompiler.mapping.reach import Cuts, cut
from nmcompiler.mapping.search import Outputs, grid_needs
from nmcompiler.target.model import Limits

__all__ = ["Pressure", "shapes"]

_SHARED = ("neurons", "state_bits", "synapse_bits", "output_axons", "input_axons", "thresholds")
_CHANNEL_PARTS = 10  # numbers of channel parts that are tried


@dataclass(frozen=True)
class Pressure:
    """What the layers before a population need of cores.

    Attributes:
        cores: For each of them the cores that their neurons and synapses fill at least.
        pairs: For each of them its (neuron, destination core) pairs so far.
        limit: Pairs that a core holds; None where nothing limits them.
        weight: What a core that they need counts.
        scarce: How scarce each resource is in the network: what a share counts that is not the largest.
    """

    cores: Mapping[str, float]
    pairs: Mapping[str, int]
    limit: int | None
    weight: float
    scarce: Mapping[str, float]

    def filled(self, used: Mapping[str, int], limits: Limits) -> float:
        """Returns how much of a core is used up."""
        shares = {r: used[r] / limit for r in _SHARED if (limit := getattr(limits, r))}
        beside = sum(weight * shares.get(r, 0.0) for r, weight in self.scarce.items())
        return float(max(shares.values(), default=0.0) + beside)

    def more(self, source: str, pairs: int) -> float:
        """Returns what more pairs of a layer cost."""
        if self.limit is None or source not in self.cores:
            return 0.0
        base, before = self.cores[source], self.pairs.get(source, 0)
        return self.weight * (
            self._needed(base, (before + pairs) / self.limit) - self._needed(base, before / self.limit)
        )

    def _needed(self, cores: float, pairs: float) -> float:
        """Returns about the larger of two, smooth so that what is not the larger counts a little."""
        return float((cores**3 + pairs**3) ** (1 / 3))


def shapes(
    needs: PopulationNeeds, outputs: Outputs, limits: Limits, pressure: Pressure, most: int
) -> list[Shape]:
    """Returns up to ``most`` numbers of parts along y, x and c, those that cost least first."""
    whole = cut(needs.shape, (1, 1, 1))
    costs = {r: f for r, f in grid_needs(needs, outputs).items() if getattr(limits, r) is not None}
    # no box needs more than the whole population
    scarce = {r: f for r, f in costs.items() if f(whole).item() > getattr(limits, r)}
    if any(r in scarce for r in ("fan_in", "destinations")):
        return []
    shared = {r: f for r, f in costs.items() if r in _SHARED and (r in scarce or r in pressure.scarce)}
    found: dict[Shape, float] = {}
    for parts in _grids(needs.shape, scarce, limits):
        if parts not in found:
            found[parts] = _cost(needs, cut(needs.shape, parts), shared, limits, pressure)
    return sorted(found, key=lambda p: (round(found[p], 6), math.prod(p), p[2], p[1]))[:most]


def _cost(
    needs: PopulationNeeds,
    cuts: Cuts,
    costs: Mapping[str, Callable[[Cuts], Array]],
    limits: Limits,
    pressure: Pressure,
) -> float:
    shares = {r: costs[r](cuts) / max(getattr(limits, r), 1) for r in _SHARED if r in costs}
    total = float(np.max(list(shares.values()), axis=0).sum()) if shares else 0.0
    total += sum(weight * float(shares[r].sum()) for r, weight in pressure.scarce.items() if r in shares)
    if pressure.limit is not None:
        for key in needs.by_key:
            if key[0] in pressure.cores:
                total += pressure.more(key[0], needs.neurons_read(key, cuts))
    return total


def _grids(shape: Shape, costs: Mapping[str, Callable[[Cuts], Array]], limits: Limits) -> Iterator[Shape]:
    """Yields the grids with the largest boxes of a few kinds that all fit."""

    def fits(parts: Shape) -> bool:
        cuts = cut(shape, parts)
        return all(int(cost(cuts).max()) <= getattr(limits, r) for r, cost in costs.items())

    h, w, c = shape
    kinds: tuple[Sequence[Shape], ...] = (
        [(-(-h // k), 1, 1) for k in range(1, h + 1)],
        [(-(-h // k), -(-w // k), 1) for k in range(1, max(h, w) + 1)],
        [(-(-h // k), -(-w // (2 * k)), 1) for k in range(1, max(h, w) + 1)],
    )
    counts = np.unique(-(-c // np.arange(1, c + 1))).tolist()
    found = 0
    for parts in counts:
        some = False
        for kind in kinds:
            tiles = list(dict.fromkeys((y, x, parts) for y, x, _ in kind))
            best = _largest(tiles, fits)
            if best is not None:
                some = True
                yield best
        found += some
        if found == _CHANNEL_PARTS:
            break
    if counts[-1] > 1 and fits((1, 1, counts[-1])):
        yield _largest([(1, 1, n) for n in reversed(counts)], fits) or (1, 1, counts[-1])


def _largest(grids: Sequence[Shape], fits: Callable[[Shape], bool]) -> Shape | None:
    """Returns the last of some grids that fits, where those with larger boxes come later."""
    low, high = -1, len(grids) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if fits(grids[middle]):
            low = middle
        else:
            high = middle - 1
    return None if low < 0 else grids[low]
