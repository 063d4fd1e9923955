"""A partition in which each population fills what the ones before left of the cores."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from nmcompiler.ir.kernels import Shape
from nmcompiler.mapping.areas import union_size
from nmcompiler.mapping.bounds import stored, usable
from nmcompiler.mapping.fill import Filling, plans
from nmcompiler.mapping.needs import NetworkNeeds, PopulationNeeds
from nmcompiler.mapping.pack import OpenCore
from nmcompiler.mapping.partition import OutOfCores, Partition
from nmcompiler.mapping.pieces import BoxCosts
from nmcompiler.mapping.search import Outputs
from nmcompiler.mapping.shapes import Pressure, shapes
from nmcompiler.target.model import Limits

__all__ = ["Filled", "Style", "static_shares"]

_MISSES = 48  # so many cores in a row had too little room for any more of a population


@dataclass(frozen=True)
class Style:
    """How populations fill cores.

    Attributes:
        depth: Axes along which the pieces of one core may end.
        cap: Share of a core that a population may fill with the resource of which it needs most, as long as
            populations that need most of another one are still to come.
        out: Likewise of output axons, for populations whose neurons are read on so many cores that they need
            most of these.
        weight: What a core that the layers before need counts.
        beside: What the share of a resource counts that is not the largest, where it is scarce.
        tries: Shapes of boxes that are tried.
        space: Whether populations are cut along space alone, as far as that is possible, but for what fills
            the rest of a core.
    """

    depth: int = 3
    cap: float = 1.0
    out: float = 1.0
    weight: float = 1.0
    beside: float = 0.5
    tries: int = 1
    space: bool = False


def static_shares(needs: NetworkNeeds) -> Mapping[str, Mapping[str, float]]:
    """Returns the cores that each population fills at least, by resource."""
    limits = usable(needs.target)
    most: dict[str, int | None] = {}
    for resource in ("neurons", "synapse_bits"):
        stated = [getattr(limit, resource) for limit in limits]
        most[resource] = None if None in stated else max(stated)
    return {
        name: {
            resource: 0.0 if most[resource] is None else amount / max(most[resource] or 1, 1)
            for resource, amount in (
                ("neurons", population.population.size * needs.target.compartments_per_neuron),
                ("synapse_bits", stored(population)),
            )
        }
        for name, population in needs.populations.items()
    }


def _has_space(needs: PopulationNeeds) -> bool:
    return needs.shape[:2] != (1, 1)


@dataclass(eq=False)
class Filled(Partition):
    """Cores filled with unequal boxes.

    Attributes:
        style: How.
        shares: What ``static_shares`` says of the network.
        pairs: (neuron, destination core) pairs of each population so far.
        most: Most cores; None for as many as the chips have.
    """

    style: Style = field(default_factory=Style)
    shares: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    pairs: dict[str, int] = field(default_factory=dict)
    most: int | None = None
    _done: set[str] = field(default_factory=set)

    def add(self, needs: PopulationNeeds) -> None:
        """Fills cores with a population; its consumers must have been placed.

        Raises:
            DoesNotFit: A single neuron breaks a limit on every kind of core.
            TooSpread: The consumers of a neuron lie on too many cores.
            OutOfCores: No core is left.
        """
        self._done.add(needs.name)
        outputs = Outputs(
            self.readers.destinations(needs.name, needs.shape), self.readers.built(needs.name, needs.shape)
        )
        costs, pressure = BoxCosts(needs, outputs), self._pressure()
        limits = tuple(self._capped(needs, outputs, limit) for limit in usable(self.target))
        fewest = stored(needs)
        best: tuple[float, Filling] | None = None
        for parts in self._shapes(needs, outputs, limits, pressure):
            self.grids.setdefault(needs.name, parts)
            for plan in plans(parts, self.style.depth, pixels=self.style.space and _has_space(needs)):
                filling = Filling(costs, plan, limits, fewest)
                if self._run(filling):
                    score = self._score(filling, pressure)
                    if best is None or score < best[0] - 1e-9:
                        best = score, filling
        if best is None:
            raise OutOfCores(needs.name, len(self.cores), 0)
        self._commit(best[1])

    def _shapes(
        self, needs: PopulationNeeds, outputs: Outputs, limits: tuple[Limits, ...], pressure: Pressure
    ) -> list[Shape]:
        found: list[Shape] = []
        for limit in dict.fromkeys(limits):
            if self.style.space:
                every = shapes(needs, outputs, limit, pressure, sys.maxsize)
                found += sorted(every, key=lambda parts: parts[2])[: self.style.tries]
            else:
                found += shapes(needs, outputs, limit, pressure, self.style.tries)
        if not found:
            cuts = self._cuts(needs, outputs)
            found = [(len(cuts[0]) - 1, len(cuts[1]) - 1, len(cuts[2]) - 1)]
        return list(dict.fromkeys(found))

    def _pressure(self) -> Pressure:
        limits = [t.limits.output_axons for t in self.target.core_types]
        limit = None if None in limits else max(n for n in limits if n is not None)
        cores = {name: max(of.values()) for name, of in self.shares.items()}
        totals = {r: sum(of[r] for of in self.shares.values()) for r in ("neurons", "synapse_bits")}
        most = max(totals.values(), default=0.0) or 1.0
        scarce = {r: self.style.beside * total / most for r, total in totals.items()}
        return Pressure(cores, self.pairs, limit, self.style.weight, scarce)

    def _capped(self, needs: PopulationNeeds, outputs: Outputs, limits: Limits) -> Limits:
        """Returns what a population may fill of a core."""
        mine, later = self._most(needs.name), [name for name in self.shares if name not in self._done]
        if later and limits.output_axons is not None:
            share = int(outputs.cores.sum()) / max(limits.output_axons, 1)
            if share > self.shares[needs.name][mine]:
                return replace(limits, output_axons=int(limits.output_axons * self.style.out))
        limit = getattr(limits, mine)
        if limit is None or self.style.cap == 1 or all(self._most(name) == mine for name in later):
            return limits
        return replace(limits, **{mine: int(limit * self.style.cap)})

    def _most(self, name: str) -> str:
        shares = self.shares[name]
        return max(shares, key=lambda resource: shares[resource])

    def _run(self, filling: Filling) -> bool:
        """Fills open cores, then new ones; returns whether enough are left."""
        misses = 0
        for index in self._open_for(filling.costs):
            took = filling.fill(index, self.cores[index])
            if not filling.pending:
                return True
            misses = 0 if took else misses + 1
            if misses == _MISSES:
                break
        left, number = list(self.remaining), len(self.cores)
        types = self.target.core_types
        while filling.pending:
            if number == self.most:
                return False
            for kind in self._by_size:
                if left[kind] != 0 and filling.fill(number, OpenCore(kind, types[kind].limits, self.target)):
                    break
            else:
                return False
            remaining = left[kind]
            left[kind] = None if remaining is None else remaining - 1
            number += 1
        return True

    def _open_for(self, costs: BoxCosts) -> Iterator[int]:
        """Yields the cores that may have room for a neuron, the latest first."""
        target = self.target
        each = target.compartments_per_neuron
        least = {
            "neurons": each,
            "state_bits": each * target.membrane_bits,
            "output_axons": int(costs.outputs.cores.min()),
        }
        room = np.ones(len(self.cores), bool)
        for resource, left in zip(self._sums, self._rooms, strict=True):
            room &= left[: len(self.cores)] >= least.get(resource, 1)
        yield from np.flatnonzero(room)[::-1].tolist()

    def _score(self, filling: Filling, pressure: Pressure) -> float:
        """Returns what a filling costs in cores, of its own and of the layers before."""
        total = 0.0
        limits = usable(self.target)
        for index, core in filling.cores.items():
            total += pressure.filled(core.used, limits[core.kind])
            if index < len(self.cores):
                total -= pressure.filled(self.cores[index].used, limits[core.kind])
        return total + sum(pressure.more(source, n) for source, n in self._more_pairs(filling).items())

    def _more_pairs(self, filling: Filling) -> dict[str, int]:
        """Returns the pairs of each layer before that a filling adds."""
        needs, more = filling.costs.needs, dict[str, int]()
        if self.target.core_types[0].limits.output_axons is None:
            return more
        for index, core in filling.cores.items():
            old = self.cores[index] if index < len(self.cores) else None
            for key, shape in needs.source_shapes.items():
                if key[0] in self.shares:
                    now = union_size(core.areas(key), shape, pixels=False) if core.areas(key) else 0
                    if old is not None and old.areas(key):
                        now -= union_size(old.areas(key), shape, pixels=False)
                    more[key[0]] = more.get(key[0], 0) + now
        return more

    def _commit(self, filling: Filling) -> None:
        needs = filling.costs.needs
        for source, n in self._more_pairs(filling).items():
            self.pairs[source] = self.pairs.get(source, 0) + n
        for index, core in filling.cores.items():
            if index < len(self.cores):
                self.cores[index] = core
            else:
                left = self.remaining[core.kind]
                self.remaining[core.kind] = None if left is None else left - 1
                self.cores.append(core)
            self._update(index)
            for piece in filling.pieces[index]:
                self.readers.add(needs, index, piece.box)
