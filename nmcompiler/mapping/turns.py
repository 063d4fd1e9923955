"""Several passes over the chips: what is loaded together where a network does not fit them at once.

A pass holds populations that follow one another, by window and then in topological order, so that no spike
travels back to an earlier pass. Whole populations stay together; one that fills more than all cores has
passes of its own. Of all ways to cut, the fewest passes win, then the fewest spikes that the host has to
keep: every weight is loaded once however the populations are cut, and for a whole batch of samples, while
these spikes travel to the host and back in every sample.

Whether populations fit together is tried by cutting and packing them, only where the best cuts so far need
it; what holds too much still does with more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from nmcompiler.errors import DoesNotFit
from nmcompiler.ir.cores import Traffic
from nmcompiler.ir.progress import Progress, silent
from nmcompiler.mapping.bounds import unavoidable
from nmcompiler.mapping.needs import NetworkNeeds
from nmcompiler.mapping.pack import OpenCore
from nmcompiler.mapping.partition import OutOfCores, Partition, partition
from nmcompiler.mapping.refusal import too_many_passes
from nmcompiler.target.model import Target

__all__ = ["Load", "in_order", "loads"]

_Span = tuple[int, int]
"""First population of a pass, and the first behind it."""


@dataclass(frozen=True, eq=False)
class Load:
    """Cores that are loaded together.

    Attributes:
        parted: The partition that they are of.
        order: Their numbers in it, in topological order.
        chips: Chips that they need.
    """

    parted: Partition
    order: tuple[int, ...]
    chips: int

    @property
    def cores(self) -> list[OpenCore]:
        """The cores, in their order."""
        return [self.parted.cores[i] for i in self.order]


def in_order(parted: Partition) -> list[int]:
    """Returns the cores of a partition in topological order of their first population, then of its boxes."""
    rank = parted.rank
    return sorted(
        range(len(parted.cores)),
        key=lambda i: min((rank[p.needs.name], p.box) for p in parted.cores[i].pieces),
    )


def loads(
    needs: NetworkNeeds, chips: int, most: int | None, traffic: Traffic, progress: Progress = silent
) -> list[Load]:
    """Returns what is loaded in each pass.

    Args:
        needs: The network on a chip.
        chips: Chips that may be used.
        most: Most passes; None for any number.
        traffic: Expected spikes of every population.
        progress: Told how far the partitions are.

    Raises:
        DoesNotFit: A single neuron of a layer breaks a limit, or more passes are needed.
    """
    plan = _Plan(needs, chips, traffic, progress)
    found: list[Load] = []
    for parted in plan.parts():
        found += _loads_of(parted, chips)
        if most is not None and len(found) > most:
            layer = next(iter(parted.needs.populations))
            raise too_many_passes(layer, plan.passes, most, chips, needs.target)
    return found


def _loads_of(parted: Partition, chips: int) -> list[Load]:
    """Returns the cores of one partition, in as many loads as the chips need for them."""
    target = parted.target
    room = {kind: core_type.count * chips for kind, core_type in enumerate(target.core_types)}
    held: list[list[int]] = [[]]
    left = dict(room)
    for index in in_order(parted):
        kind = parted.cores[index].kind
        if not left[kind]:
            held.append([])
            left = dict(room)
        held[-1].append(index)
        left[kind] -= 1
    return [Load(parted, tuple(order), _chips([parted.cores[i] for i in order], target)) for order in held]


def _chips(cores: Sequence[OpenCore], target: Target) -> int:
    """Returns the chips that have enough cores of every type."""
    counts = Counter(core.kind for core in cores)
    return max((-(-n // target.core_types[kind].count) for kind, n in counts.items()), default=1)


class _Plan:
    """The search for the best cuts.

    Attributes:
        names: The populations in the order in which they are computed.
        low: ``low[j]`` is the first i for which a pass is not known to be too small for populations
            i … j − 1.
        fits: ``fits[j]`` is the first i for which a pass is known to hold them, at most j − 1.
        single: Passes of each population by itself, as far as they are known.
    """

    def __init__(self, needs: NetworkNeeds, chips: int, traffic: Traffic, progress: Progress) -> None:
        self._needs, self._chips, self._progress = needs, chips, progress
        slots, graph = needs.spiking.schedule.slots, needs.spiking.network.graph
        rank = {name: i for i, name in enumerate(needs.populations)}
        self.names = sorted(rank, key=lambda name: (slots[name].window, rank[name]))
        self._place = {name: i for i, name in enumerate(self.names)}
        self._last = [max((self._place[t] for t in graph.successors(n)), default=-1) for n in self.names]
        self._sent = [
            float(np.broadcast_to(traffic.spikes[n], needs.populations[n].shape).sum()) if last >= 0 else 0.0
            for n, last in zip(self.names, self._last, strict=True)
        ]
        self.low = _first_by_sums(needs, self.names, chips)
        self.fits = [max(j - 1, 0) for j in range(len(self.names) + 1)]
        self.single = [1] * len(self.names)
        self._parted: dict[_Span, Partition] = {}

    @property
    def passes(self) -> int:
        """The passes of the best cuts, as far as they are known."""
        return sum(self._count(*span) for span in self._cheapest())

    def parts(self) -> list[Partition]:
        """Returns the partitions between the best cuts."""
        while True:
            spans = self._cheapest()
            self._parted = {span: self._parted[span] for span in spans if span in self._parted}
            held = [self._holds(*span) for span in spans]  # every answer helps the next cuts
            if all(held) and all(span in self._parted or self._tried(*span) is None for span in spans):
                return [self._parted[span] for span in spans]

    def _count(self, i: int, j: int) -> int:
        return self.single[i] if j - i == 1 else 1

    def _cheapest(self) -> list[_Span]:
        """Returns the cuts with the fewest passes, then the fewest spikes kept, by what is known."""
        best: list[tuple[int, float, int]] = [(0, 0.0, 0)]
        for j in range(1, len(self.names) + 1):
            ways, kept = [], 0.0
            for i in range(j - 1, min(self.low[j], j - 1) - 1, -1):
                kept += self._sent[i] if self._last[i] >= j else 0.0
                passes, spikes, _ = best[i]
                ways.append((passes + self._count(i, j), spikes + kept, i))
            best.append(min(ways))
        spans, end = [], len(self.names)
        while end:
            spans.append((best[end][2], end))
            end = best[end][2]
        return spans[::-1]

    def _holds(self, i: int, j: int) -> bool:
        """Returns whether a pass holds populations i … j − 1, or one of them as many as was thought."""
        if j - i == 1:
            return (i, j) in self._parted or self._holds_one(i)
        if i >= self.fits[j]:
            return True
        layer = self._tried(i, j)
        if layer is None:
            return True
        guess = layer + 1  # cores are filled from the last population on: ``layer`` is the first too many
        while self.low[j] < self.fits[j]:
            self._tried(min(max(guess, self.low[j]), self.fits[j] - 1), j)
            guess = (self.low[j] + self.fits[j]) // 2
        return False

    def _holds_one(self, i: int) -> bool:
        """Returns whether one population needs as many passes as was thought; it is cut for that many."""
        thought = self.single[i]
        try:
            self._cut(i, i + 1)
        except OutOfCores:
            self._parted[i, i + 1] = partition(self._part(i, i + 1), None, self._progress)
        self.single[i] = len(_loads_of(self._parted[i, i + 1], self._chips))
        return self.single[i] == thought

    def _cut(self, i: int, j: int) -> Partition:
        self._parted[i, j] = partition(self._part(i, j), self._chips, self._progress)
        return self._parted[i, j]

    def _tried(self, i: int, j: int) -> int | None:
        """Returns at which population a pass of i … j − 1 is too small; None where it holds them.

        What a pass holds it holds in part, and what is too much for it is so with more. Packing may break
        this rule now and then: then what was tried counts, and not what was concluded.
        """
        try:
            self._cut(i, j)
        except OutOfCores as error:
            found = self._place[error.layer]
        except DoesNotFit:  # fewer in one pass reach fewer cores
            found = i
        else:
            self.fits[i + 1 : j + 1] = [min(first, i) for first in self.fits[i + 1 : j + 1]]
            return None
        self.low[j:] = [max(first, i + 1) for first in self.low[j:]]
        self.fits = [max(first, least) for first, least in zip(self.fits, self.low, strict=True)]
        return found

    def _part(self, i: int, j: int) -> NetworkNeeds:
        needs = self._needs.populations
        return replace(
            self._needs,
            populations={name: needs[name] for name in self.names[i:j]},
            later=tuple(needs[name] for name in self.names[j:]),
        )


def _first_by_sums(needs: NetworkNeeds, names: Sequence[str], chips: int) -> list[int]:
    """Returns ``_Plan.low`` as far as sums tell that no sharing of cores can lower."""
    target = needs.target
    low = [0] * (len(names) + 1)
    for resource in ("neurons", "state_bits", "synapse_bits"):
        limits = [(getattr(t.limits, resource), t.count * chips) for t in target.core_types]
        if any(limit is None for limit, _ in limits):
            continue
        room = sum(limit * count for limit, count in limits)
        amounts = [
            unavoidable(replace(needs, populations={name: needs.populations[name]}))[resource]
            for name in names
        ]
        first, held = 0, 0
        for j, amount in enumerate(amounts, 1):
            held += amount
            while held > room and first < j - 1:
                held -= amounts[first]
                first += 1
            low[j] = max(low[j], first)
    return low
