"""Partitions of several kinds; the best is kept: cores first, then the time of the busiest, then traffic.

Of large partitions with as many cores the first is kept.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from nmcompiler.errors import DoesNotFit
from nmcompiler.ir.cores import Traffic
from nmcompiler.ir.progress import Progress, silent
from nmcompiler.mapping.atoms import atoms
from nmcompiler.mapping.bounds import lower_bound
from nmcompiler.mapping.filled import Filled, Style, static_shares
from nmcompiler.mapping.needs import NetworkNeeds
from nmcompiler.mapping.nets import nets
from nmcompiler.mapping.partition import OutOfCores, Partition, complete, partition
from nmcompiler.mapping.work import core_work, duration
from nmcompiler.target.model import Target

__all__ = ["Quality", "best", "best_to_refine", "candidates", "is_special", "quality"]

_CAPS = (1.0, 0.98, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)
_VARIANTS = ((3, 0.1), (3, 0.0), (2, 0.5), (1, 0.5), (1, 0.0))  # depth and beside
_OF_FEWEST = ((3, 0.0), (1, 0.0))  # where no cores are left to be gained
_OF_PIXELS = Style(depth=2, beside=0.0, space=True), Style(beside=0.0, space=True)
_PATIENCE = 2  # caps in a row that are no better end the search for one
_LARGE = 600  # from so many cores on, no more than these kinds with unequal boxes are made
_OF_LARGE = Style(cap=0.95)
_AS_FAST = 1.03  # times that are called equal
_WITH_AXONS = (
    Style(weight=4.0, out=0.97),
    Style(cap=0.95, weight=4.0, out=0.9),
    Style(depth=2, beside=0.0, out=0.9, tries=8),
)


@dataclass(frozen=True)
class Quality:
    """What decides between partitions.

    Attributes:
        cores: Number of cores.
        time: How long the busiest cores of each window make a sample last, see ``work.duration``.
        traffic: Expected spikes of one sample, each counted once for every other core that reads it.
    """

    cores: int
    time: float
    traffic: float


def quality(parted: Partition) -> Quality:
    """Returns the quality of a partition; without known traffic each neuron fires once."""
    order, traffic = range(len(parted.cores)), parted.needs.traffic
    if traffic is None:
        traffic = Traffic({p.name: np.ones(p.shape) for p in parted.needs.sources})
    connections = nets(parted, order, traffic)
    spikes = float(connections.spikes @ connections.degrees)
    return Quality(len(order), duration(parted, core_work(parted, order, traffic)), spikes)


def candidates(
    needs: NetworkNeeds, chips: int | None, progress: Progress = silent, *, to_refine: bool = False
) -> list[Partition]:
    """Returns partitions of a network with the fewest cores that were found, at least one.

    The first that is made has regular boxes and says why a network does not fit. The others fill cores with
    unequal boxes; with few cores many kinds are tried, with many a few.

    Args:
        needs: The network on a chip.
        chips: Number of chips, or None for cores without end.
        progress: Told after each population of the first.
        to_refine: Whether a refinement follows: then no more are made once one of whole pixels has the fewest
            cores that can be.

    Raises:
        DoesNotFit: A single neuron of a layer breaks a limit.
        OutOfCores: The chips have fewer cores than are needed.
    """
    if is_special(needs.target):
        return [partition(needs, chips, progress)]
    search = _Search(needs, chips, to_refine=to_refine)
    if search.least >= _LARGE:
        search.fill(progress)
        if search.done:
            return search.found
    refusal: DoesNotFit | OutOfCores | None = None
    try:
        search.keep(partition(needs, chips, progress))
    except (DoesNotFit, OutOfCores) as error:
        refusal = error
    if search.least < _LARGE:
        search.fill()
    if not search.found:
        assert refusal is not None
        raise refusal
    return search.found


def best(found: Sequence[Partition]) -> Partition:
    """Returns the partition with the least traffic of those that are about as fast as the fastest."""
    if len(found) == 1:
        return found[0]
    qualities = [quality(parted) for parted in found]
    most = min(q.time for q in qualities) * _AS_FAST
    return found[min((q.traffic, k) for k, q in enumerate(qualities) if q.time <= most)[1]]


def best_to_refine(found: Sequence[Partition]) -> Partition:
    """Returns the first partition that is made of the fewest atoms."""
    if len(found) == 1:
        return found[0]
    return min(found, key=lambda parted: len(atoms(parted, range(len(parted.cores)))))


def is_special(target: Target) -> bool:
    """Returns whether what a core holds follows rules for which regular boxes alone are made.

    The other kinds take long there: a crossbar whose neurons are built several times, memory in powers of
    two, cores of several types.
    """
    return (
        len(target.core_types) > 1
        or target.axon_fan_out is not None
        or target.crossbar is not None
        or target.conductance_tiles is not None
        or target.neuron_array is not None
        or target.kernel_memory != "weights"
    )


@dataclass(eq=False)
class _Search:
    """Partitions with unequal boxes, of which the best is kept.

    Attributes:
        needs: The network on a chip.
        chips: Number of chips, or None for cores without end.
        to_refine: Whether a refinement follows.
        found: Those with the fewest cores so far.
    """

    needs: NetworkNeeds
    chips: int | None
    to_refine: bool = False
    found: list[Partition] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.shares = static_shares(self.needs)
        target = self.needs.target
        self.least = lower_bound(self.needs, target, self.chips or target.max_chips)

    @property
    def _cores(self) -> int:
        """The fewest cores so far."""
        return len(self.found[0].cores) if self.found else sys.maxsize

    @property
    def done(self) -> bool:
        """Whether no partition has fewer cores."""
        return self._cores <= self.least

    def keep(self, parted: Partition) -> bool:
        """Keeps a partition unless it has too many cores; returns whether it has fewer than those before.

        Of large ones with as many cores the first is kept: what decides between them takes long to find.
        """
        before, cores = self._cores, len(parted.cores)
        if cores < before:
            self.found.clear()
        if cores < before or (cores == before and cores < _LARGE):
            self.found.append(parted)
        return cores < before

    def fill(self, progress: Progress = silent) -> None:
        """Tries the kinds that the size of the network allows; nothing is better than a single core.

        Of a large one the progress of the first is told, which may be all that is made.
        """
        if self._cores == 1:
            return
        mixed = len({max(of, key=lambda r: of[r]) for of in self.shares.values()}) > 1
        limited = any(t.limits.output_axons is not None for t in self.needs.target.core_types)
        if self.least >= _LARGE:
            for style in _WITH_AXONS if limited else (_OF_LARGE,):
                self.attempt(style, progress)
                progress = silent
                if self.done:
                    break
            return
        if self.to_refine:
            for style in _OF_PIXELS:
                if self.attempt(style) and self.done:
                    return
        cap = self._best_cap() if mixed else 1.0
        if not self.found:
            return
        for depth, beside in _VARIANTS if not self.done else _OF_FEWEST:
            self.attempt(Style(depth=depth, beside=beside, cap=cap))
        if limited and not self.done:
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
            if not self.found or worse == _PATIENCE or self.done:
                break
        return best

    def attempt(self, style: Style, progress: Progress = silent) -> bool:
        """Tries one kind; returns whether it has fewer cores than those before."""
        most = self._cores if self.found else None
        filled = Filled(self.needs, self.chips, style=style, shares=self.shares, most=most)
        return complete(filled, progress) and self.keep(filled)
