"""Relays where a neuron reaches few axons: what many read is copied behind the layer, not with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nmcompiler.codings import Coding
from nmcompiler.errors import DoesNotFit
from nmcompiler.ir.network import Network
from nmcompiler.ir.relays import RelayPlan, can_be_cut, with_relays
from nmcompiler.ir.spiking import Spiking
from nmcompiler.mapping.needs import NetworkNeeds, PopulationNeeds, network_needs
from nmcompiler.mapping.partition import Partition, TooSpread, partition
from nmcompiler.mapping.reach import Cuts, cut
from nmcompiler.mapping.search import Outputs, search
from nmcompiler.passes.base import EXACT, Context, Keeps, Note, PassResult
from nmcompiler.target.model import Target

__all__ = ["Relays"]


@dataclass(frozen=True)
class Relays:
    """Puts relays behind a population where that takes fewer cores than building its neurons several times.

    Where a neuron reaches ``axon_fan_out`` axons, one that must reach k of them is built k times, each copy
    with all the synapses of the neuron. Its layer is then cut into more pieces, and each piece asks the layer
    before for axons, and so for copies, of its own. A relay (``ir/relays.py``) is built k times as well, but
    has one synapse, and its source reaches one axon: the copies end there. It sends what its source sends one
    step later, in the free-running ``rate`` code in the same steps of its slot, so that no value changes.

    The choice, population by population from the outputs to the inputs, in neurons as the partition counts
    them. With ``A(n)`` the axons that a population of m neurons, each built n times, asks of populations
    on cores (those that the host feeds cost no neuron), a relay costs m neurons and saves::

        (A(k) − A(1)) / axon_fan_out

    This leaves out what the layers further back save. The network with all chosen relays is then partitioned,
    and kept only if it fills fewer cores than the one without, and if no spike waits longer than the
    chip can delay it. A relay costs more than it saves wherever k is small.

    All copies of a neuron share a core. Where k is more than a core holds, several relays are put behind the
    population, each read by some of its readers; the neurons of a reader are shared out where the synapses of
    each are its own, which those of a convolution are not.

    Attributes:
        coding: The spike code.
        plan: What is read through relays; None to choose.
    """

    coding: Coding
    plan: RelayPlan | None = None
    name: ClassVar[str] = "relays"
    keeps: ClassVar[Keeps] = EXACT

    def run(self, graph: Network, context: Context) -> PassResult[Network]:
        """Returns the network with the relays that pay."""
        plan = self._chosen(graph, context.target) if self.plan is None else self.plan
        if not plan:
            return PassResult(graph, False)
        text = "read through a relay, which takes fewer cores than more copies of its neurons"
        notes = tuple(Note(name, text, by_target=True) for name in sorted(plan))
        return PassResult(with_relays(graph, plan)[0], True, notes)

    def _chosen(self, network: Network, target: Target) -> RelayPlan:
        try:
            walk = _Search(network, self.coding, target).best()
        except (DoesNotFit, TooSpread):
            return {}  # the mapper says what does not fit
        if not walk.plan or self._too_late(network, walk.plan, target):
            return {}
        try:
            without = partition(network_needs(_spiking(network, self.coding, target), target), None)
        except DoesNotFit:
            return walk.plan
        return walk.plan if walk.cores < len(without.cores) else {}

    def _too_late(self, network: Network, plan: RelayPlan, target: Target) -> bool:
        most = target.delay_max
        delays = self.coding.schedule(with_relays(network, plan)[0]).delays
        return most is not None and max(delays.values(), default=1) > most


@dataclass(frozen=True)
class _Walk:
    """The relays that pay, and the cores of the network with them."""

    plan: RelayPlan
    cores: int


class _Full(Exception):
    """The copies of one neuron of a relay do not fit on a core.

    Args:
        source: What the relay sends on.
        built: How often the neuron is built.
        channel_parts: Parts into which the channels of each reader are cut.
    """

    def __init__(self, source: str, built: int, channel_parts: dict[str, int]) -> None:
        super().__init__(source, built)
        self.source = source
        self.built = built
        self.channel_parts = channel_parts


@dataclass(frozen=True)
class _Search:
    """Partitions a network from its outputs to its inputs, leaving out every relay that does not pay."""

    network: Network
    coding: Coding
    target: Target

    def best(self) -> _Walk:
        """Returns the relays that pay.

        Raises:
            DoesNotFit: Where a layer fits neither with relays nor without.
            TooSpread: Where the consumers of a neuron lie on too many cores.
        """
        graph = self.network.graph
        plan: dict[str, tuple[dict[str, tuple[int, int]], ...]] = {}
        for p in graph:
            if p.role == "hidden" and (readers := graph.successors(p.name)):
                plan[p.name] = ({name: (0, graph.node(name).size) for name in readers},)
        while True:
            try:
                return self._walk(plan)
            except _Full as full:
                plan[full.source] = self._shared_out(full, len(plan[full.source]))

    def _walk(self, plan: RelayPlan) -> _Walk:
        relayed, source_of = with_relays(self.network, plan)
        needs = network_needs(_spiking(relayed, self.coding, self.target), self.target)
        parted = Partition(needs, None)
        chosen: dict[str, None] = {}
        for population in reversed(list(needs.populations.values())):
            source = source_of.get(population.name)
            if source is not None:
                self._check_room(parted, population, source)
                if len(plan[source]) == 1 and not _pays(parted, population, needs.populations[source]):
                    parted.readers.leave_out(population.name, source)
                    continue
                chosen[source] = None
            parted.add(population)
        return _Walk({source: plan[source] for source in chosen}, len(parted.cores))

    def _check_room(self, parted: Partition, relay: PopulationNeeds, source: str) -> None:
        built = parted.readers.built(relay.name, relay.shape)
        most = max(np.inf if (n := t.limits.neurons) is None else n for t in self.target.core_types)
        if built is not None and built.max() > most:
            readers = self.network.graph.successors(source)
            raise _Full(source, int(built.max()), {name: parted.grids[name][2] for name in readers})

    def _shared_out(self, full: _Full, relays: int) -> tuple[dict[str, tuple[int, int]], ...]:
        """Returns one relay more, cut where the pieces of the readers are cut.

        Raises:
            DoesNotFit: Where so many would not help.
        """
        count = relays + 1
        shares: list[dict[str, tuple[int, int]]] = [{} for _ in range(count)]
        for number, name in enumerate(self.network.graph.successors(full.source)):
            reader = self.network.graph.node(name)
            edges = (e for e in self.network.graph.in_edges(name) if e.source == full.source)
            parts = full.channel_parts[name]
            if reader.shape[:2] != (1, 1) or not all(can_be_cut(e.payload.kernel) for e in edges):
                shares[number % count][name] = 0, reader.size
                continue
            bounds = cut(reader.shape, (1, 1, parts))[2]
            for i, share in enumerate(shares):
                first, end = (int(bounds[parts * k // count]) for k in (i, i + 1))
                if first < end:
                    share[name] = first, end
        if not all(shares):
            raise self._refusal(full)
        return tuple(shares)

    def _refusal(self, full: _Full) -> DoesNotFit:
        return DoesNotFit(
            layer=full.source,
            resource="neurons",
            used=full.built,
            limit=max(t.limits.neurons or 0 for t in self.target.core_types),
            target=self.target.name,
            hint="its relays cannot be shared out further",
        )


def _spiking(network: Network, coding: Coding, target: Target) -> Spiking:
    return coding.convert(network, target, input_encoding=target.input_encodings[0])


def _pays(parted: Partition, relay: PopulationNeeds, source: PopulationNeeds) -> bool:
    """Returns whether a relay, whose readers have been placed, saves more neurons than it costs."""
    built = parted.readers.built(relay.name, relay.shape)
    if built is None or built.max() <= 1:
        return False
    reached = parted.readers.destinations(relay.name, relay.shape)
    if _cuts(relay, Outputs(reached, built), parted.target) is None:
        return False
    once = np.ones(source.shape, np.int64)
    apart = _asked(source, Outputs(once, once), parted.needs)
    together = _asked(source, Outputs(reached, built), parted.needs)
    if apart is None or together is None:
        return apart is not None
    return (together - apart) // (parted.target.axon_fan_out or 1) > source.population.size


def _asked(population: PopulationNeeds, outputs: Outputs, needs: NetworkNeeds) -> int | None:
    """Returns the axons that a population asks of those on cores; None where not even one neuron fits."""
    cuts = _cuts(population, outputs, needs.target)
    if cuts is None:
        return None
    on_cores = (key for key in population.by_key if key[0] in needs.populations)
    return sum(int(population.axons(key, cuts).sum()) for key in on_cores)


def _cuts(population: PopulationNeeds, outputs: Outputs, target: Target) -> Cuts | None:
    """Returns the grid with the fewest boxes, on whatever type of core."""
    grids = (search(population, outputs, kind.limits) for kind in target.core_types)
    found = [cuts for cuts in grids if cuts is not None]
    return min(found, key=lambda cuts: int(np.prod([len(b) - 1 for b in cuts])), default=None)
