"""Partitions of several kinds; the best is kept: cores first, then the busiest core, then traffic."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from nmcompiler.errors import DoesNotFit
from nmcompiler.ir.progress import Progress, silent
from nmcompiler.mapping.areas import union_size
from nmcompiler.mapping.bounds import lower_bound
from nmcompiler.mapping.filled import Filled, Style, static_shares
from nmcompiler.mapping.needs import NetworkNeeds
from nmcompiler.mapping.pack import OpenCore
from nmcompiler.mapping.partition import OutOfCores, Partition, TooSpread, partition

__all__ = ["Quality", "best_partition", "quality"]

_CAPS = (1.0, 0.98, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)
_VARIANTS = ((3, 0.1), (3, 0.0), (2, 0.5), (2, 0.0), (1, 0.5), (1, 0.0))  # depth and beside
_OF_FEWEST = _VARIANTS[1::2]  # where no cores are left to be gained
_PATIENCE = 2  # caps in a row that are no better end the search for one
_LARGE = 600  # from so many cores on, no more than these kinds with unequal boxes are made
_OF_LARGE = Style(cap=0.95)
_WITH_AXONS = Style(weight=4.0, out=0.97), Style(cap=0.95, weight=4.0, out=0.9)


@dataclass(frozen=True, order=True)
class Quality:
    """What decides between partitions, the first before the second and third.

    Attributes:
        cores: Number of cores.
        busiest: Expected synaptic operations of one sample on the busiest core.
        traffic: Expected spikes of one sample, each counted once for every core that reads it.
    """

    cores: int
    busiest: float
    traffic: float


def quality(parted: Partition) -> Quality:
    """Returns the quality of a partition; spikes of a population count as their mean over its neurons."""
    needs = parted.needs
    busiest = max((_operations(core, needs) for core in parted.cores), default=0.0)
    traffic = 0.0
    for core in parted.cores:
        for (source, _, _), areas, shape in core.read():
            traffic += needs.rate(source) * union_size(areas, shape, pixels=False)
    return Quality(len(parted.cores), busiest, traffic)


def _operations(core: OpenCore, needs: NetworkNeeds) -> float:
    return sum(
        needs.rate(wire.key[0]) * piece.costs.synapses(number, piece.box)
        for piece in core.pieces
        for number, wire in enumerate(piece.needs.wires)
    )


def best_partition(needs: NetworkNeeds, chips: int | None, progress: Progress = silent) -> Partition:
    """Returns the best of several partitions of a network.

    The first has regular boxes and says why a network does not fit. The others fill cores with unequal boxes;
    with few cores many kinds are tried, with many a few.

    Args:
        needs: The network on a chip.
        chips: Number of chips, or None for cores without end.
        progress: Told after each population of the first.

    Raises:
        DoesNotFit: A single neuron of a layer breaks a limit.
        OutOfCores: The chips have fewer cores than are needed.
    """
    search = _Search(needs, chips)
    refusal: DoesNotFit | OutOfCores | None = None
    try:
        search.keep(partition(needs, chips, progress))
    except (DoesNotFit, OutOfCores) as error:
        refusal = error
    search.fill()
    if search.best is not None:
        return search.best
    assert refusal is not None
    raise refusal


@dataclass(eq=False)
class _Search:
    """Partitions with unequal boxes, of which the best is kept.

    Attributes:
        needs: The network on a chip.
        chips: Number of chips, or None for cores without end.
        best: The best so far.
        quality: Its quality.
    """

    needs: NetworkNeeds
    chips: int | None
    best: Partition | None = None
    quality: Quality | None = None

    def __post_init__(self) -> None:
        self.shares = static_shares(self.needs)
        target = self.needs.target
        self.least = lower_bound(self.needs, target, self.chips or target.max_chips)

    @property
    def _cores(self) -> int:
        """The cores of the best."""
        return sys.maxsize if self.quality is None else self.quality.cores

    def keep(self, parted: Partition) -> bool:
        """Keeps a partition where it is the best; returns whether it has fewer cores than those before."""
        found, before = quality(parted), self.quality
        if before is None or found < before:
            self.best, self.quality = parted, found
        return before is None or found.cores < before.cores

    def fill(self) -> None:
        """Tries the kinds that the size of the network allows; nothing is better than a single core."""
        if self._cores == 1:
            return
        mixed = len({max(of, key=lambda r: of[r]) for of in self.shares.values()}) > 1
        limited = any(t.limits.output_axons is not None for t in self.needs.target.core_types)
        if self.least >= _LARGE:
            for style in _WITH_AXONS if limited else (_OF_LARGE,):
                self.attempt(style)
            return
        cap = self._best_cap() if mixed else 1.0
        if self.best is None:
            return
        for depth, beside in _VARIANTS if self._cores > self.least else _OF_FEWEST:
            self.attempt(Style(depth=depth, beside=beside, cap=cap))
        if limited and self._cores > self.least:
            for style in _WITH_AXONS:
                self.attempt(style)

    def _best_cap(self) -> float:
        """Returns the cap with the fewest cores: some populations must leave room for others."""
        best, worse = 1.0, 0
        for cap in _CAPS:
            if self.attempt(Style(cap=cap)):
                best, worse = cap, 0
            else:
                worse += 1
            if self.best is None or worse == _PATIENCE or self._cores <= self.least:
                break
        return best

    def attempt(self, style: Style) -> bool:
        """Tries one kind; returns whether it has fewer cores than those before."""
        most = None if self.quality is None else self.quality.cores
        filled = Filled(self.needs, self.chips, style=style, shares=self.shares, most=most)
        return _filled(filled) and self.keep(filled)


def _filled(filled: Filled) -> bool:
    try:
        for population in reversed(list(filled.needs.populations.values())):
            filled.add(population)
    except (DoesNotFit, OutOfCores, TooSpread):
        return False
    for core in filled.cores:
        core.settle()
    return True
